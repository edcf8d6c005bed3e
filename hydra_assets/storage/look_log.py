"""The log of looks: one line of JSON a look, appended to the folder that it looked at, and never rewritten."""

import contextlib
import json
import os
from pathlib import Path

from hydra_assets.storage.capture import Look

LOOKS_FILE = "_looks.jsonl"


def looks_of(folder: Path) -> list[Look]:
    """The looks logged in *folder*, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        lines = (folder / LOOKS_FILE).read_text(encoding="utf-8").split("\n")
        return [Look.from_dict(json.loads(line)) for line in lines[:-1] if line]  # what follows the last newline was cut by a crash
    return []


def log_look(folder: Path, look: Look, *, ignored: int) -> None:
    """Append *look*; under the folder's writers' lock."""
    descriptor = os.open(folder / LOOKS_FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        size = os.fstat(descriptor).st_size
        torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
        if torn:  # end the cut line, which is not JSON, so that it cannot swallow this one
            body = (folder / LOOKS_FILE).read_bytes()
            os.ftruncate(descriptor, body.rfind(b"\n") + 1)
        os.write(descriptor, (look.to_json(ignored=ignored) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
