"""Facts that all families share: their registry, their calendar, and one meaning of the same number."""

import ast
import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

import hydra_assets
from hydra_assets.core.audit import early_rows
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.features import ALL, compute, of_family
from hydra_assets.features.registry import FAMILIES
from hydra_assets.features.rows import changed_rows
from hydra_assets_tests.support import futures_history

PACKAGE = Path(hydra_assets.__file__).parent
D = dt.date
CLOSED = D(2025, 3, 12)
OTHER = replace(LIVESTOCK, name="Other", closed=LIVESTOCK.closed | {CLOSED})


def test_every_family_has_its_table_inputs_and_features():
    assert {name: family.table for name, family in FAMILIES.items()} == FEATURE_TABLES
    assert {feature.family for feature in ALL} == set(FAMILIES)
    for name, family in FAMILIES.items():
        assert set(family.inputs) <= set(TABLES)
        assert family.features == of_family(name)
        assert family.heading


@pytest.mark.parametrize("calendar", [None, OTHER])
def test_the_engine_and_the_audit_take_their_sessions_from_the_calendar_given(calendar):
    inputs = futures_history.history(D(2025, 2, 3), D(2025, 3, 31))
    rows = compute("futures", inputs, market="HE", names=["fut_ret_1d"], start=D(2025, 3, 10), end=D(2025, 3, 14), calendar=calendar)
    days = {day.date() for day in rows["as_of"].to_pylist()}
    assert (CLOSED in days) is (calendar is None)
    early = early_rows(rows, inputs, of_family("futures"), calendar=calendar or LIVESTOCK)
    assert early.num_rows == 0
    other = early_rows(rows, inputs, of_family("futures"), calendar=OTHER)
    assert (f"{CLOSED}" in pc.unique(other["as_of"]).to_pylist()) is (calendar is None)


def test_a_change_is_new_relative_to_the_number_however_small_it_is():
    day, quality = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    value = np.array([1e-6, 1e-6 * (1 + 1e-13), 1e-6 * (1 + 1e-8), 1e-6 * (1 + 1e-8)])
    assert changed_rows(day, value, quality).tolist() == [True, False, True, False]


def test_no_engine_knows_a_calendar_or_a_zone_of_its_own():
    audits = (PACKAGE / "core" / "audit.py", PACKAGE / "core" / "audit_daily.py")
    for path in (*(PACKAGE / "features").rglob("*.py"), *audits):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert "ZoneInfo" not in names, path
            assert not {"session_days", "is_session", "LIVESTOCK"} & set(names), path
