"""The log of looks: one line of JSON a look, appended to the folder that it looked at, and never rewritten."""

import json
import zlib

from hydra_assets.errors import CorruptionError
from hydra_assets.storage.backend import Storage
from hydra_assets.storage.look import Look

LOOKS_FILE = "_looks.jsonl"
_CHECKSUM = b', "crc": '


def looks_of(storage: Storage, folder: str) -> list[Look]:
    """The looks logged in *folder*, oldest first."""
    try:
        body = storage.read(f"{folder}/{LOOKS_FILE}")
    except FileNotFoundError:
        return []
    lines = body.split(b"\n")[:-1]  # a line without its end was cut by a crash
    try:
        return [_look_of(line) for line in lines if line]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        place = storage.path(f"{folder}/{LOOKS_FILE}")
        raise CorruptionError(f"{place}: a line is not as it was written: {error}; restore the file from a backup") from error


def log_look(storage: Storage, folder: str, look: Look, *, ignored: int) -> None:
    """Append *look*; under the folder's writers' lock."""
    line = look.to_json(ignored=ignored)
    storage.append_line(f"{folder}/{LOOKS_FILE}", f"{line[:-1]}{_CHECKSUM.decode()}{zlib.crc32(line.encode())}}}")


def _look_of(line: bytes) -> Look:
    """The look of a line, held against its checksum; lines of before have none."""
    text, checksum, written = line.rpartition(_CHECKSUM)
    if checksum and zlib.crc32(text + b"}") != int(written[:-1]):
        raise ValueError(f"{line[:80]!r} (checksum)")
    return Look.from_dict(json.loads(line))
