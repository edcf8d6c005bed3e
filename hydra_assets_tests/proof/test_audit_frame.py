"""A user's own frame: planted leaks are found to the cell, honest frames are left alone, and what cannot be used says why."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import hydra_assets
from hydra_assets.cli.main import app
from hydra_assets.core.instants import column_us, from_us
from hydra_assets.errors import InvalidTimeError, InvalidValueError, SchemaError, UnknownFeatureError
from hydra_assets.features import compute, of_family
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cot_history import revised, weeks

DAY = dt.timedelta(1)
TIMES = [at("2024-01-02 21:30") + i * DAY for i in range(360)]
REVISED_AT = at("2024-06-03 12:00")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Real features of synthetic weeks of three years, one of them revised months later."""
    history = weeks(2021, 2024)
    row = int(np.flatnonzero(column_us(history["as_of"], what="as_of") >= int(at("2024-03-05").timestamp() * 1e6))[0])
    history = revised(history, row, available_at=REVISED_AT, mm_long=99_999)
    computed = compute("cot", {"cot_disaggregated": history}, market="LE")
    with FeatureStore(tmp_path_factory.mktemp("audit") / "store.sqlite", world="sample") as store:
        store.write_features(computed.select(["feature_name", "as_of", "available_at", "value", "quality"]).append_column(
            "market", pa.array(["LE"] * computed.num_rows)
        ))  # fmt: skip
        yield store


@pytest.fixture(scope="module")
def honest(known):
    return known.get_training_frame(["LE"], TIMES).to_pandas()


def naive(store, feature):
    """The join by as_of alone, row by row: value and whether its vintage was available; nothing of the product's own joins."""
    rows = store.vintages("LE", [feature]).to_pylist()
    out = []
    for t in TIMES:
        described = [row for row in rows if row["as_of"] <= t]
        newest = max(described, key=lambda row: (row["as_of"], row["available_at"]))
        out.append((newest["value"], newest["available_at"]))
    return out


def test_an_honest_frame_passes_in_every_feature(known, honest):
    found = hydra_assets.proof.audit(honest, known)
    assert (found.verdict, found.cells, found.ignored) == ("passed", (), ())
    assert len(found.features) == len(of_family("cot"))
    for column in found.features:
        assert (column.right, column.early, column.stale, column.unknown) == (column.cells, 0, 0, 0)
        assert column.cells + column.null == len(TIMES)


@pytest.mark.parametrize("feature", ["cot_mm_net", "cot_mm_pct_52", "cot_mm_z_156", "cot_crowding"])
def test_a_naive_join_is_found_to_the_cell(known, honest, feature):
    joined = naive(known, feature)
    right = honest[feature].tolist()
    wanted = {i for i, ((value, known_at), t) in enumerate(zip(joined, TIMES, strict=True)) if known_at > t and value != right[i]}
    assert len(wanted) > 100
    leaked = honest.assign(**{feature: [value for value, _ in joined]})
    found = hydra_assets.proof.audit(leaked, known)
    assert {cell.row for cell in found.cells} == wanted
    assert {cell.feature for cell in found.cells} == {feature}
    for cell in found.cells:
        assert cell.right == right[cell.row]
        assert cell.time == TIMES[cell.row] < cell.available_at
        assert cell.early_days == pytest.approx((cell.available_at - cell.time) / DAY)
        (vintage,) = [v for v in known.get_feature_history("LE", feature, cell.as_of, cell.as_of) if v["available_at"] == cell.available_at]
        assert vintage["value"] == cell.value


def test_the_leak_budget_counts_what_the_naive_join_uses_too_early(known, honest):
    (column,) = hydra_assets.proof.audit(honest, known, features=["cot_mm_net"]).features
    early = [(t, known_at - t) for (_, known_at), t in zip(naive(known, "cot_mm_net"), TIMES, strict=True) if known_at > t]
    assert column.naive_values == len(early)
    assert column.naive_days == len({t.date() for t, _ in early})
    assert column.naive_worst_days == pytest.approx(max(by for _, by in early) / DAY)
    assert column.early == 0


def test_a_shift_and_a_backfill_are_found(known, honest):
    shifted = hydra_assets.proof.audit(honest.assign(cot_mm_net=honest["cot_mm_net"].shift(-7)), known)
    assert len(shifted.cells) == sum(a != b for a, b in zip(honest["cot_mm_net"][:-7], honest["cot_mm_net"][7:], strict=True))
    thin = honest["cot_mm_net"].where(honest.index % 9 == 0).bfill()
    filled = hydra_assets.proof.audit(honest.assign(cot_mm_net=thin), known)
    wanted = [i for i, (a, b) in enumerate(zip(thin, honest["cot_mm_net"], strict=True)) if a == a and a != b]
    assert [cell.row for cell in filled.cells] == wanted
    assert wanted


def test_a_revision_backdated_to_the_first_release_is_found(known, honest):
    rows = [row for row in known.vintages("LE", ["cot_mm_net"]).to_pylist() if row["available_at"] == REVISED_AT]
    (final,) = rows
    back = honest["cot_mm_net"].copy()
    (first,) = [v for v in known.get_feature_history("LE", "cot_mm_net", final["as_of"], final["as_of"]) if v["available_at"] < REVISED_AT]
    back[back == first["value"]] = final["value"]
    found = hydra_assets.proof.audit(honest.assign(cot_mm_net=back), known)
    assert len(found.cells) == 7
    assert {cell.available_at for cell in found.cells} == {REVISED_AT}
    assert {cell.right for cell in found.cells} == {first["value"]}


@pytest.mark.parametrize("weeks_late", [1, 5])
def test_a_frame_that_lags_is_stale_and_never_accused(known, honest, weeks_late):
    lagged = honest.copy()
    names = [name for name in honest if name.startswith("cot_")]
    lagged[names] = honest[names].shift(7 * weeks_late)
    found = hydra_assets.proof.audit(lagged, known)
    assert found.cells == ()
    assert sum(column.stale for column in found.features) > 2000


def test_numbers_of_no_vintage_are_counted_and_not_accused(known, honest):
    mixed = honest.assign(cot_mm_net=honest["cot_mm_net"].where(honest.index >= 10, honest["cot_mm_net"] + 0.5))
    mixed.loc[20, "cot_mm_net"] = np.inf
    (column,) = hydra_assets.proof.audit(mixed, known, features=["cot_mm_net"]).features
    assert (column.unknown, column.early, column.right) == (11, 0, len(TIMES) - 11)
    strange = hydra_assets.proof.audit(honest.assign(cot_mm_net=0.123), known, features=["cot_mm_net"])
    assert strange.verdict == "unproven"


def test_a_column_of_unknown_numbers_leaves_the_frame_unproven_beside_honest_ones(known, honest):
    found = hydra_assets.proof.audit(honest.assign(cot_crowding=0.123), known)
    verdicts = {column.feature: column.verdict for column in found.features}
    assert verdicts.pop("cot_crowding") == "unproven"
    assert set(verdicts.values()) == {"passed"}
    assert found.verdict == "unproven"


def test_empty_cells_where_a_value_was_known_are_counted(known, honest):
    gone = honest.assign(cot_mm_net=honest["cot_mm_net"].where(honest.index % 10 > 0))
    (column,) = hydra_assets.proof.audit(gone, known, features=["cot_mm_net"]).features
    assert (column.withheld, column.null) == (36, 36)


@pytest.mark.parametrize("digits", [3, 4])
def test_a_frame_that_was_rounded_is_not_accused_with_a_wider_tolerance(known, honest, digits):
    names = [name for name in honest if name.startswith("cot_")]
    found = hydra_assets.proof.audit(honest.round(dict.fromkeys(names, digits)), known, tolerance=1e-4)
    assert (found.verdict, found.cells) == ("passed", ())


@pytest.mark.parametrize(("lag", "verdicts"), [(2, {"passed"}), (-2, {"failed"})])
def test_values_that_come_again_are_judged_by_one_distance_in_time(store, lag, verdicts):
    """Every wrong number has an older and a newer vintage alike; a lag explains all of them, or a lead does."""
    pattern = np.random.default_rng(4).choice([1.0, 2.0, 3.0], 60).tolist()
    days = [at("2024-01-01") + i * DAY for i in range(60)]
    cells = [
        {"market": "HE", "feature_name": "f", "as_of": day, "available_at": day + DAY / 2, "value": pattern[i]}
        for i, day in enumerate(days)
    ]
    store.write_features(cells)
    times = [day + DAY * 0.75 for day in days[20:40]]
    values = [pattern[i - lag] for i in range(20, 40)]
    found = hydra_assets.proof.audit(pd.DataFrame({"time": times, "f": values}), store, market="HE")
    assert {column.verdict for column in found.features} == verdicts


def test_one_planted_number_of_tomorrow_is_found_wherever_it_comes_from(known, honest):
    later = known.get_features_at("LE", TIMES[200])["cot_mm_z_156"]
    planted = honest.copy()
    planted.loc[100, "cot_mm_z_156"] = later
    (cell,) = hydra_assets.proof.audit(planted, known).cells
    assert (cell.row, cell.feature, cell.market, cell.value) == (100, "cot_mm_z_156", "LE", later)
    assert cell.right == honest.loc[100, "cot_mm_z_156"]


def test_the_tolerance_is_relative_and_single_precision_is_known(known, honest):
    rounded = honest.assign(cot_mm_z_156=honest["cot_mm_z_156"].round(5))
    assert hydra_assets.proof.audit(rounded, known, features=["cot_mm_z_156"]).features[0].unknown > 300
    assert hydra_assets.proof.audit(rounded, known, features=["cot_mm_z_156"], tolerance=1e-3).features[0].unknown == 0
    single = honest.astype({"cot_mm_z_156": np.float32})
    (column,) = hydra_assets.proof.audit(single, known, features=["cot_mm_z_156"]).features
    assert (column.right, column.unknown) == (len(TIMES), 0)


@pytest.mark.parametrize("scale", [1.0, 1e-17])
def test_a_tiny_series_is_judged_at_its_own_scale(store, scale):
    """A leak in numbers smaller than the noise around zero of others is a leak."""
    values = (np.random.default_rng(4).standard_normal(60) * scale).tolist()
    days = [at("2024-01-01") + i * DAY for i in range(60)]
    store.write_features(
        {"market": "HE", "feature_name": "f", "as_of": day, "available_at": day + DAY / 2, "value": value}
        for day, value in zip(days, values, strict=True)
    )
    times = [day + DAY * 0.75 for day in days[20:40]]
    for tolerance in (1e-9, 1e-4):
        leaking = hydra_assets.proof.audit(pd.DataFrame({"time": times, "f": values[21:41]}), store, market="HE", tolerance=tolerance)
        assert (leaking.verdict, leaking.features[0].early) == ("failed", 20)
    assert hydra_assets.proof.audit(pd.DataFrame({"time": times, "f": values[20:40]}), store, market="HE").verdict == "passed"


def test_the_market_is_a_column_or_the_market_of_all_rows(known, honest):
    alone = honest.drop(columns="market")
    assert hydra_assets.proof.audit(alone, known, market="LE").verdict == "passed"
    with pytest.raises(UnknownFeatureError, match="no features of market 'market'"):
        hydra_assets.proof.audit(alone, known)
    with pytest.raises(InvalidValueError, match="null in row 3"):
        hydra_assets.proof.audit(honest.assign(market=[None if i == 3 else "LE" for i in honest.index]), known)


def test_two_markets_are_each_held_against_their_own(store):
    for market, base in (("HE", 0.0), ("LE", 100.0)):
        for i in range(4):
            store.write_feature(market, "f", at("2025-01-07") + 7 * i * DAY, at("2025-01-10 20:30") + 7 * i * DAY, base + i)
    times = [at("2025-01-15"), at("2025-01-15")]
    crossed = pd.DataFrame({"t": times, "m": ["HE", "LE"], "f": [1.0, 100.0]})
    (cell,) = hydra_assets.proof.audit(crossed, store, time="t", market="m").cells
    assert (cell.market, cell.row, cell.value, cell.right) == ("HE", 0, 1.0, 0.0)
    swapped = pd.DataFrame({"t": times, "m": ["HE", "LE"], "f": [100.0, 0.0]})
    (column,) = hydra_assets.proof.audit(swapped, store, time="t", market="m").features
    assert column.unknown == 2


def test_the_same_frame_in_every_library_gives_the_same_answer(known, honest):
    leaked = honest.assign(cot_mm_net=honest["cot_mm_net"].shift(-7)).drop(columns="market")
    answer = hydra_assets.proof.audit(leaked, known, market="LE")
    assert answer.cells
    table = pa.Table.from_pandas(leaked)
    frames = [table, pa.table(table.to_batches()[0:1][0].to_pydict()), leaked.set_index("time")]
    frames.append(leaked.set_index(pd.DatetimeIndex(leaked["time"], name=None)).drop(columns="time"))
    frames.append(leaked.assign(time=leaked["time"].dt.tz_convert("Asia/Tokyo")))
    try:
        import polars
    except ImportError:
        pass
    else:
        frames.append(polars.from_arrow(table))
    for frame in frames:
        assert hydra_assets.proof.audit(frame, known, market="LE").cells == answer.cells


def test_naive_times_are_refused_with_the_remedy_and_localised_on_request(known, honest):
    chicago = honest["time"].dt.tz_convert("America/Chicago").dt.tz_localize(None)
    for times in (chicago, chicago.astype(str), chicago.dt.date):
        with pytest.raises(InvalidTimeError, match="--timezone America/Chicago"):
            hydra_assets.proof.audit(honest.assign(time=times), known)
    for times in (chicago, chicago.astype(str)):
        assert hydra_assets.proof.audit(honest.assign(time=times), known, timezone="America/Chicago").verdict == "passed"
    early = hydra_assets.proof.audit(honest.assign(time=chicago), known, timezone="Asia/Tokyo")
    assert early.verdict == "failed"  # 15:30 in Tokyo is a morning in America: what came that day was not known
    with pytest.raises(InvalidTimeError, match="cannot be localised to 'Mars'"):
        hydra_assets.proof.audit(honest.assign(time=chicago), known, timezone="Mars")
    twice = honest[:2].assign(time=[dt.datetime(2024, 11, 3, 1, 30)] * 2)  # noqa: DTZ001
    with pytest.raises(InvalidTimeError, match="cannot be localised"):
        hydra_assets.proof.audit(twice, known, timezone="America/Chicago")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda df: df.drop(columns="time"), SchemaError, "no column 'time'"),
        (lambda df: df.assign(time="yesterday"), InvalidTimeError, "--timezone|no ISO 8601"),
        (lambda df: df.assign(time=[None, *df["time"][1:]]), InvalidTimeError, "1 null instant"),
        (lambda df: df.assign(time=7), InvalidTimeError, "holds int64, no instants"),
        (lambda df: df.assign(cot_mm_net="many"), SchemaError, "'cot_mm_net' holds .*no numbers"),
        (lambda df: df[["time", "market"]].assign(mine=1.0), SchemaError, "no column of the frame is a feature"),
        (lambda df: pd.concat([df, df["cot_mm_net"]], axis=1), SchemaError, "duplicate columns"),
        (lambda df: df.to_dict(), SchemaError, "not dict"),
    ],
)
def test_a_frame_that_cannot_be_used_says_why(known, honest, change, error, says):
    with pytest.raises(error, match=says):
        hydra_assets.proof.audit(change(honest), known)


def test_features_asked_for_must_be_there(known, honest):
    with pytest.raises(SchemaError, match=r"\['nothing'\] are no columns"):
        hydra_assets.proof.audit(honest, known, features=["nothing"])
    with pytest.raises(SchemaError, match=r"\['mine'\] are no features"):
        hydra_assets.proof.audit(honest.assign(mine=1.0), known, features=["mine"])


def test_without_a_store_it_is_the_homes(honest):
    with hydra_assets.open() as desk:
        desk.store.write_feature("HE", "f", at("2025-01-07"), at("2025-01-10"), 1.5)
    frame = pa.table({"time": [at("2025-01-08")], "f": [1.5]})
    (cell,) = hydra_assets.proof.audit(frame, market="HE").cells
    assert (cell.value, cell.right, cell.early_days) == (1.5, None, 2.0)


# ---------------------------------------------------------------- the command


def run(*words):
    """The command in this process; that a real one starts, a test of the lint's command shows."""
    done = CliRunner().invoke(app, ["audit", *map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


@pytest.fixture
def files(known, honest, tmp_path):
    leaked = honest.assign(cot_mm_net=honest["cot_mm_net"].shift(-7)).rename(columns={"time": "ts"})
    leaked.to_csv(tmp_path / "leaked.csv", index=False)
    pq.write_table(pa.Table.from_pandas(leaked), tmp_path / "leaked.parquet")
    honest.to_csv(tmp_path / "honest.csv", index=False)
    return tmp_path


def test_the_command_accuses_from_csv_and_parquet_alike(known, files, honest):
    told = {}
    for kind in ("csv", "parquet"):
        done = run(files / f"leaked.{kind}", "--time", "ts", "--market", "market", "--store", known.db_path, "--json")
        assert done.exit_code == 1, done.stderr
        told[kind] = json.loads(done.stdout)
    assert told["csv"]["cells"] == told["parquet"]["cells"]
    for cell in told["csv"]["cells"]:
        assert cell["feature"] == "cot_mm_net"
        assert cell["market"] == "LE"
        assert dt.datetime.fromisoformat(cell["time"]) == TIMES[cell["row"]]
        assert cell["value"] == honest.loc[cell["row"] + 7, "cot_mm_net"]
        assert cell["right"] == honest.loc[cell["row"], "cot_mm_net"]
    assert told["csv"]["verdict"] == "failed"
    shown = run(files / "leaked.csv", "--time", "ts", "--store", known.db_path)
    assert shown.exit_code == 1
    assert "Used before they existed: the first 20 of" in shown.stdout
    assert "Verdict: failed" in shown.stdout


def test_the_command_passes_an_honest_frame_and_refuses_what_it_cannot_use(known, files):
    assert run(files / "honest.csv", "--store", known.db_path, "--feature", "cot_mm_net").exit_code == 0
    (files / "naive.csv").write_text("time,cot_mm_net\n2024-01-02 15:30:00,1.0\n")
    refused = run(files / "naive.csv", "--market", "LE", "--store", known.db_path)
    assert refused.exit_code == 2
    assert "--timezone America/Chicago" in refused.stderr
    assert run(files / "naive.csv", "--market", "LE", "--store", known.db_path, "--timezone", "America/Chicago").exit_code == 0
    (files / "frame.xlsx").write_bytes(b"x")
    (files / "broken.parquet").write_bytes(b"PAR1")
    for name, says in (
        ("frame.xlsx", ".parquet or .csv"),
        ("broken.parquet", "cannot be read as parquet"),
        ("nowhere.csv", "does not exist"),
    ):
        done = run(files / name, "--store", known.db_path)
        assert done.exit_code == 2
        assert says in " ".join(done.stderr.replace("│", " ").split())
    assert run(files / "honest.csv").exit_code == 2  # the home's store is empty
    assert run(files / "honest.csv", "--store", files / "no.sqlite").exit_code == 2
    assert not (files / "no.sqlite").exists()


def test_nanoseconds_and_the_exact_instant_count_as_known(store):
    store.write_feature("HE", "f", at("2025-01-07"), at("2025-01-10 20:30"), 2.5)
    exact = pd.DataFrame(
        {"time": [pd.Timestamp(at("2025-01-10 20:30")) - pd.Timedelta(1, "ns"), pd.Timestamp(at("2025-01-10 20:30"))], "f": 2.5}
    )
    (cell,) = hydra_assets.proof.audit(exact, store, market="HE").cells
    assert cell.row == 0
    assert cell.time == from_us(int(at("2025-01-10 20:30").timestamp() * 1e6) - 1)


def test_a_number_that_came_with_the_right_one_is_stale_and_not_early(store):
    for day, value in (("2025-01-07", 1.0), ("2025-01-14", 2.0)):  # a late report and the next one, released together
        store.write_feature("HE", "f", at(day), at("2025-01-17 20:30"), value)
    frame = pd.DataFrame({"time": [at("2025-01-17 20:30")], "f": [1.0]})
    found = hydra_assets.proof.audit(frame, store, market="HE")
    assert (found.cells, found.features[0].stale) == ((), 1)


def test_of_several_vintages_with_the_number_the_one_that_was_available_first_is_named(store):
    for day, out in (("2025-01-14", "2025-01-20"), ("2025-01-07", "2025-01-17"), ("2025-01-21", "2025-01-24")):
        store.write_feature("HE", "f", at(day), at(out), 1.0)
    (cell,) = hydra_assets.proof.audit(pd.DataFrame({"time": [at("2025-01-10")], "f": [1.0]}), store, market="HE").cells
    assert (cell.as_of, cell.available_at, cell.early_days) == (at("2025-01-07"), at("2025-01-17"), 7.0)
