"""The log of looks: one line of JSON a look, appended to the folder that it looked at, and never rewritten."""

import json

from hydra_assets.storage.backend import Storage
from hydra_assets.storage.look import Look

LOOKS_FILE = "_looks.jsonl"


def looks_of(storage: Storage, folder: str) -> list[Look]:
    """The looks logged in *folder*, oldest first."""
    try:
        body = storage.read(f"{folder}/{LOOKS_FILE}")
    except FileNotFoundError:
        return []
    return [Look.from_dict(json.loads(line)) for line in body.split(b"\n")[:-1] if line]  # a line without its end was cut by a crash


def log_look(storage: Storage, folder: str, look: Look, *, ignored: int) -> None:
    """Append *look*; under the folder's writers' lock."""
    storage.append_line(f"{folder}/{LOOKS_FILE}", look.to_json(ignored=ignored))
