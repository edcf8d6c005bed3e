"""
A training frame's certificate: the question, the state of the store, and hashes of the answer, by which it is made again and compared.

Nothing in it comes from the wall clock: the same question put to the same facts gives the same certificate, byte for byte.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import iso
from hydra_assets.errors import ConfigError, CorruptionError, SchemaError
from hydra_assets.storage.plugin_code import plugin_code
from hydra_assets.storage.question import Question
from hydra_assets.version import __version__

FORMAT = 1
CALENDAR = ("cot_releases.csv", "cot_calendar.yaml")
SETTINGS = ("default.yaml", "markets.yaml")
_PACKAGE = Path(__file__).parents[1]
_MIX = np.uint64(0x9E3779B97F4A7C15)


# ---------------------------------------------------------------- hashes of a table


def fingerprint(table: pa.Table) -> dict[str, Any]:
    """
    Hashes of a table's cells, whatever its chunks and buffers: each column, each row (eight hexadecimal digits a row, in one
    text) and the whole. Null, 0 and -0.0 are three different things.

    Args:
        table: text, instants of microseconds, float64.
    """
    columns, rows = [], np.full(table.num_rows, 0xCBF29CE484222325, dtype=np.uint64)
    for name in table.column_names:
        valid, cells, payload = _canonical(table[name], name)
        head = json.dumps([name, str(table[name].type), table.num_rows]).encode()
        digest = hashlib.sha256(head + valid.tobytes() + payload).hexdigest()
        columns.append({"name": name, "type": str(table[name].type), "sha256": digest})
        for part in (valid.astype(np.uint64), cells):
            rows = (rows ^ part) * _MIX
            rows ^= rows >> np.uint64(29)
    return {
        "rows": table.num_rows,
        "columns": columns,
        "row_hashes": (rows >> np.uint64(32)).astype(">u4").tobytes().hex(),
        "sha256": _sha256([table.num_rows, columns]),
    }


def _canonical(column: pa.ChunkedArray, name: str) -> tuple[np.ndarray, np.ndarray, bytes]:
    """A mask of the cells that hold something (uint8), each cell in 64 bits (uint64), and all cells as bytes."""
    kind = column.type
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False).astype(np.uint8)
    if kind == pa.float64():
        numbers = np.where(valid, column.to_numpy(zero_copy_only=False).astype("<f8"), 0.0).astype("<f8")
        return valid, numbers.view("<u8").astype(np.uint64), numbers.tobytes()
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        micros = column.cast(pa.int64()).fill_null(0).to_numpy().astype("<i8")
        return valid, micros.view("<u8").astype(np.uint64), micros.tobytes()
    if kind == pa.string():
        texts = ["" if text is None else text for text in column.to_pylist()]
        known = {text: int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") for text in set(texts)}
        payload = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts)
        return valid, np.array([known[text] for text in texts], dtype=np.uint64), payload
    raise SchemaError(f"column {name!r} holds {kind}; a training frame has text, instants and float64")


# ---------------------------------------------------------------- the certificate


def certificate_of(
    table: pa.Table, question: Question, *, world: str, recorded_at: int, settings: str | None, unclaimed: Sequence[str] = ()
) -> dict[str, Any]:
    """
    The certificate of *table*, the answer to *question*.

    Args:
        recorded_at: the newest recording the store held, microseconds UTC.
        settings: the text of the settings in force; None: those that are shipped.
        unclaimed: names in the table that no registered feature claims.
    """
    document = {
        "format": FORMAT,
        "code": {"version": __version__, "sha256": code_sha256()},
        "config": settings_facts(settings),
        "release_calendar": {"sha256": shipped_sha256(*CALENDAR)},
        "store": {"world": world, "recorded_at": iso(recorded_at)},
        "query": question.as_document(),
        "result": fingerprint(table),
    }
    if unclaimed:
        document["unproven"] = list(unclaimed)
    return {**document, "seal": _sha256(document)}


def write_certificate(path: str | os.PathLike[str], document: Mapping[str, Any]) -> Path:
    """Write a certificate; in place of an older one of that name only once it is whole."""
    target = Path(path).expanduser()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"{target}: the certificate cannot be written: {error}; name a file in a folder that exists") from error
    return target


def read_certificate(path: str | os.PathLike[str]) -> dict[str, Any]:
    """
    A certificate as it was written.

    Raises:
        CorruptionError: it is none, or was changed since.
    """
    file = Path(path).expanduser()
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        seal = document.pop("seal")
        known = document["format"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CorruptionError(f"{file}: no certificate of a training frame: {error!r}") from error
    if known != FORMAT:
        raise CorruptionError(f"{file}: a certificate of format {known!r}; this version reads {FORMAT}")
    if _sha256(document) != seal:
        raise CorruptionError(f"{file}: the certificate was changed after it was written; make it again, or find the original")
    return {**document, "seal": seal}


# ---------------------------------------------------------------- code, settings and calendar in force


def code_sha256() -> str:
    """Hash over every module of the package, by its path, and over the code of third parties' features, where there are any."""
    paths = sorted(path.relative_to(_PACKAGE).as_posix() for path in _PACKAGE.rglob("*.py"))
    ours = [[path, hashlib.sha256((_PACKAGE / path).read_bytes()).hexdigest()] for path in paths]
    return _sha256([*ours, *plugin_code()])


def shipped_sha256(*names: str) -> str:
    """Hash over tables that ship with the package, read as data."""
    shipped = files("hydra_assets.config")
    return _sha256([[name, hashlib.sha256((shipped / name).read_bytes()).hexdigest()] for name in names])


def settings_facts(settings: str | None) -> dict[str, str]:
    """Hash of the settings in force; of the shipped ones for a store that was opened by itself, which knows none."""
    if settings is None:
        return {"of": "the shipped settings", "sha256": shipped_sha256(*SETTINGS)}
    return {"of": "the settings in force", "sha256": hashlib.sha256(settings.encode()).hexdigest()}


def _sha256(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
