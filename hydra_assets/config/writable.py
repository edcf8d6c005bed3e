"""Why a home may not be written, and the one command that mends it."""

import contextlib
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Obstacle:
    """
    The reason for which a file or folder may not be written.

    Attributes:
        place: the file or folder.
        reason: for a sentence that begins with the place.
        remedy: one command.
    """

    place: Path
    reason: str
    remedy: str


def obstacle_among(base: Path, places: Iterable[Path]) -> Obstacle | None:
    """
    The first obstacle among those of *places* that exist.

    Args:
        base: the folder that a command mends as a whole.
        places: files and folders that are written.
    """
    for place in places:
        rights = os.W_OK | (os.X_OK if place.is_dir() else 0)
        if place.exists() and not os.access(place, rights, effective_ids=os.access in os.supports_effective_ids):
            return _obstacle(base, place)
    return None


def _obstacle(base: Path, place: Path) -> Obstacle:
    about = place.stat()
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        mount = shlex.quote(str(_mount_of(place)))
        return Obstacle(place, "lies on a file system that may only be read", f"sudo mount -o remount,rw {mount}")
    if about.st_uid != os.geteuid():
        reason = f"belongs to user {about.st_uid} and may only be read by you (user {os.geteuid()})"
        return Obstacle(place, reason, f"sudo chown -R {os.geteuid()} {shlex.quote(str(base))}")
    return Obstacle(place, "may only be read (its mode)", f"chmod -R u+rwX {shlex.quote(str(base))}")


def _mount_of(place: Path) -> Path:
    """The mount point of *place*, by the kernel's list where there is one: folders of one disk can be mounted apart."""
    mounts: set[Path] = set()
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        mounts = {Path(line.split(" ")[1].replace("\\040", " ")) for line in lines}
    resolved = place.resolve()
    return next(folder for folder in (resolved, *resolved.parents) if folder in mounts or os.path.ismount(folder))
