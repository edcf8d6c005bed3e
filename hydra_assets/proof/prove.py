"""All proofs of a market's features side by side: replay, poison, lint, and how much of what is stored they cover."""

import datetime as dt
import inspect
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import column_us, from_us
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.errors import UnknownFeatureError
from hydra_assets.features import ALL
from hydra_assets.flow.publish import evidence_of
from hydra_assets.proof.lint.linter import lint
from hydra_assets.proof.poison import Poisoned, poison
from hydra_assets.proof.replay import Replay, replay
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

INSTANTS = 3  # at which a sampled proof poisons
Step = Callable[[int], None]


@dataclass(frozen=True)
class Proof:
    """
    One feature's proofs.

    Attributes:
        replayed, exact: values recomputed from what was known, and those of them equal to the last bit. stored: values there are.
        differing: rows that came out otherwise. poisoned: values looked at under poison. moved: rows that poison changed.
        lint: findings in the feature's own module.
        first: the first fault in words, or nothing.
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

    @property
    def coverage(self) -> float:
        """Share of the stored non-null values that were recomputed."""
        return self.replayed / self.stored if self.stored else 0.0

    @property
    def verdict(self) -> str:
        """``failed``, ``proven``, or ``unproven`` where there was no value to look at."""
        if self.differing or self.moved or self.lint:
            return "failed"
        return "proven" if self.replayed and self.poisoned else "unproven"


def chosen(names: Sequence[str] | None) -> list[Feature]:
    """The features of *names*, all of them by default; UnknownFeatureError naming those that are not registered."""
    known = {feature.name: feature for feature in ALL}
    strangers = [name for name in names or () if name not in known]
    if strangers:
        raise UnknownFeatureError(f"unknown feature(s) {strangers}; hydra-assets catalogue lists all of them")
    return list(ALL) if not names else [known[name] for name in names]


def prove(
    lake: ParquetLake,
    store: FeatureStore,
    market: str,
    features: Sequence[Feature],
    *,
    rules: OptionRules,
    full: bool = False,
    sample: int = 100,
    seed: int = 1,
    step: Callable[[str, int, int], None] | None = None,
) -> Iterator[Proof]:
    """
    The proofs of *features* in the months that the store holds, a family at a time.

    Args:
        full: recompute every row, and poison once a month; else *sample* rows a family and a few instants.
        step: told what is under way, how much of it is done, and of how much.
    """
    lints = {path: len(lint([path])) if path is not None else 0 for path in {source_of(feature) for feature in features}}
    for family in dict.fromkeys(feature.family for feature in features):
        ours = [feature for feature in features if feature.family == family]
        names = [feature.name for feature in ours]
        stored = store.vintages(market, names)
        years = _years(stored, full=full, seed=seed)
        if not years:
            yield from (Proof(f.name, family, 0, 0, 0, 0, 0, 0, lints[source_of(f)]) for f in ours)
            continue
        parts, blows = [], []
        for year in years:
            rows = rows_between(stored, year[0].first, year[-1].last)
            evidence = evidence_of(lake, family, market, year)  # lookahead-ok: the proofs cut it at each instant
            want = None if full else sample
            tell = _teller(step, f"{market} {family} {year[0]}..{year[-1]} replay", rows.num_rows if full else min(sample, rows.num_rows))
            parts.append(replay(rows, evidence, family=family, market=market, sample=want, seed=seed, names=names, rules=rules, step=tell))
            instants = _instants(rows, full=full, seed=seed)
            tell = _teller(step, f"{market} {family} {year[0]}..{year[-1]} poison", len(instants))
            for at, day in instants:
                blows.append(poison(evidence, family=family, market=market, at=at, around=day, seed=seed, names=names, rules=rules))
                tell(1)
        yield from (_proof(feature, parts, blows, stored, lints[source_of(feature)]) for feature in ours)


def source_of(feature: Feature) -> Path | None:
    """The file in which the feature's function is written; None where there is none (a builtin)."""
    try:
        return Path(inspect.getsourcefile(feature.function) or "")
    except TypeError:
        return None


def _proof(feature: Feature, parts: Sequence[Replay], blows: Sequence[Poisoned], stored: pa.Table, lint_findings: int) -> Proof:
    name = feature.name
    counts = [part.by_feature.get(name, (0, 0, 0)) for part in parts]
    differing = [row for part in parts for row in part.differing if row["feature_name"] == name]
    moved = [{**row, "at": blow.at} for blow in blows for row in blow.moved if row["feature_name"] == name]
    mine = stored.filter(pc.equal(stored["feature_name"], name))
    first = ""
    if differing:
        first = ", ".join(f"{k}: {v}" for k, v in differing[0].items() if v)
    elif moved:
        first = "poison: " + ", ".join(f"{k}: {v}" for k, v in moved[0].items())
    return Proof(
        name,
        feature.family,
        replayed=sum(n for n, _, _ in counts),
        exact=sum(n for _, n, _ in counts),
        stored=mine.num_rows - mine["value"].null_count,
        differing=len(differing),
        poisoned=sum(blow.by_feature.get(name, 0) for blow in blows),
        moved=len(moved),
        lint=lint_findings,
        first=first,
    )


def _teller(step: Callable[[str, int, int], None] | None, what: str, total: int) -> Step:
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if step is not None:
            step(what, done, total)

    tell(0)
    return tell


def _months(rows: pa.Table) -> list[Month]:
    return sorted({Month.of(day.date()) for day in pc.unique(rows["as_of"]).to_pylist()}) if rows.num_rows else []


def _years(stored: pa.Table, *, full: bool, seed: int) -> list[list[Month]]:
    """
    Months by year: all of them, or one year, so that a sample costs no more with a longer history.

    It is a year at random of those in which the most features have their share of values: a long window has none in the first years.
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
    """Instants at which something became known, and the day that it describes: the middle one of every month, or a few at random."""
    times = (column_us(rows[name], what=name).tolist() for name in ("as_of", "available_at"))
    pairs = sorted(set(zip(*times, strict=True)))
    found = [(at, from_us(as_of).date()) for as_of, at in pairs]
    if full:
        by_month: dict[Month, list[tuple[int, dt.date]]] = {}
        for at, day in found:
            by_month.setdefault(Month.of(day), []).append((at, day))
        return [group[len(group) // 2] for _, group in sorted(by_month.items())]
    return sorted(random.Random(seed).sample(found, min(INSTANTS, len(found))))  # noqa: S311  a reproducible sample
