"""Snapshots: JSON files beside the tests, made again with ``UPDATE_SNAPSHOTS=1``."""

import json
import os
from pathlib import Path

UPDATE = "UPDATE_SNAPSHOTS"


def check_snapshot(path: Path, made) -> None:
    """Compare *made* with the file at *path*; write the file where the environment asks for it."""
    text = json.dumps(made, indent=1, sort_keys=True) + "\n"
    if os.environ.get(UPDATE):
        path.write_text(text, encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(text), f"if the change is meant, run with {UPDATE}=1"
