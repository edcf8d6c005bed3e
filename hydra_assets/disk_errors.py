"""The disk's errors as the package's own, each with the path and the remedy."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from hydra_assets.errors import HydraError, StorageError

_REMEDIES = {
    errno.ENOSPC: "free some space and do it again",
    errno.EDQUOT: "free some space and do it again",
    errno.EFBIG: "raise the limit of a file's size and do it again",
    errno.EROFS: "the disk may only be read; write elsewhere",
    errno.EACCES: "look at its owner and mode",
    errno.EPERM: "look at its owner and mode",
    errno.ENOTDIR: "name a folder",
    errno.EISDIR: "name a file",
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """The disk's errors inside as StorageError; a file that is missing or already there is the caller's business."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, HydraError):
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "look at the disk and do it again")
        raise StorageError(f"{path}: {reason}; {remedy}; what was acknowledged before is kept") from error
