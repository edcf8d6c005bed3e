"""Facts in columns say what facts one by one say: their checksums, batches, and what of a batch the store holds already."""

import datetime as dt
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_assets.core.instants import INSTANT, from_us
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import ConflictError, HydraError
from hydra_assets.storage.checksums import crcs
from hydra_assets.storage.fact_batch import facts_of
from hydra_assets.storage.fact_columns import Facts
from hydra_assets.storage.facts import Fact, crc
from hydra_assets_tests.conftest import at

WHOLE = st.integers(-(2**63), 2**63 - 1)
VALUE = st.none() | st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 5e-324])
ROW = st.tuples(WHOLE, WHOLE, WHOLE, WHOLE, VALUE, st.sampled_from(QUALITIES), st.integers(0, 1))


@given(st.lists(ROW, max_size=30), st.booleans())
def test_checksums_of_columns_are_those_of_the_rows(rows, alike):
    rows = rows[:1] * 3 if alike else rows
    *numbers, values, qualities, retracted = list(zip(*rows, strict=True)) or [()] * 7
    found = crcs(
        *(np.array(column, dtype=np.int64) for column in numbers),
        np.array([np.nan if value is None else value for value in values], dtype=float),
        np.array([QUALITIES.index(quality) for quality in qualities], dtype=np.int8),
        np.array(retracted, dtype=np.bool_),
    )
    assert found.tolist() == [crc(*row) for row in rows]


def batch(rng, n):
    """Rows in no order, of two markets and three names, each vintage once."""
    rows = {}
    for _ in range(n):
        as_of = at("2025-01-01") + dt.timedelta(rng.randrange(9))
        row = {
            "market": rng.choice(["LE", "HE"]),
            "feature_name": rng.choice("cab"),
            "as_of": as_of,
            "available_at": as_of + dt.timedelta(hours=rng.randrange(3)),
            "value": rng.choice([None, -0.0, 1.5]),
            "quality": rng.choice(QUALITIES),
        }
        rows[tuple(row.values())[:4]] = row
    return list(rows.values())


def as_table(rows):
    kinds = {"as_of": INSTANT, "available_at": INSTANT, "value": pa.float64()}
    return pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.string())) for name in rows[0]})


@pytest.mark.parametrize("seed", range(5))
def test_a_table_and_its_rows_are_the_same_facts(seed):
    rows = batch(random.Random(seed), 60)
    facts = list(facts_of(as_table(rows)))
    assert facts == list(facts_of(rows)) == sorted(facts, key=lambda fact: fact.vintage)
    assert len(facts) == len(rows)
    assert not any(np.signbit(fact.value) for fact in facts if fact.value is not None)
    in_parts = pa.concat_tables([as_table(rows[:7]), as_table(rows[7:9]), as_table(rows[9:])])
    assert list(facts_of(in_parts)) == facts


def test_a_table_that_no_store_may_hold_is_refused_as_its_rows_are():
    good = batch(random.Random(1), 20)
    for name, wrong in (
        ("value", float("nan")),
        ("value", float("inf")),
        ("quality", "good"),
        ("feature_name", "label_x"),
        ("market", "../x"),
    ):
        bad = [*good[:5], {**good[5], name: wrong}, *good[6:]]
        said = []
        for rows in (bad, as_table(bad)):
            with pytest.raises(HydraError) as error:
                facts_of(rows)
            said.append(type(error.value))
        assert said[0] is said[1]
    other = {**good[0], "value": 7.0}
    with pytest.raises(ConflictError, match="one batch says"):
        facts_of(as_table([*good, other]))
    assert list(facts_of(as_table([*good, good[0]]))) == list(facts_of(as_table(good)))


def test_places_of_vintages_in_other_facts():
    mine = Facts.of([Fact("HE", "a", 1, 2, 1.0), Fact("HE", "b", 1, 2, None, "missing"), Fact("HE", "b", 1, 3, 5.0)])
    other = Facts.of(
        [Fact("GF", "a", 1, 2, 1.0), Fact("GF", "b", 1, 2, 1.0), Fact("HE", "b", 1, 2, None, "missing"), Fact("HE", "b", 1, 3, 6.0)]
    )
    places = mine.places_in(other)
    assert places.tolist() == [-1, 2, 3]
    assert mine.equal(other, places).tolist() == [False, True, False]
    near = Facts.of([Fact("HE", "b", 1, 3, 6.0 * (1 + 1e-14))])
    assert near.alike(other, near.places_in(other)).tolist() == [True]
    assert near.equal(other, near.places_in(other)).tolist() == [False]
    assert mine.places_in(Facts.of([])).tolist() == [-1, -1, -1]


def test_a_batch_over_what_the_store_holds_records_what_is_new(any_store):
    rng = random.Random(4)
    rows = batch(rng, 80)
    assert any_store.write_features(as_table(rows)) == len(rows)
    assert any_store.write_features(as_table(rows)) == 0
    changed = [{**row, "value": 9.0} if n % 7 == 0 else row for n, row in enumerate(rows)]
    assert any_store.write_features(as_table(changed)) == len(rows[::7])
    gone = rows[1]
    assert any_store.retract(gone["market"], gone["feature_name"], gone["as_of"], gone["available_at"]) == 1
    assert any_store.write_features(as_table(changed)) == 1
    held = {(row["as_of"], row["value"]) for row in any_store.vintages("HE", ["a"]).to_pylist()}
    assert held == {(row["as_of"], row["value"]) for row in changed if (row["market"], row["feature_name"]) == ("HE", "a")}
    assert from_us(0) < any_store.newest_recorded()
