"""Verification of a certificate: its frame is made again from the facts recorded by then and compared bit for bit."""

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hydra_assets.errors import UnknownFeatureError, WorldError
from hydra_assets.storage.certificate import CALENDAR, code_sha256, fingerprint, read_certificate, settings_facts, shipped_sha256
from hydra_assets.storage.question import Question
from hydra_assets.storage.store import FeatureStore

FIRST = 20


@dataclass(frozen=True)
class ChangedCell:
    """A cell in a row and a column that differ; *value* is today's, since the certificate keeps only hashes."""

    row: int
    market: str
    time: dt.datetime
    column: str
    value: Any


@dataclass(frozen=True)
class Verification:
    """
    Result of a verification.

    Attributes:
        identical: whether the frames are equal bit for bit, columns and rows in order.
        columns: names that differ, including missing and additional ones.
        rows: positions that differ.
        cells: the first differing cells.
        reason: why the frame could not be made again, or how its shape differs; empty otherwise.
        notes: changes since then in code, settings, calendar or store, which are no differences of the frame.
    """

    identical: bool
    columns: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    cells: tuple[ChangedCell, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()


def verify(certificate: str | os.PathLike[str], store: FeatureStore, *, settings: str | None = None) -> Verification:
    """
    Make the frame of *certificate* again and compare.

    Args:
        certificate: file written by `FeatureStore.get_training_frame(..., certificate=path)`.
        store: of the same world.
        settings: text of the current settings, for a note if they changed.

    Raises:
        CorruptionError: not a certificate, or an edited one.
        WorldError: the store belongs to the other world.
    """
    document = read_certificate(certificate)
    held, query = document["store"], document["query"]
    if held["world"] != store.world:
        raise WorldError(f"{certificate}: made in the world {held['world']!r}; the store {store.db_path} is of {store.world!r}")
    notes = _notes(document, store, settings)
    try:
        # The newest recording then, or the question's own cut: fixed-width text.
        by = held["recorded_at"] if query["recorded_by"] is None else min(held["recorded_at"], query["recorded_by"])
        table = store.answer(Question.from_document(query, by), mirrored=False)
    except UnknownFeatureError as error:
        return Verification(False, reason=str(error), notes=notes)
    return _compared(table, document["result"], notes)


def _compared(table: pa.Table, then: Mapping[str, Any], notes: tuple[str, ...]) -> Verification:
    now = fingerprint(table)
    if now == then:
        return Verification(True, notes=notes)
    before, after = ({c["name"]: c for c in facts["columns"]} for facts in (then, now))
    columns = tuple(name for name in {**before, **after} if before.get(name) != after.get(name))
    size = 8  # hexadecimal digits of a row
    hashes = [[facts["row_hashes"][i : i + size] for i in range(0, len(facts["row_hashes"]), size)] for facts in (then, now)]
    if then["rows"] != now["rows"] or [c["name"] for c in then["columns"]] != [c["name"] for c in now["columns"]]:
        shape = f"it had {then['rows']} rows and {len(before)} columns, and has {now['rows']} and {len(after)}"
        return Verification(False, columns, reason=shape, notes=notes)
    rows = tuple(i for i, (a, b) in enumerate(zip(*hashes, strict=True)) if a != b)
    cells = [
        ChangedCell(row, table["market"][row].as_py(), table["time"][row].as_py(), name, table[name][row].as_py())
        for row in rows[:FIRST]
        for name in columns
    ]
    return Verification(False, columns, rows, tuple(cells[:FIRST]), notes=notes)


def _notes(document: Mapping[str, Any], store: FeatureStore, settings: str | None) -> tuple[str, ...]:
    notes = []
    code = document["code"]
    if code["sha256"] != code_sha256():
        notes.append(f"the code is not the same as then (version {code['version']}, {code['sha256'][:12]})")
    then, now = document["config"], settings_facts(settings)
    if then["of"] == now["of"] and then["sha256"] != now["sha256"]:
        notes.append(f"{then['of']} are not the same as then")
    if document.get("unproven"):
        notes.append(f"no registered feature claimed {', '.join(document['unproven'])} then: nothing proves these columns")
    if document["release_calendar"]["sha256"] != shipped_sha256(*CALENDAR):
        notes.append("the release calendar is not the same as then")
    if store.newest_recorded() < dt.datetime.fromisoformat(document["store"]["recorded_at"]):
        notes.append(f"the store is older than the certificate: it holds nothing recorded after {store.newest_recorded().isoformat()}")
    return tuple(notes)
