"""
Leaks as they happen, each planted in working code and held against every proof: which of them sees it, and which cannot.

A leak is a feature, or what an engine does with its rows. It is computed from a real lake and published to a real store, and
the proofs look at both as the asset checks do. The frame is what a desk would have trained on; it is audited against a store
that the honest feature of the same name was published to.
"""

import datetime as dt
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import hydra_assets
import hydra_assets.proof
from hydra_assets.core.audit import early_rows
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.feature import Answer, Feature, Values, Window
from hydra_assets.core.instants import column_us
from hydra_assets.core.months import months_between
from hydra_assets.errors import LookaheadError
from hydra_assets.features import of_family
from hydra_assets.features.compute import evidence
from hydra_assets.features.futures.panel import HIGH, OPEN_INTEREST
from hydra_assets.features.futures.readiness import BAR as BAR_READY
from hydra_assets.features.futures.readiness import FRONT, Readiness
from hydra_assets.flow.publish import compute_months, evidence_of, publish_month
from hydra_assets.proof.lint.linter import lint_source
from hydra_assets.proof.poison import poison
from hydra_assets.proof.replay import replay
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at
from hydra_assets_tests.proof.test_poison import fill
from hydra_assets_tests.support import cot_history, futures_history
from hydra_assets_tests.support.entry_points import ROOM, only
from hydra_assets_tests.support.futures_history import ct

MARKET = {"cot": "LE", "futures": "HE"}
MONTHS = {"cot": months_between("2024-08", "2024-11"), "futures": months_between("2025-09", "2025-10")}
D = dt.date
BACK = 24
SETTLED = (("stat", "settlement"), ("is_final", True))


# ---------------------------------------------------------------- features: the honest one and the one that leaks


def whole(panel):
    """The front contract's price on every session of the panel."""
    return panel.price(np.arange(len(panel.days)), 0)


def said(values, t):
    return Values(np.asarray(values, dtype=float)[t])


def trailing_mean(panel, t):
    return said(pd.Series(whole(panel)).rolling(5).mean(), t)


def centred_mean(panel, t):
    return said(pd.Series(whole(panel)).rolling(5, center=True).mean(), t)


def trailing_z(panel, t):
    price = pd.Series(whole(panel))
    return said((price - price.rolling(20).mean()) / price.rolling(20).std(), t)


def whole_sample_z(panel, t):
    price = whole(panel)
    return said((price - np.nanmean(price)) / np.nanstd(price), t)


def daily_high(panel, t):
    return Values(panel.at(HIGH, t, panel.legs[t, 0]))


def high_of_the_day_before(panel, t):
    return said(panel.at(HIGH, np.arange(len(panel.days)), panel.legs[:, 0]), t - 1)


def back_filled_high(panel, t):
    high = panel.at(HIGH, np.arange(len(panel.days)), panel.legs[:, 0])
    return said(pd.Series(high).bfill(), t - 1)


def interest_of_the_day_before(panel, t):
    return Values(panel.at(OPEN_INTEREST, t - 1, panel.legs[t, 0]))


def interest_of_its_own_day(panel, t):
    return Values(panel.at(OPEN_INTEREST, t, panel.legs[t, 0]))


def settlement(panel, t):
    return Values(panel.price(t, 0))


def back_adjusted(panel, t):
    """Anchored at the newest price of the sample: each roll to come moves all of it."""
    price = whole(panel)
    level = np.nancumsum(panel.moves)
    newest = np.flatnonzero(np.isfinite(price))[-1]
    return said(price[newest] + level - level[newest], t)


# ---------------------------------------------------------------- the same over a frame of rows in time


def rows_trailing(f):
    return f["price"].rolling(5).mean()


def rows_centred(f):
    return f["price"].rolling(5, center=True).mean()


def rows_trailing_z(f):
    return (f["price"] - f["price"].rolling(20).mean()) / f["price"].rolling(20).std()


def rows_whole_z(f):
    return (f["price"] - f["price"].mean()) / f["price"].std()


def rows_back_filled(f):
    return f["high"].bfill()


def rows_back_adjusted(f):
    level = f["move"].cumsum()
    return f["price"].iloc[-1] + level - level.iloc[-1]


def rows_of_a_curve():
    rng = np.random.default_rng(11)
    price = 80 + rng.normal(size=90).cumsum()
    high = np.where(rng.random(90) < 0.1, np.nan, price + 1)
    move = np.diff(price, prepend=np.nan) + np.where(np.arange(90) % 30 == 7, 2.5, 0.0)  # what a roll leaves out
    return pd.DataFrame({"ts": pd.date_range("2025-07-01", periods=90, tz="UTC"), "price": price, "high": high, "move": move})


def longs(cot):
    return Answer(float(cot["mm_long"][-1]))


# ---------------------------------------------------------------- engines that stamp their rows wrongly


def on_the_tuesday(rows):
    """The first value of each report, known on the day that it describes."""
    first = pa.Table.from_pylist(list({r["as_of"]: r for r in reversed(rows.to_pylist())}.values()), schema=rows.schema)
    return stamped(first, first["as_of"])


def on_its_own_morning(rows):
    """Known when the day's trading opens."""
    return stamped(rows, pc.add(rows["as_of"], pa.scalar(dt.timedelta(hours=14))))


def on_the_first_release(rows):
    """The last value of each day, known since its first."""
    frame = rows.to_pandas().sort_values("available_at")
    frame["available_at"] = frame.groupby(["feature_name", "as_of"])["available_at"].transform("first")
    last = frame.drop_duplicates(["feature_name", "as_of"], keep="last").sort_index()
    return pa.Table.from_pandas(last, preserve_index=False).cast(rows.schema)


def stamped(rows, instants):
    i = rows.column_names.index("available_at")
    return rows.set_column(i, rows.schema.field(i), instants.cast(rows.schema.field(i).type))


def final_prints(lake, times):
    """A desk's own join: of every day the value as it stands in the end."""
    rows = lake.read("futures_features", "HE").to_pandas().sort_values("available_at")
    final = rows.drop_duplicates("as_of", keep="last")
    first = rows.drop_duplicates("as_of", keep="first").set_index("as_of")["available_at"]
    final = final.assign(since=final["as_of"].map(first)).sort_values("since")
    return pd.merge_asof(
        pd.DataFrame({"time": pd.to_datetime(times, utc=True)}), final[["since", "value"]], left_on="time", right_on="since"
    )


# ---------------------------------------------------------------- the leaks, and what is expected of each proof

PROOFS = ("audit", "replay", "poison", "lint", "frame", "causal")
STAMPS_ONLY = "it looks at stamps against declared windows, and both are in order"
OWN_NUMBER = "the number is no vintage of the honest feature: counted as unknown, not accused"
NOT_IN_CODE = "nothing in the code's form tells the session before from the day itself, or one instant from another"
GIVEN_STAMPS = "it takes the times of its rows as they are given: the function is right, the stamps are not"
HONEST_STORE = "the store is honest: the join is made outside"


@dataclass(frozen=True)
class Leak:
    """
    One way of looking ahead.

    Attributes:
        honest, leaks: the feature's function, as it should be and as it is.
        engine: what becomes of computed rows.
        misses: the proofs that do not see it, and why not; all others do.
    """

    name: str
    family: str
    honest: Callable
    leaks: Callable
    misses: dict[str, str]
    engine: Callable | None = None
    needs: Readiness = FRONT
    rows: Callable | None = None  # the same over a frame of rows in time, where it can be said of one
    honest_rows: Callable | None = None
    windows: tuple[Window, ...] = ()


PRICES = (
    Window("futures_statistics", -BACK, unit="sessions", where=SETTLED),
    Window("futures_statistics", -BACK - 5, -1, unit="sessions", required=(), at_least=0, where=(("stat", "open_interest"),)),
)
BAR = (Window("futures_bars", 0, unit="sessions"), *PRICES)
BAR_BEFORE = (Window("futures_bars", -1, -1, unit="sessions", required=()), *PRICES)

LEAKS = (
    Leak("a centred window", "futures", trailing_mean, centred_mean, {"audit": STAMPS_ONLY}, rows=rows_centred, honest_rows=rows_trailing),
    Leak(
        "a whole-sample z-score",
        "futures",
        trailing_z,
        whole_sample_z,
        {"audit": STAMPS_ONLY, "frame": OWN_NUMBER},
        rows=rows_whole_z,
        honest_rows=rows_trailing_z,
    ),
    Leak(
        "a back-fill",
        "futures",
        high_of_the_day_before,
        back_filled_high,
        {},
        windows=BAR_BEFORE,
        rows=rows_back_filled,
        honest_rows=lambda f: f["high"].shift(1),
    ),
    Leak("a report stamped with its Tuesday", "cot", longs, longs, {"lint": NOT_IN_CODE, "causal": GIVEN_STAMPS}, engine=on_the_tuesday),
    Leak(
        "a revision back-dated to the first release",
        "cot",
        longs,
        longs,
        {"audit": STAMPS_ONLY, "lint": NOT_IN_CODE, "causal": GIVEN_STAMPS},
        engine=on_the_first_release,
    ),
    Leak(
        "open interest used on its own day",
        "futures",
        interest_of_the_day_before,
        interest_of_its_own_day,
        {"audit": STAMPS_ONLY, "lint": NOT_IN_CODE, "causal": GIVEN_STAMPS},
    ),
    Leak(
        "a daily bar used on its own morning",
        "futures",
        daily_high,
        daily_high,
        {"lint": NOT_IN_CODE, "causal": GIVEN_STAMPS},
        engine=on_its_own_morning,
        needs=BAR_READY,
        windows=BAR,
    ),
    Leak(
        "a back-adjusted series that moves with each roll",
        "futures",
        settlement,
        back_adjusted,
        {"audit": STAMPS_ONLY, "lint": NOT_IN_CODE, "frame": OWN_NUMBER},
        rows=rows_back_adjusted,
        honest_rows=lambda f: f["price"],
    ),
)


def feature(leak: Leak, function: Callable) -> Feature:
    pattern = of_family(leak.family)[0]
    more = {"windows": leak.windows or PRICES, "needs": leak.needs} if leak.family == "futures" else {}
    return replace(pattern, name="mine", function=function, **more)


# ---------------------------------------------------------------- the lake, the stores, the proofs


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Four months of a futures curve, with bars lost and settlements corrected, and a year of reports with one revised."""
    made = ParquetLake(tmp_path_factory.mktemp("leaks") / "lake", world="sample")
    curve = futures_history.history(D(2025, 7, 1), D(2025, 10, 31))
    lost = pc.is_in(pc.day(curve["futures_bars"]["as_of"]), pa.array([9, 16, 23]))
    curve["futures_bars"] = curve["futures_bars"].filter(pc.invert(lost))
    settled = curve["futures_statistics"].filter(pc.equal(curve["futures_statistics"]["stat"], "settlement"))
    corrected = []
    for row in settled.filter(pc.is_in(pc.day(settled["as_of"]), pa.array([4, 12, 18]))).to_pylist():
        late = ct(row["as_of"].date() + dt.timedelta(3), "10:00")
        corrected.append(row | {"available_at": late, "stamped_at": late, "value": row["value"] + 0.525})
    more = pa.Table.from_pylist(corrected, schema=settled.schema)
    curve["futures_statistics"] = pa.concat_tables([curve["futures_statistics"], more])
    fill(made, "HE", curve)
    reports = cot_history.weeks(2024, 2024)
    for n in (36, 39, 41):
        reports = cot_history.revised(reports, n, available_at=at(f"2024-12-{n - 20} 15:00"), mm_long=123_456 + n)
    fill(made, "LE", {"cot_disaggregated": reports})
    return made


def published(lake, path, leak, function, engine, *, audited):
    """The store that the feature was published to; without the audit where it would refuse."""
    with only(feature(leak, function)), pytest.MonkeyPatch.context() as patch:
        stamping(patch, engine)
        with FeatureStore(path, world="sample") as store:
            for computed in compute_months(lake, leak.family, MARKET[leak.family], MONTHS[leak.family]):
                month = computed if audited else replace(computed, audit=lambda rows: None)
                publish_month(store, leak.family, MARKET[leak.family], month)
            return store.vintages(MARKET[leak.family], ["mine"])


def stamping(patch, engine):
    """Replace the rows of every family's engine, for all callers, by what *engine* makes of them."""
    if engine is not None:
        stamped_ones = {
            name: replace(family, compute=lambda *a, real=family.compute: engine(real(*a))) for name, family in ROOM.FAMILIES.items()
        }
        patch.setattr(ROOM, "FAMILIES", stamped_ones)


def frame_of(path, leak):
    with FeatureStore(path) as store:
        return store.get_training_frame([MARKET[leak.family]], times_of(leak.family), ["mine"])


def times_of(family):
    first, last = MONTHS[family][0].first, MONTHS[family][-1].last
    return sorted(t for clock in ("08:05", "12:00", "18:30") for t in LIVESTOCK.instants(first, last, at=clock))


def source(function):
    return "import numpy as np\nimport pandas as pd\n\n\n" + textwrap.dedent(inspect.getsource(function))


def seen_by(lake, leak, folder):
    """Each proof's answer, as the asset checks and `hydra-assets prove` would give it."""
    family, market, months = leak.family, MARKET[leak.family], MONTHS[leak.family]
    rows = published(lake, folder / "leaked.sqlite", leak, leak.leaks, leak.engine, audited=False)
    published(lake, folder / "honest.sqlite", leak, leak.honest, None, audited=True)
    with only(feature(leak, leak.leaks)), pytest.MonkeyPatch.context() as patch:
        stamping(patch, leak.engine)
        given = evidence_of(lake, family, market, months)
        early = early_rows(rows, given, of_family(family)).num_rows > 0
        try:
            published(lake, folder / "audited.sqlite", leak, leak.leaks, leak.engine, audited=True)
            refused = False
        except LookaheadError:
            refused = True
        assert refused is early  # the publishing audit and the check are one
        replayed = replay(rows, given, family=family, market=market, sample=None, seed=1)
        instants = np.unique(column_us(rows["available_at"], what="available_at"))
        blows = [poison(given, family=family, market=market, at=int(instants[len(instants) * k // 4]), seed=k) for k in (1, 2, 3)]
    with FeatureStore(folder / "honest.sqlite") as store:
        audited = hydra_assets.proof.audit(frame_of(folder / "leaked.sqlite", leak), store)
    return {
        "audit": refused,
        "replay": replayed.verdict == "failed",
        "poison": any(blow.moved for blow in blows),
        "lint": bool(lint_source(source(leak.engine or leak.leaks))),
        "frame": audited.verdict == "failed",
        "causal": leak.rows is not None and hydra_assets.proof.causal(leak.rows, rows_of_a_curve(), time="ts", seed=1).verdict == "failed",
    }


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name.replace(" ", "-"))
def test_a_leak_is_seen_by_just_the_proofs_that_should(lake, leak, tmp_path):
    seen = seen_by(lake, leak, tmp_path)
    assert seen == {proof: proof not in leak.misses for proof in PROOFS}
    assert seen["replay"], "what no proof sees is a fault of the proofs"


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name.replace(" ", "-"))
def test_the_honest_feature_of_the_same_name_is_accused_by_no_proof(lake, leak, tmp_path):
    """Else what is seen above might be the planting, and not the leak."""
    honest = replace(leak, leaks=leak.honest, engine=None, rows=leak.honest_rows)
    assert seen_by(lake, honest, tmp_path) == dict.fromkeys(PROOFS, False)
    assert evidence(leak.family)


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name.replace(" ", "-"))
def test_rows_of_code_that_was_mended_since_are_seen_by_replay(lake, leak, tmp_path):
    """Poison and lint look at the code of today, which is honest; what stands in the store is not."""
    rows = published(lake, tmp_path / "leaked.sqlite", leak, leak.leaks, leak.engine, audited=False)
    family, market = leak.family, MARKET[leak.family]
    with only(feature(leak, leak.honest)):
        given = evidence_of(lake, family, market, MONTHS[family])
        assert replay(rows, given, family=family, market=market, sample=None, seed=1).verdict == "failed"
        assert bool(early_rows(rows, given, of_family(family)).num_rows) is ("audit" not in leak.misses)


def mean_of_all_before(panel, t):
    return said(pd.Series(whole(panel)).expanding().mean(), t)


def test_a_feature_that_reads_before_its_declared_windows_is_seen_by_replay(lake, tmp_path):
    """It looks at nothing later; but what it is given, and so its value, depends on how long a range is computed at once."""
    leak = Leak("a mean of all before", "futures", trailing_mean, mean_of_all_before, {})
    rows = published(lake, tmp_path / "store.sqlite", leak, leak.leaks, None, audited=True)
    with only(feature(leak, leak.leaks)):
        given = evidence_of(lake, leak.family, MARKET[leak.family], MONTHS[leak.family])
        assert replay(rows, given, family=leak.family, market=MARKET[leak.family], sample=None, seed=1).verdict == "failed"


def test_a_join_of_final_prints_is_seen_in_the_frame_and_in_the_code_that_joins(lake, tmp_path):
    """The store is honest, so what looks at it has nothing to say; the desk's own frame and file have."""
    leak = Leak(
        "final instead of first", "futures", settlement, settlement, dict.fromkeys(("audit", "replay", "poison", "causal"), HONEST_STORE)
    )
    seen = seen_by(lake, leak, tmp_path)
    assert not any(seen.values())
    scratch = ParquetLake(tmp_path / "features", world="sample")
    with FeatureStore(tmp_path / "honest.sqlite") as store:
        rows = store.vintages("HE", ["mine"])
        fill(scratch, "HE", {"futures_features": rows.select(["feature_name", "as_of", "available_at", "value"])})
        joined = final_prints(scratch, times_of("futures")).rename(columns={"value": "mine"})
        found = hydra_assets.proof.audit(joined[["time", "mine"]], store, market="HE")
    assert found.verdict == "failed"
    assert {cell.feature for cell in found.cells} == {"mine"}
    assert [finding.rule for finding in lint_source(source(final_prints).replace("lake, times", "lake: ParquetLake, times"))] == [
        "whole-vintages"
    ]


@pytest.mark.parametrize(("page", "rows_shown"), [("README.md", 4), ("docs/pages/proofs.md", len(LEAKS) + 1)])
def test_the_table_of_planted_leaks_says_what_is_seen(page, rows_shown):
    lines = (Path(hydra_assets.__file__).parents[1] / page).read_text(encoding="utf-8").splitlines()
    outside = {proof: proof in ("lint", "frame") for proof in PROOFS}  # held by the test above
    expected = {leak.name: {proof: proof not in leak.misses for proof in PROOFS} for leak in LEAKS}
    expected["a join of final prints outside of the store"] = outside
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| a") or line.startswith("| open")]
    shown = {name: dict(zip(PROOFS, (cell == "seen" for cell in cells), strict=True)) for name, *cells in rows if len(cells) == len(PROOFS)}
    assert shown == {name: expected[name] for name in shown}
    assert len(shown) == rows_shown
