"""State of a market as known at an instant: its features, the reasons of nulls, what is withheld, and what was inferred."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from hydra_assets.core.feature import Feature
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.desk import Desk
from hydra_assets.features import ALL
from hydra_assets.flow.publish import synthetic_inputs
from hydra_assets.report.reasons import Reasons
from hydra_assets.report.view import View

INFERRED_OVER = dt.timedelta(days=92)  # how far back rows are counted by quality


@dataclass(frozen=True)
class FeatureLine:
    """
    One feature as known at the instant.

    Attributes:
        feature: its declaration; None where its code is not installed.
        name: as stored.
        value: None where it is null, or where no row was known.
        quality: of the row; ``not yet`` where no row was known.
        as_of: the day described.
        available_at: since when the row was known.
        age_days: days from ``as_of`` to the exchange's day at the instant.
        synthetic: whether a synthetic row lies in the feature's window.
        reasons: why the value is null.
        withheld: later rows that describe this time or earlier.
    """

    feature: Feature | None
    name: str
    value: float | None
    quality: str
    as_of: dt.datetime | None
    available_at: dt.datetime | None
    age_days: int | None
    synthetic: bool
    reasons: tuple[str, ...]
    withheld: int

    @property
    def family(self) -> str:
        """Name of its family; ``other`` where its code is not installed."""
        return self.feature.family if self.feature else "other"


@dataclass(frozen=True)
class Withheld:
    """Rows of one day that become available at one instant: their features."""

    as_of: dt.datetime
    available_at: dt.datetime
    features: tuple[str, ...]


@dataclass(frozen=True)
class Inferred:
    """Rows of a table in the last months by quality, as known at the instant."""

    table: str
    rows: int
    by_quality: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class DeskState:
    """All of a market as known at *at*."""

    market: str
    description: str
    world: str
    at: dt.datetime
    zone: dt.tzinfo
    features: tuple[FeatureLine, ...]
    withheld: tuple[Withheld, ...]
    inferred: tuple[Inferred, ...]

    @property
    def families(self) -> dict[str, list[FeatureLine]]:
        """The features by family, in the catalogue's order."""
        found: dict[str, list[FeatureLine]] = {}
        for line in self.features:
            found.setdefault(line.family, []).append(line)
        return found


def state_at(desk: Desk, view: View) -> DeskState:
    """Read everything about the view's market; *desk* is the world that it is a view of."""
    market, at, reasons, synthetic = view.market, view.at, Reasons(view), synthetic_inputs(desk.lake, view.market)
    declared = {feature.name: feature for feature in ALL}
    names = sorted(desk.store.features(market), key=lambda name: list(declared).index(name) if name in declared else len(declared))
    lines, later = [], dict[tuple[dt.datetime, dt.datetime], list[str]]()
    for name in names:
        answer = desk.store.explain(market, name, at)
        for row in answer["withheld"]:
            later.setdefault((row["available_at"], row["as_of"]), []).append(name)
        served = answer["served"]
        value, as_of = (served["value"], served["as_of"]) if served else (None, None)
        lines.append(
            FeatureLine(
                feature=declared.get(name),
                name=name,
                value=value,
                quality=served["quality"] if served else "not yet",
                as_of=as_of,
                available_at=served["available_at"] if served else None,
                age_days=(at.astimezone(view.calendar.zone).date() - as_of.date()).days if as_of else None,
                synthetic=bool(as_of and synthetic(name, as_of)),
                reasons=tuple(reasons.of(name, as_of.date(), served["quality"])) if served and as_of and value is None else (),
                withheld=len(answer["withheld"]),
            )
        )
    return DeskState(
        market=market,
        description=desk.config.market(market).name,
        world=desk.world,
        at=at,
        zone=view.calendar.zone,
        features=tuple(lines),
        withheld=tuple(Withheld(as_of, available, tuple(found)) for (available, as_of), found in sorted(later.items())),
        inferred=tuple(_inferred(desk, view)),
    )


def _inferred(desk: Desk, view: View) -> Sequence[Inferred]:
    found = []
    for table in TABLES.values():
        if table.group == "features" or "quality" not in table.schema.names or not desk.lake.folders(table.name, view.market):
            continue
        rows = view.rows(table, view.until - INFERRED_OVER)
        if rows.num_rows:
            counts = Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(rows["quality"]).to_pylist()})
            found.append(Inferred(table.name, rows.num_rows, tuple(sorted(counts.items()))))
    return found
