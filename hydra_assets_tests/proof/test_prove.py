"""Replay and prove, their table and their command; the checks that block; and the check of what was handed out."""

import dataclasses
import datetime as dt
import json
import random
import shutil
from dataclasses import replace

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

import hydra_assets
from hydra_assets.cli.main import app
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.feature import Values
from hydra_assets.core.months import months_between
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.errors import UnknownFeatureError
from hydra_assets.features import compute, of_family
from hydra_assets.features.options.chain import build_chain
from hydra_assets.features.options.smiles import build_smiles
from hydra_assets.proof.lint.code import CodeRead
from hydra_assets.proof.lint.linter import lint_source
from hydra_assets.proof.poison import poison
from hydra_assets.proof.prove import Proof, chosen, prove
from hydra_assets.proof.replay import replay
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at
from hydra_assets_tests.defs.test_checks import check_alone
from hydra_assets_tests.proof.test_poison import beside_the_average, fill, published, theirs
from hydra_assets_tests.support.cot_history import revised, weeks
from hydra_assets_tests.support.dagster_runs import materializations, run, verdicts
from hydra_assets_tests.support.entry_points import only, registered
from hydra_assets_tests.support.futures_history import history
from hydra_assets_tests.support.option_history import History, realised

D = dt.date
MONTHS = months_between("2024-06", "2024-11")
PLAIN = ("cot_mm_net", "cot_mm_pct_52", "cot_chg_1w")


# ---------------------------------------------------------------- replay


HISTORY = weeks(2023, 2024)
INPUTS = {"cot_disaggregated": HISTORY}
ROWS = compute("cot", INPUTS, market="LE", start=D(2024, 7, 1), end=D(2024, 12, 31))
REPORTS = 27  # Tuesdays in these months


def replayed(rows, inputs=INPUTS, **options):
    return replay(rows, inputs, **{"family": "cot", "market": "LE", "sample": None, "seed": 1, **options})


def test_a_market_of_ones_own_is_replayed_and_poisoned_by_its_own_calendar():
    """A day more without a session, and the returns of the days after it are others."""
    inputs = history(D(2024, 12, 2), D(2025, 1, 31))
    own = dataclasses.replace(LIVESTOCK, name="Own", closed=LIVESTOCK.closed | {D(2025, 1, 13)})
    rows = compute("futures", inputs, market="HE", calendar=own, start=D(2025, 1, 14), end=D(2025, 1, 16))
    options = {"family": "futures", "market": "HE"}
    assert not replayed(rows, inputs, **options, calendar=own).differing
    assert replayed(rows, inputs, **options).differing
    noon = int(at("2025-01-15 12:00").timestamp() * 1e6)
    assert not poison(inputs, **options, at=noon, seed=1, calendar=own).moved


def test_a_full_replay_looks_at_every_row_and_counts_bits_and_coverage_in_values_alone():
    told = replayed(ROWS)
    values = ROWS.num_rows - ROWS["value"].null_count
    assert (told.verdict, told.compared) == ("passed", ROWS.num_rows)
    assert told.values == told.exact == told.known == values < ROWS.num_rows
    by_name = dict.fromkeys(pc.unique(ROWS["feature_name"]).to_pylist(), 0)
    for row in ROWS.to_pylist():
        by_name[row["feature_name"]] += row["value"] is not None
    assert told.by_feature == {name: (n, n, n) for name, n in by_name.items()}
    assert by_name["cot_mm_z_156"] < by_name["cot_mm_net"]  # two years are too short for most of it


def test_a_sample_is_the_seeds_holds_nulls_too_and_leaves_no_feature_out():
    told, again, other = replayed(ROWS, sample=40), replayed(ROWS, sample=40), replayed(ROWS, sample=40, seed=2)
    assert told == again
    assert told.by_feature != other.by_feature
    assert 40 <= told.compared < ROWS.num_rows
    assert told.values < told.compared  # nulls prove something too: that there is no value
    assert all(compared for compared, _, known in told.by_feature.values() if known)
    assert replayed(ROWS, sample=4).compared <= 2 * len(told.by_feature)  # whole instants: too small to look for one of each
    steps = []
    assert replayed(ROWS, sample=40, names=["cot_mm_net"], step=steps.append).compared == sum(steps) == REPORTS
    assert set(replayed(ROWS, sample=40, names=["cot_mm_net"]).by_feature) == {"cot_mm_net"}


def without(rows, name, share):
    """*rows* without a share of one feature's."""
    rng = random.Random(3)
    keep = [row["feature_name"] != name or rng.random() > share for row in rows.to_pylist()]
    return rows.filter(pa.array(keep))


@pytest.mark.parametrize("sample", [None, 60])
def test_rows_that_should_stand_and_do_not_are_missed(sample):
    """Also where nothing but the days of its siblings says that there should be one."""
    for share in (0.3, 1.0) if sample is None else (0.3,):
        told = replayed(without(ROWS, "cot_mm_net", share), sample=sample, names=["cot_mm_net"])
        assert told.verdict == "failed"
        assert {row["stored"] for row in told.differing} == {"None (absent)"}


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_value_withheld_on_some_days_is_seen_by_a_sample_of_any_seed(seed):
    """Every value that stands is right; the nulls are not."""
    values = iter(range(10**6))
    gone = changed(ROWS, "cot_mm_net", lambda v: None if next(values) % 7 == 3 else v)
    assert replayed(gone, sample=60, seed=seed, names=["cot_mm_net"]).verdict == "failed"


def test_a_tiny_series_is_compared_at_its_own_scale():
    """Numbers below the noise around zero of others: ten times as large is another number, a last bit is none."""
    honest = next(feature for feature in of_family("cot") if feature.name == "cot_mm_pct_52")

    def tiny(cot):
        answer = honest.function(cot)
        return replace(answer, value=answer.value * 1e-17)

    with registered(replace(honest, name="tiny", function=tiny)):
        rows = compute("cot", INPUTS, market="LE", start=D(2024, 7, 1), end=D(2024, 12, 31))
        for factor, verdict in ((1 + 1e-15, "passed"), (10.0, "failed")):
            assert replayed(changed(rows, "tiny", lambda v, by=factor: v and v * by), names=["tiny"]).verdict == verdict


def changed(rows, name, change, column="value"):
    """*rows* with one column changed where the feature is *name*."""
    cells = [change(row[column]) if row["feature_name"] == name else row[column] for row in rows.to_pylist()]
    i = rows.column_names.index(column)
    return rows.set_column(i, rows.schema.field(i), pa.array(cells, rows.schema.field(i).type))


def test_a_last_bit_is_counted_and_not_accused_and_more_than_the_tolerance_is():
    near = changed(ROWS, "cot_mm_pct_52", lambda v: v and float(np.nextafter(v, 9)))
    told = replayed(near)
    values, exact, _ = told.by_feature["cot_mm_pct_52"]
    assert (told.verdict, exact) == ("passed", 0)
    assert told.exact == told.values - values
    far = changed(ROWS, "cot_mm_pct_52", lambda v: v and v + 1e-8)
    assert {row["feature_name"] for row in replayed(far).differing} == {"cot_mm_pct_52"}


def test_a_word_alone_a_null_and_a_row_that_never_was_are_differences():
    for wrong in (
        changed(ROWS, "cot_mm_net", lambda q: "degraded", "quality"),
        changed(ROWS, "cot_mm_net", lambda v: None),
        changed(ROWS, "cot_mm_net", lambda t: t - dt.timedelta(microseconds=1), "available_at"),
    ):
        told = replayed(wrong)
        assert len(told.differing) == REPORTS
        assert {row["feature_name"] for row in told.differing} == {"cot_mm_net"}
    assert told.differing[0]["recomputed"] == "None (absent)"


def test_nothing_but_nulls_is_unproven():
    early = compute("cot", INPUTS, market="LE", start=D(2023, 2, 1), end=D(2023, 5, 31))  # too short for a window of three years
    told = replayed(early, names=["cot_mm_z_156"])
    assert told.compared > 10
    assert (told.verdict, told.values, told.known) == ("unproven", 0, 0)


def test_the_first_later_row_that_explains_a_difference_is_named():
    """A value that took the second of three prints: it is the second that is named, by table, day, instant and number."""
    row = HISTORY.num_rows - 10
    day, net = HISTORY["as_of"][row].as_py(), HISTORY["mm_short"][row].as_py()
    table = HISTORY
    for late, long in ((at("2025-01-10 15:00"), 200_000), (at("2025-02-10 15:00"), 210_000), (at("2025-03-10 15:00"), 220_000)):
        table = revised(table, row, available_at=late, mm_long=long)
    inputs = {"cot_disaggregated": table}
    honest = compute("cot", inputs, market="LE", start=day.date(), end=day.date())
    first = min(r["available_at"] for r in honest.to_pylist())
    rows = honest.filter(pc.and_(pc.equal(honest["feature_name"], "cot_mm_net"), pc.equal(honest["available_at"], pa.scalar(first))))
    leaked = changed(rows, "cot_mm_net", lambda _: 210_000.0 - net)
    (difference,) = replayed(leaked, inputs).differing
    assert difference["as_of"] == f"{day:%Y-%m-%d}"
    told = difference["explained_by"]
    assert told.startswith(f"cot_disaggregated as_of {day:%Y-%m-%d} available 2025-02-10T15:00:00.000000Z")
    assert "057642" in told
    nobody = changed(rows, "cot_mm_net", lambda _: 1.5)
    assert "no single later row" in replayed(nobody, inputs).differing[0]["explained_by"]


# ---------------------------------------------------------------- prove, and its command


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A lake of two years of reports and the store of half a year of features; made once, copied into each test's home."""
    folder = tmp_path_factory.mktemp("prove")
    lake = ParquetLake(folder / "lake", world="sample")
    fill(lake, "LE", INPUTS)
    with FeatureStore(folder / "features.sqlite", world="sample") as store:
        published(lake, store, "cot", "LE", MONTHS)
    return folder


def laid(lake):
    """The test's home, a copy of *lake* in it."""
    with hydra_assets.open() as opened:
        home = opened.home
    shutil.rmtree(home.lake)
    shutil.copytree(lake, home.lake)
    return home


@pytest.fixture
def desk(made):
    home = laid(made / "lake")
    for path in home.store.parent.glob(home.store.name + "*"):
        path.unlink()
    shutil.copy(made / "features.sqlite", home.store)
    with hydra_assets.open() as opened:
        yield opened


def proofs(desk, names=None, **options):
    return {p.feature: p for p in prove(desk.lake, desk.store, "LE", chosen(names), rules=OptionRules(), **options)}


def test_every_feature_has_its_proofs_a_sample_is_less_than_the_whole_and_nothing_is_unproven(desk):
    told, whole = proofs(desk, list(PLAIN), sample=20), proofs(desk, list(PLAIN), sample=20, full=True)
    assert list(told) == list(whole) == list(PLAIN)
    for name in PLAIN:
        assert (told[name].verdict, whole[name].verdict) == ("proven", "proven")
        assert 0 < told[name].coverage < whole[name].coverage == 1.0
        assert whole[name].exact == whole[name].replayed == whole[name].stored == 26
        assert told[name].poisoned > 0
    steps = []
    proofs(desk, ["cot_mm_net"], full=True, step=lambda *told: steps.append(told))
    assert {what.split()[-1] for what, _, _ in steps} == {"replay", "poison"}
    assert all(done <= total for _, done, total in steps)
    assert steps[-1][1:] == (6, 6)  # an instant of poison a month


def test_a_sample_takes_a_year_in_which_long_windows_have_values(tmp_path):
    """A z-score over three years, at least 104 weeks, has its first value in the third."""
    lake = ParquetLake(tmp_path / "lake", world="sample")
    fill(lake, "LE", {"cot_disaggregated": weeks(2022, 2024)})
    with FeatureStore(tmp_path / "features.sqlite", world="sample") as store:
        published(lake, store, "cot", "LE", months_between("2022-01", "2024-12"))
        for seed in range(5):
            asked = chosen(["cot_mm_net", "cot_mm_z_156"])
            told = list(prove(lake, store, "LE", asked, rules=OptionRules(), sample=20, seed=seed))
            assert [proof.verdict for proof in told] == ["proven", "proven"]


def test_a_feature_of_nulls_or_without_a_row_is_unproven(desk):
    told = proofs(desk, ["cot_crowding", "fut_ret_1d"], full=True)
    assert {p.verdict for p in told.values()} == {"unproven"}
    assert {p.coverage for p in told.values()} == {0.0}


def test_a_proof_fails_by_any_one_of_its_parts():
    good = Proof("f", "cot", replayed=1, exact=1, stored=1, differing=0, poisoned=1, moved=0, lint=0)
    assert good.verdict == "proven"
    assert {replace(good, **{part: 1}).verdict for part in ("differing", "moved", "lint")} == {"failed"}
    assert {replace(good, **{part: 0}).verdict for part in ("replayed", "poisoned")} == {"unproven"}
    assert {replace(good, replayed=0, **{part: 1}).verdict for part in ("moved", "lint")} == {"failed"}
    with pytest.raises(UnknownFeatureError, match="'nothing'"):
        chosen(["nothing"])


def test_a_finding_in_a_features_own_code_fails_its_proof_and_what_is_not_read_is_not_ok(desk, monkeypatch):
    ((finding, *_), *_) = [lint_source("y = x.shift(-1)\n", "mine.py")]
    codes = {
        "cot_mm_net": CodeRead((finding,), (), ()),
        "cot_chg_1w": CodeRead((), ("made by exec",), ()),
        "cot_mm_pct_52": CodeRead((), (), ()),
    }
    monkeypatch.setattr("hydra_assets.proof.prove.read_code", lambda feature: codes[feature.name])
    told = proofs(desk, list(codes), sample=20)
    assert [(told[name].lint, told[name].verdict) for name in codes] == [(1, "failed"), (0, "unproven"), (0, "proven")]
    assert "made by exec" in told["cot_chg_1w"].first


def command(*words):
    done = CliRunner().invoke(app, ["prove", "LE", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_command_proves_and_its_json_is_nothing_but_json(desk):
    done = command("--feature", "cot_mm_net", "--feature", "cot_chg_1w", "--full", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["market"], told["world"], told["full"], told["failed"]) == ("LE", "sample", True, 0)
    assert [row["feature"] for row in told["features"]] == ["cot_mm_net", "cot_chg_1w"]
    assert {(row["verdict"], row["coverage"], row["replayed"], row["exact"]) for row in told["features"]} == {("proven", 1.0, 26, 26)}
    shown = command("--feature", "cot_mm_net", "--sample", "5")
    assert shown.exit_code == 0
    assert "1 proven, 0 unproven, 0 failed; a sample: --full looks at everything; seed" in shown.stdout


def test_the_command_fails_with_the_place_and_the_row_that_explains_it(desk):
    (row, *_) = desk.store.get_feature_history("LE", "cot_mm_net", at("2024-09-03"), at("2024-09-03"))
    desk.store.write_feature("LE", "cot_mm_net", row["as_of"], row["available_at"], row["value"] + 1)
    done = command("--feature", "cot_mm_net", "--feature", "cot_chg_1w", "--full", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["failed"] == 1
    wrong, right = told["features"]
    assert (wrong["verdict"], wrong["differing"], right["verdict"]) == ("failed", 1, "proven")
    assert "as_of: 2024-09-03" in wrong["first"]
    assert "no single later row" in wrong["first"]
    shown = command("--feature", "cot_mm_net", "--full")
    assert shown.exit_code == 1
    assert "as_of: 2024-09-03" in shown.stdout


def test_unproven_is_no_failure_and_an_unknown_name_is_an_error(desk):
    done = command("--feature", "cot_crowding", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["features"][0]["verdict"] == "unproven"
    unknown = CliRunner().invoke(app, ["prove", "LE", "--feature", "nothing"])
    assert isinstance(unknown.exception, UnknownFeatureError)
    assert "not configured" in str(CliRunner().invoke(app, ["prove", "XX"]).exception) or unknown.exit_code == 1


# ---------------------------------------------------------------- the checks, through Dagster


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """A lake with some days of options, raw and derived, and the reports beside them."""
    folder = tmp_path_factory.mktemp("options")
    lake = ParquetLake(folder / "lake", world="sample")
    history = History(D(2025, 11, 3), 6, seed=4)
    raw = history.tables()
    chain = build_chain(raw)
    fill(lake, "HE", {**raw, "option_chain": chain, "option_smiles": build_smiles(chain, rules=OptionRules())})
    fill(lake, "HE", {"futures_features": realised(history.days)})
    return folder


@pytest.fixture
def option_home(options):
    laid(options / "lake")


PROOFS = ("no_lookahead", "replay", "poison")
AFTER = ("option_features", "divergence_features")
SHAPES = ("opt_atm_iv_30", "opt_atm_iv_60", "opt_pc_oi")


def after_options():
    return run(first="2025-11", last="2025-11", only=AFTER, raise_on_error=False)


def some():
    """A few of the options' features, and one of divergence: the rest costs time and shows nothing more."""
    return [f for f in of_family("options") if f.name in SHAPES] + [f for f in of_family("divergence") if f.name == "diag_opt_n_liquid"]


def test_an_honest_home_passes_and_what_is_downstream_is_made(option_home):
    with only(*some()):
        result = after_options()
    told = verdicts(result)
    for table in AFTER:
        assert {check: told[table, check] for check in ("no_lookahead", "replay", "poison")} == dict.fromkeys(
            ("no_lookahead", "replay", "poison"), "passed"
        )
        assert materializations(result, table)
    assert result.success


def knows_how_much_was_asked_for(board):
    """The volatility, and one more where a whole month is computed: poison asks the same twice and cannot tell."""
    level = board.level[30]
    vol = np.sqrt(level.theta / level.tau)
    return Values(vol + (len(vol) > 4), level.quality)


@pytest.mark.parametrize(
    ("function", "check"), [(beside_the_average, "poison"), pytest.param(knows_how_much_was_asked_for, "replay", marks=pytest.mark.slow)]
)
def test_a_feature_that_looks_ahead_stops_what_is_downstream(option_home, function, check):
    """Its stamps are in order, so the audit lets it be published; it goes no further."""
    with only(*some(), theirs("options", function)):
        result = after_options()
    told = verdicts(result)
    proofs = {
        name: told[table, name] for table, name in told if table == "option_features" and name in ("no_lookahead", "replay", "poison")
    }
    assert proofs.pop("no_lookahead") == "passed"
    assert check in [name for name, verdict in proofs.items() if verdict == "failed"]
    assert materializations(result, "option_features")
    assert not materializations(result, "divergence_features")
    assert not result.success
    (seen,) = [e for e in result.get_asset_check_evaluations() if e.check_name == check]
    assert seen.severity is dg.AssetCheckSeverity.ERROR
    assert {record.data["feature_name"] for record in seen.metadata["violations"].records} == {"their_options"}


def test_nothing_but_nulls_is_a_warning_and_stops_nothing(option_home):
    def nothing(board):
        return Values(np.full(len(board.level[30].theta), np.nan), board.level[30].quality)

    with only(theirs("options", nothing), *(f for f in some() if f.family == "divergence")):
        result = after_options()
    told = verdicts(result)
    assert told["option_features", "poison"] == told["option_features", "replay"] == "unproven"
    seen = {e.check_name: e for e in result.get_asset_check_evaluations() if e.asset_key.path[-1] == "option_features"}
    assert {seen[name].severity for name in ("poison", "replay")} == {dg.AssetCheckSeverity.WARN}
    assert not any(seen[name].passed for name in ("poison", "replay"))
    assert materializations(result, "divergence_features") is not None
    assert result.success


# ---------------------------------------------------------------- what was handed out


def rates(evaluation):
    return {r.data["feature"]: tuple(r.data[n] for n in ("mismatch", "missing", "extra")) for r in evaluation.metadata["rates"].records}


@pytest.fixture
def listed(desk):
    """The features' own table in the lake, so that the check knows which months are held."""
    with hydra_assets.open() as opened:
        fill(opened.lake, "LE", {"cot_features": ROWS})
    return desk


TIMES = [at("2024-10-01 14:00") + dt.timedelta(9 * i) for i in range(8)]


def test_without_a_log_there_is_nothing_to_say(listed):
    assert check_alone("cot_features", "served") is None  # skipped: neither passed nor a warning


def test_what_was_handed_out_rightly_passes_with_rates_of_nothing(listed):
    for time in TIMES:
        listed.store.get_features_at("LE", time, log=True)
    told = check_alone("cot_features", "served")
    assert (told.passed, told.metadata["verdict"].value) == (True, "passed")
    assert set(rates(told)) == {feature.name for feature in of_family("cot")}
    assert set(rates(told).values()) == {("0.00%",) * 3}


def test_wrong_lost_and_surplus_numbers_are_told_apart_by_feature_and_only_warn(listed):
    store = listed.store
    for row in store.get_feature_history("LE", "cot_mm_net", at("2024-09-20"), at("2024-10-03")):
        store.write_feature("LE", "cot_mm_net", row["as_of"], row["available_at"], row["value"] + 1)
    for row in store.get_feature_history("LE", "cot_sentiment", at("2024-01-01"), at("2024-12-31")):
        store.retract("LE", "cot_sentiment", row["as_of"], row["available_at"])
    store.write_feature("LE", "cot_crowding", TIMES[5] - dt.timedelta(3), TIMES[5] - dt.timedelta(2), 0.5)
    for time in TIMES:
        store.get_features_at("LE", time, log=True)
    told = check_alone("cot_features", "served")
    assert (told.passed, told.metadata["verdict"].value, told.severity) == (False, "failed", dg.AssetCheckSeverity.WARN)
    found = rates(told)
    assert found["cot_mm_net"] == ("25.00%", "0.00%", "0.00%")
    assert found["cot_sentiment"] == ("0.00%", "100.00%", "0.00%")
    assert found["cot_crowding"][2] != "0.00%"
    assert found["cot_mm_net_oi"] == ("0.00%",) * 3
    faults = {(record.data["feature"], record.data["fault"]) for record in told.metadata["violations"].records}
    assert faults == {("cot_mm_net", "mismatch"), ("cot_sentiment", "missing"), ("cot_crowding", "extra")}


def test_a_report_that_was_out_only_months_later_is_poisoned_all_the_same():
    """A shutdown: what describes October becomes known in December, and the answers looked at are October's."""
    run("HE", "2025-10", "2025-10")
    told = check_alone("cot_features", "poison")
    assert told.metadata["verdict"].value == "passed"
    assert told.metadata["values"].value >= 4
    with hydra_assets.open() as desk:
        (proof,) = prove(desk.lake, desk.store, "HE", chosen(["cot_mm_net"]), rules=OptionRules(), full=True)
    assert proof.verdict == "proven"
