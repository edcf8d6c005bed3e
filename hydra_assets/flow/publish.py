"""Feature months of a family: computed from the lake, published to the store, and on their way back into the lake."""

import bisect
import datetime as dt
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets import log
from hydra_assets.config.load import load_config
from hydra_assets.core.audit import early_rows, lookahead_audit
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.instants import EPOCH
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.errors import PluginError
from hydra_assets.features import ALL, compute, of_family
from hydra_assets.features.compute import INPUTS, evidence, is_shipped
from hydra_assets.features.look_back import DAYS_PER_SESSION, look_back
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.suspension import suspended
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

SETTINGS = "settings="  # a publish keeps the hash of its settings beside the folders that it used


@dataclass(frozen=True)
class FeatureMonth:
    """
    One month of a family's features.

    Attributes:
        rows: FEATURE_SCHEMA, all vintages with ``as_of`` in the month.
        watermarks: folder of every raw month inside the look-back to the newest recording in it.
        audit: of lookahead, for `FeatureStore.publish`; one for all months computed from the same inputs.
        settings: hash of the settings that decide values.
        faults: features of third parties that could not be computed, and why; the publish does not speak for them.
    """

    month: Month
    rows: pa.Table
    watermarks: Mapping[str, dt.datetime]
    audit: Callable[[pa.Table], None]
    settings: str = ""
    faults: Mapping[str, PluginError] = field(default_factory=dict)


def settings_hash(rules: OptionRules | None) -> str:
    """Short hash of the settings that decide the values of features."""
    return hashlib.sha256(repr(rules or OptionRules()).encode()).hexdigest()[:16]


def reach_of(family: str) -> dict[str, dt.timedelta]:
    """
    Tables that a publish of the family rests on, and how far back each is read: its inputs, and those of its audit.

    Tables of the audit count as used: a row that it has not seen could be the one that it would object to.
    """
    return {name: look_back(family, name) for name in dict.fromkeys((*INPUTS[family], *evidence(family)))}


def evidence_of(lake: ParquetLake, family: str, market: str, months: Sequence[Month]) -> dict[str, pa.Table]:
    """Every vintage, within the reach of *months*, of the tables that a proof of the family starts from."""
    return _read(lake, family, market, months, evidence(family))


def _read(lake: ParquetLake, family: str, market: str, months: Sequence[Month], names: Iterable[str]) -> dict[str, pa.Table]:
    first, last = min(months).first, max(months).last
    starts = {name: first - look_back(family, name) for name in names}
    return {
        name: lake.read_vintages(name, market, start, last)  # lookahead-ok: engines stamp their rows
        for name, start in starts.items()
    }


def compute_months(
    lake: ParquetLake, family: str, market: str, months: Sequence[Month], rules: OptionRules | None = None
) -> Iterator[FeatureMonth]:
    """The feature months requested, ascending; the look-back is read once a year of them, so memory does not grow with the range."""
    reach, calendar = reach_of(family), load_config().calendar_of(market)
    for _, group in groupby(sorted(months), key=lambda month: month.year):
        chunk = list(group)
        # Watermarks before rows: a row that arrives between the two makes the watermark too old, never too new.
        watermarks = {name: lake.watermarks(name, market, chunk[0].first - before, chunk[-1].last) for name, before in reach.items()}
        read = _read(lake, family, market, chunk, reach)
        proof_of = {name: read[name] for name in evidence(family)}
        audit = lookahead_audit(proof_of, of_family(family), calendar=calendar)
        inputs = {name: read[name] for name in INPUTS[family]}
        recorded = max((at for found in watermarks.values() for at in found.values()), default=None)
        bounds = {"start": chunk[0].first, "end": chunk[-1].last}
        rows, faults = _computed(family, inputs, market=market, rules=rules, calendar=calendar, known_at=recorded, **bounds)
        rows, stamped_early = _without_early(rows, family, proof_of, calendar)
        faults |= stamped_early
        for month in chunk:
            used = {
                key: at
                for name, found in watermarks.items()
                for key, at in found.items()
                if Month.of(month.first - reach[name]) <= _month_of(key) <= month
            }
            yield FeatureMonth(month, rows_between(rows, month.first, month.last), used, audit, settings_hash(rules), faults)


def _computed(family: str, inputs: Mapping[str, pa.Table], **bounds: Any) -> tuple[pa.Table, dict[str, PluginError]]:
    """Rows of the family, and the errors of features of third parties that are left out since they could not be computed."""
    faults: dict[str, PluginError] = {}
    while True:
        names = [feature.name for feature in of_family(family) if feature.name not in faults] if faults else None
        try:
            return compute(family, inputs, names=names, **bounds), faults
        except PluginError as error:
            if error.feature in faults:
                raise
            faults[error.feature] = error
            log.get("features").warning("a feature of a third party is left out", feature=error.feature, error=str(error))


def _without_early(
    rows: pa.Table, family: str, inputs: Mapping[str, pa.Table], calendar: Calendar
) -> tuple[pa.Table, dict[str, PluginError]]:
    """
    *rows* with those of third parties suspended that the audit objects to, which would else refuse the whole family's months.

    Where it objects to the stamps themselves, so that a null is refused too, the feature is left out; its error is the second answer.
    """
    theirs = [feature for feature in of_family(family) if not is_shipped(feature)]
    if not theirs or not rows.num_rows:
        return rows, {}
    mine = rows.filter(pc.is_in(rows["feature_name"], pa.array([feature.name for feature in theirs], pa.string())))

    def objections(to: pa.Table) -> dict[str, str]:
        early = early_rows(to, inputs, theirs, calendar=calendar).to_pylist()
        return {row["feature_name"]: f"as of {row['as_of']}: {row['reason']}" for row in reversed(early)}

    first = objections(mine)
    stamps = objections(suspended(mine, first)) if first else {}
    for name, reason in first.items():
        done = "it is left out, since its windows must hold what a row waits for" if name in stamps else "its values are suspended"
        log.get("features").warning(f"a feature of a third party looks ahead; {done}", feature=name, reason=reason)
    sound = pc.invert(pc.is_in(rows["feature_name"], pa.array(list(stamps), pa.string())))
    faults = {name: PluginError(f"{name} looks ahead, {reason}", feature=name) for name, reason in stamps.items()}
    return suspended(rows.filter(sound), first), faults


def publish_month(store: FeatureStore, family: str, market: str, computed: FeatureMonth, *, allow_retract: bool = False) -> int:
    """
    Publish one computed month; the number of facts recorded.

    Raises:
        LookaheadError: a value stands before an input of its window; nothing was written.
        StaleInputsError: a newer publish rests on newer inputs; nothing was written.
        RetractionError: stored values are missing from the answer; nothing was written.
    """
    settings = {f"{SETTINGS}{computed.settings}": EPOCH} if computed.settings else {}
    return store.publish(
        market,
        str(computed.month),
        computed.rows,
        features=[feature.name for feature in of_family(family) if feature.name not in computed.faults],
        inputs={**computed.watermarks, **settings},
        audit=computed.audit,
        allow_retract=allow_retract,
    )


def batch_of(family: str, market: str, computed: FeatureMonth, *, allow_retract: bool = False) -> Batch:
    """The computed month on its way into the lake."""
    return Batch(FEATURE_TABLES[family], market, computed.month, computed.rows, allow_retract=allow_retract)


def synthetic_inputs(lake: ParquetLake, market: str) -> Callable[[str, dt.datetime], bool]:
    """Whether the window of a feature's value of a day holds a synthetic row of the lake."""
    windows = {feature.name: _resolved(feature) for feature in ALL}
    days: dict[str, list[dt.date]] = {}
    for name in sorted({window.dataset for resolved in windows.values() for window in resolved}):
        if "synthetic" in TABLES[name].schema.names and lake.folders(name, market):
            table = lake.read(name, market, columns=["as_of", "synthetic"])  # lookahead-ok: a flag shown beside values
            days[name] = sorted(as_of.date() for as_of in pc.unique(table.filter(table["synthetic"])["as_of"]).to_pylist())

    def uses(feature: str, as_of: dt.datetime) -> bool:
        return any(_holds(days.get(window.dataset, []), *_reach(window, as_of.date())) for window in windows.get(feature, ()))

    return uses


def _resolved(feature: Feature) -> list[Window]:
    """The feature's windows, those over feature tables replaced by the windows of what stands in these, as far back again."""
    found: list[Window] = []
    for window in feature.windows:
        named = dict(window.where).get("feature_name")
        upstream = next((other for other in ALL if other.name == named), None)
        if upstream is None:
            found.append(window)
            continue
        for inner in _resolved(upstream):
            back = window.first if inner.unit == window.unit else math.floor(window.first / 5) - 1
            found.append(replace(inner, first=inner.first + back))
    return found


def _reach(window: Window, day: dt.date) -> tuple[dt.date, dt.date]:
    """First and last calendar day that a window can touch."""
    if window.unit == "weeks":
        monday = day - dt.timedelta(day.weekday())
        return monday + dt.timedelta(weeks=window.first), monday + dt.timedelta(weeks=window.last + 1) - dt.timedelta(1)
    return day - dt.timedelta(math.ceil(-window.first * DAYS_PER_SESSION)), day + dt.timedelta(window.last)


def _holds(days: Sequence[dt.date], first: dt.date, last: dt.date) -> bool:
    at = bisect.bisect_left(days, first)
    return at < len(days) and days[at] <= last


def _month_of(folder_key: str) -> Month:
    parts = dict(part.split("=", 1) for part in folder_key.split("/"))
    return Month(int(parts["year"]), int(parts["month"]))
