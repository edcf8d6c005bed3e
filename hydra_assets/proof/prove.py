"""All proofs of a market's features: replay, poison, lint, and the share of stored values that they cover."""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.command import command
from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import column_us, from_us
from hydra_assets.core.months import Month
from hydra_assets.core.names import names_of
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.errors import UnknownFeatureError
from hydra_assets.features import of_family
from hydra_assets.features.compute import registered
from hydra_assets.flow.publish import evidence_of
from hydra_assets.proof.child import fresh_interpreter
from hydra_assets.proof.excuses import MonthExcuses
from hydra_assets.proof.lint.code import CodeRead, read_code
from hydra_assets.proof.poison import Poisoned, poison_many
from hydra_assets.proof.replay import Replay, replay
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore
from hydra_assets.storage.unclaimed import unclaimed_series

INSTANTS = 3  # poisoned ones of a sampled proof
Step = Callable[[int], None]


@dataclass(frozen=True)
class Proof:
    """
    Proofs of one feature.

    Attributes:
        feature: its name.
        family: its family.
        replayed: number of values recomputed from rows known at the time.
        exact: number of these that are equal bit for bit.
        stored: number of non-null values in the store.
        differing: number of rows with another value or quality.
        poisoned: number of values compared under poison.
        moved: number of rows that poison changed.
        lint: number of findings in the feature's module.
        first: description of the first fault, or of what keeps it unproven; empty without one.
        unread: code that the lint could not read.
        outdated: months whose inputs are newer than their publish.
        others: rows that differ in months which are outdated, or were made under other settings.
    """

    feature: str
    family: str
    replayed: int
    exact: int
    stored: int
    differing: int
    poisoned: int
    moved: int
    lint: int
    first: str = ""
    unread: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()
    others: int = 0

    @property
    def coverage(self) -> float:
        """Share of the stored non-null values that were recomputed."""
        return self.replayed / self.stored if self.stored else 0.0

    @property
    def verdict(self) -> str:
        """``failed``, ``proven``, or ``unproven`` without a value to compare."""
        if self.differing or self.moved or self.lint:
            return "failed"
        return "proven" if self.replayed and self.poisoned and not self.unread and not self.others else "unproven"


def chosen(names: Sequence[str] | None) -> list[Feature]:
    """
    Registered features by name.

    Args:
        names: default all.

    Raises:
        UnknownFeatureError: names of no registered feature.
    """
    names = None if names is None else names_of(names, "names")
    known = {feature.name: feature for feature in registered()}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise UnknownFeatureError(f"unknown feature(s) {unknown}; {command('catalogue')} lists all of them")
    return list(registered()) if not names else [known[name] for name in names]


def prove(
    lake: ParquetLake,
    store: FeatureStore,
    market: str,
    features: Sequence[Feature],
    *,
    rules: OptionRules,
    calendar: Calendar | None = None,
    full: bool = False,
    sample: int = 100,
    seed: int = 1,
    step: Callable[[str, int, int], None] | None = None,
) -> Iterator[Proof]:
    """
    Prove *features* over the months that the store holds, a family at a time.

    Args:
        lake: raw and derived tables.
        store: the served values.
        market: symbol of the market.
        features: to prove.
        rules: option rules.
        calendar: exchange calendar; default that of the configured market.
        full: recompute every row and poison once a month; else a sample of one year.
        sample: rows to recompute a family, without *full*.
        seed: of the sample.
        step: called with the current task, the work done and the total.

    Yields:
        One proof a feature.
    """
    calendar = calendar or load_config().calendar_of(market)
    for family in dict.fromkeys(feature.family for feature in features):
        ours = [feature for feature in features if feature.family == family]
        reads = {feature.name: read_code(feature) for feature in ours}
        names = [feature.name for feature in ours]
        declared = of_family(family)
        stored = store.vintages(market, [feature.name for feature in declared])
        months = MonthExcuses.of(store, lake, family, market, rules)
        parts, results = [], []
        for year in _years(
            stored.filter(pc.is_in(stored["feature_name"], pa.array(names, pa.string()))) if not full else stored, full=full, seed=seed
        ):
            rows = rows_between(stored, year[0].first, year[-1].last)
            evidence = evidence_of(lake, family, market, year)  # lookahead-ok: the proofs cut it at each instant
            common = {"family": family, "market": market, "seed": seed, "names": names, "rules": rules, "calendar": calendar}
            total = sum(name in names for name in rows["feature_name"].to_pylist())
            advance = _advance(step, f"{market} {family} {year[0]}..{year[-1]} replay", total if full else min(sample, total))
            size = None if full else sample
            run = fresh_interpreter().run
            parts.append(run(replay, advance, rows=rows, inputs=evidence, sample=size, features=declared, **common))
            instants = _instants(rows.filter(pc.is_in(rows["feature_name"], pa.array(names, pa.string()))), full=full, seed=seed)
            advance = _advance(step, f"{market} {family} {year[0]}..{year[-1]} poison", len(instants))
            if instants:
                results += run(poison_many, advance, inputs=evidence, instants=instants, features=declared, **common)
        yield from (_proof(feature, parts, results, stored, reads[feature.name], months) for feature in ours)


def unclaimed(store: FeatureStore, market: str) -> list[Proof]:
    """Series of the store that no registered feature claims: written by hand, or left by a package that was uninstalled."""
    found = []
    for name in unclaimed_series(store, market):
        values = store.vintages(market, [name])
        first = f"no registered feature claims the series {name}: nothing can recompute it; withdraw it, or install what computes it"
        found.append(Proof(name, "-", 0, 0, values.num_rows - values["value"].null_count, 0, 0, 0, 0, first))
    return found


def _proof(
    feature: Feature, parts: Sequence[Replay], results: Sequence[Poisoned], stored: pa.Table, code: CodeRead, months: MonthExcuses
) -> Proof:
    name = feature.name
    counts = [part.by_feature.get(name, (0, 0, 0)) for part in parts]
    every = [row for part in parts for row in part.differing if row["feature_name"] == name]
    differing = [row for row in every if not months.excuse(row)]
    excused = [row for row in every if months.excuse(row)]
    faults = [part.faults[name] for part in parts if name in part.faults]
    moved = [{**row, "at": result.at} for result in results for row in result.moved if row["feature_name"] == name]
    mine = stored.filter(pc.equal(stored["feature_name"], name))
    first = ""
    if faults:
        first = faults[0]
    elif differing:
        first = ", ".join(f"{k}: {v}" for k, v in differing[0].items() if v)
    elif moved:
        first = "poison: " + ", ".join(f"{k}: {v}" for k, v in moved[0].items())
    elif code.findings:
        first = f"lint: {code.findings[0]}"
    elif excused:
        first = months.excuse(excused[0])
    elif code.unread:
        first = f"the lint could not read {', '.join(code.unread)}"
    return Proof(
        name,
        feature.family,
        replayed=sum(n for n, _, _ in counts),
        exact=sum(n for _, n, _ in counts),
        stored=mine.num_rows - mine["value"].null_count,
        differing=len(differing) + len(faults),
        poisoned=sum(result.by_feature.get(name, 0) for result in results),
        moved=len(moved),
        lint=len(code.findings),
        first=first,
        unread=code.unread,
        outdated=tuple(sorted(months.outdated)),
        others=len(excused),
    )


def _advance(step: Callable[[str, int, int], None] | None, what: str, total: int) -> Step:
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if step is not None:
            step(what, done, total)

    advance(0)
    return advance


def _months(rows: pa.Table) -> list[Month]:
    return sorted({Month.of(day.date()) for day in pc.unique(rows["as_of"]).to_pylist()}) if rows.num_rows else []


def _years(stored: pa.Table, *, full: bool, seed: int) -> list[list[Month]]:
    """
    Months grouped by year: all years with *full*, else one, so that the cost of a sample does not grow with the history.

    The year is a random one of those in which the most features have values: long windows have none in the first years.
    """
    years: dict[int, list[Month]] = {}
    for month in _months(stored):
        years.setdefault(month.year, []).append(month)
    groups = list(years.values())
    if full or not groups:
        return groups
    valued = stored.filter(stored["value"].is_valid())
    counts = [Counter(rows_between(valued, group[0].first, group[-1].last)["feature_name"].to_pylist()) for group in groups]
    most = {name: max(count[name] for count in counts) for count in counts for name in count}
    rich = [sum(2 * count[name] >= most[name] for name in count) for count in counts]
    return [random.Random(seed).choice([group for group, n in zip(groups, rich, strict=True) if n == max(rich)])]  # noqa: S311  a reproducible sample


def _instants(rows: pa.Table, *, full: bool, seed: int) -> list[tuple[int, dt.date]]:
    """Instants at which a row became known, with its day: the middle one of every month with *full*, else a random few."""
    times = (column_us(rows[name], what=name).tolist() for name in ("as_of", "available_at"))
    pairs = sorted(set(zip(*times, strict=True)))
    found = [(at, from_us(as_of).date()) for as_of, at in pairs]
    if full:
        by_month: dict[Month, list[tuple[int, dt.date]]] = {}
        for at, day in found:
            by_month.setdefault(Month.of(day), []).append((at, day))
        return [group[len(group) // 2] for _, group in sorted(by_month.items())]
    return sorted(random.Random(seed).sample(found, min(INSTANTS, len(found))))  # noqa: S311  a reproducible sample
