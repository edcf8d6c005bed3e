"""The table of settlements beside their daily price limits: the definitions' limits, judged by the settlement before."""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Ints
from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.core.instants import DAY_US, instants
from hydra_assets.core.tables.futures import FUTURES_DEFINITIONS, FUTURES_LIMITS
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.features.columns import nullable, numbers_at
from hydra_assets.features.days import DAYS, day_range, days_of, previous_sessions, sessions_between
from hydra_assets.features.futures.events import DEFINITIONS, STATISTICS, contracts_of, distinct_contracts, names_of_rows
from hydra_assets.features.limits import WORDS, at_limit, sane_limits
from hydra_assets.features.quality import MISSING, quality_codes
from hydra_assets.features.settlements import standing_settlements
from hydra_assets.features.vintages import CellVintages, VintageIndex, changed, known_from, place_among, unique_pairs


def build_limits(
    inputs: Mapping[str, pa.Table],
    *,
    calendar: Calendar = DEFAULT_CALENDAR,
    start: dt.date | None = None,
    end: dt.date | None = None,
    known_at: dt.datetime | None = None,
) -> pa.Table:
    """
    All vintages: a row when a contract's final settlement is known, a further one when it, the one before or the limits change.

    Args:
        inputs: ``futures_statistics`` and ``futures_definitions`` as they lie in the lake, every vintage.
        calendar: the market's.
        start: earliest ``as_of`` day of the answer.
        end: latest ``as_of`` day of the answer.
        known_at: as in `compute`.

    Returns:
        FUTURES_LIMITS, in order of day, expiration and available_at.
    """
    statistics = inputs[STATISTICS]
    if not statistics.num_rows:
        return FUTURES_LIMITS.schema.empty_table()
    number = distinct_contracts(*names_of_rows(statistics), known_from(statistics))[1]
    standing = standing_settlements(statistics, number, calendar, known_at)
    settled = standing.filter(pc.equal(standing["stat"], "settlement")).combine_chunks()
    low, high = day_range(start, end)
    if not settled.num_rows:
        return FUTURES_LIMITS.schema.empty_table()
    contracts, contract = distinct_contracts(*names_of_rows(settled), known_from(settled))
    day = days_of(settled)
    code = contract * DAYS + day
    cells, cell = np.unique(code, return_inverse=True)
    wanted = cells[(cells % DAYS >= low) & (cells % DAYS <= high) & np.isin(cells % DAYS, sessions_between(day, calendar))]
    defined = inputs.get(DEFINITIONS, FUTURES_DEFINITIONS.schema.empty_table())
    defined = (defined if defined.num_rows else FUTURES_DEFINITIONS.schema.empty_table()).combine_chunks()
    of_defined = contracts_of(defined, contracts)
    rows = np.flatnonzero(of_defined >= 0)
    limited, limit = np.unique(of_defined[rows] * DAYS + days_of(defined)[rows], return_inverse=True)
    prints = CellVintages.of(settled, cell.reshape(-1).astype(np.int64), np.arange(settled.num_rows))
    index = VintageIndex(
        {"settlement": prints, "before": prints, "limit": CellVintages.of(defined, limit.reshape(-1).astype(np.int64), rows)}
    )
    places = {
        "settlement": place_among(cells, wanted),
        "before": place_among(cells, wanted - wanted % DAYS + previous_sessions(wanted % DAYS, calendar)),
        "limit": place_among(limited, wanted),
    }
    return _table(settled, defined, index, places)


def _table(settled: pa.Table, defined: pa.Table, index: VintageIndex, places: Mapping[str, Ints]) -> pa.Table:
    updates = [index.updates(name, cells) for name, cells in places.items()]
    row, rank = unique_pairs(np.concatenate([r for r, _ in updates]), np.concatenate([k for _, k in updates]))
    found = {name: index.newest(name, cells[row], rank) for name, cells in places.items()}
    live = found["settlement"] >= 0
    row, rank, found = row[live], rank[live], {name: rows[live] for name, rows in found.items()}
    price, before = (numbers_at(settled, "value", found[name]) for name in ("settlement", "before"))
    low, high = (numbers_at(defined, name, found["limit"]) for name in ("low_limit", "high_limit"))
    low, high = sane_limits(low, high, before)
    lock, take = at_limit(price, low, high), pa.array(found["settlement"])
    quality = np.where(np.isnan(price), MISSING, quality_codes(settled["quality"])[found["settlement"]])
    keep = changed(row, price, before, low, high, lock, quality)
    table = pa.table(
        {
            **{name: settled[name].take(take) for name in ("instrument", "instrument_id", "expiration", "synthetic")},
            "as_of": instants(days_of(settled)[found["settlement"]] * DAY_US),
            "available_at": instants(index.instants[rank]),
            "settlement": nullable(price),
            "settlement_before": nullable(before),
            "low_limit": nullable(low),
            "high_limit": nullable(high),
            "at_limit": pa.array([WORDS[code] for code in lock.tolist()], pa.string()),
            "quality": pa.array(QUALITIES).take(pa.array(quality)),
        }
    )
    order = [("as_of", "ascending"), ("expiration", "ascending"), ("available_at", "ascending")]
    return FUTURES_LIMITS.conform(table.filter(pa.array(keep)).sort_by(order))
