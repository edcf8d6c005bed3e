"""Unfinished answers in the vendors' archives."""

import time
from pathlib import Path

FETCH_PREFIX = ".fetch-"  # of the folder that holds an answer until it is whole and renamed into the archive
_AGE_S = 3600


def unfinished_fetches(archives: Path) -> list[Path]:
    """Folders of fetches that were killed more than an hour ago; harmless, since nothing reads them."""
    return [path for path in archives.glob(f"**/{FETCH_PREFIX}*") if time.time() - path.stat().st_mtime > _AGE_S]
