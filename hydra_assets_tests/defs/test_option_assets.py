"""The options' path through a real Dagster: raw bytes to chain, smiles and features, again for nothing, corrected, and with lies in it."""

import base64
import datetime as dt
import itertools
import math
import shutil

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import hydra_assets
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs.partitions import key_of
from hydra_assets.features import of_family
from hydra_assets.flow import publish as flow
from hydra_assets.flow.derive import derived_months
from hydra_assets.flow.feeds.databento_plan import NO_ROOTS
from hydra_assets.flow.publish import compute_months
from hydra_assets.storage.capture import Look
from hydra_assets_tests.conftest import at
from hydra_assets_tests.defs.test_checks import check_alone, violations
from hydra_assets_tests.support.dagster_runs import COT, OPTIONS, RAW_OPTIONS, materializations, run, verdicts
from hydra_assets_tests.support.futures_history import ct

EVERY = ("futures_definitions", "futures_bars", "futures_statistics", "futures_features", "rates", *COT, *OPTIONS)
DERIVED = ("option_chain", "option_smiles", "futures_features", "option_features", "divergence_features")
MONTHS = [Month(2025, 11), Month(2025, 12)]
DAY = dt.date(2025, 11, 12)
NAMES = [feature.name for feature in of_family("options")]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two months of every table, made once: the home, and the run that made it."""
    base = tmp_path_factory.mktemp("options")
    (base / "config.yaml").write_text("checks:\n  replay_sample: 20\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYDRA_HOME", str(base))
        return base, run(first="2025-11", last="2025-12", only=EVERY)


@pytest.fixture
def shared(made, home, monkeypatch):
    """The home that `made` filled, for tests that leave it as it is."""
    monkeypatch.setenv("HYDRA_HOME", str(made[0]))


@pytest.fixture
def copied(made, home):
    """A copy of it to spoil; of this test alone."""
    shutil.copytree(made[0], home, ignore=shutil.ignore_patterns("cache", "archives"))


def held():
    """Rows of every table, and the facts of the store."""
    with hydra_assets.open() as desk:
        return {table: desk.lake.read(table, "HE").num_rows for table in EVERY}, desk.store.vintages("HE").num_rows


def vintages(desk, table, *, months=MONTHS):
    return desk.lake.read_vintages(table, "HE", months[0].first, months[-1].last, key=TABLES[table].key)


def in_order(table, name):
    return table.sort_by([(column, "ascending") for column in ("as_of", *TABLES[name].key, "available_at")])


# ---------------------------------------------------------------- once, and again


def test_from_bytes_to_features_and_every_check_passes(made, shared):
    _, first = made
    told = verdicts(first)
    assert {key: word for key, word in told.items() if word != "passed"} == {}
    assert {(table, check) for table in ("option_features", "divergence_features") for check in ("no_lookahead", "replay")} <= set(told)
    for table in EVERY:
        metas = materializations(first, table)
        assert set(metas) == {str(key_of("HE", month)) for month in MONTHS}
        assert all(meta["new_rows"] > 0 for meta in metas.values()), table
    with hydra_assets.open() as desk:
        assert set(NAMES) | {"div_opt_cot", "diag_opt_n_liquid"} <= set(desk.store.features("HE"))
        assert all(vintages(desk, "option_chain")["synthetic"].to_pylist())
        known = desk.store.get_features_at("HE", ct(DAY, "19:00"))
        waiting = {"opt_vrp_30", "opt_iv_rv_ratio"}  # for 17 and 204 sessions of returns
        assert {name for name in NAMES if known[name] is None} == waiting
        assert desk.store.get_features_at("HE", ct(dt.date(2025, 12, 31), "19:00"))["opt_vrp_30"] is not None


@pytest.mark.slow
def test_a_second_time_month_by_month_writes_nothing(made, shared):
    """The fit depends on neither the batch nor the range that a day is computed in."""
    before = held()
    for month, tables in zip(map(str, MONTHS), (DERIVED, EVERY), strict=True):
        again = run(first=month, last=month, only=tables)
        for table in tables:
            (meta,) = materializations(again, table).values()
            assert meta["new_rows"] == 0, table
            assert meta.get("published_facts", 0) == 0, table
    assert held() == before


def test_a_month_alone_gives_the_stored_rows_bit_for_bit(shared):
    with hydra_assets.open() as desk:
        rules = load_config().option_rules
        for month in MONTHS:
            for name in ("option_chain", "option_smiles"):
                (batch,) = derived_months(desk.lake, name, "HE", [month], rules)
                stored = vintages(desk, name, months=[month])
                assert in_order(batch.rows, name).equals(in_order(stored, name)), name
            for family in ("options", "divergence"):
                (computed,) = compute_months(desk.lake, family, "HE", [month], rules)
                name = {"options": "option_features"}.get(family, "divergence_features")
                stored = vintages(desk, name, months=[month])
                assert in_order(computed.rows, name).equals(in_order(stored, name)), name


def test_every_feature_traces_to_its_smiles(shared):
    """Each row was known no earlier than a smile of its day; the level is what its two smiles say, by hand."""
    checked = 0
    with hydra_assets.open() as desk:
        smiles, rows = vintages(desk, "option_smiles").to_pylist(), vintages(desk, "option_features").to_pylist()
    by_day = {}
    for fit in sorted(smiles, key=lambda fit: fit["available_at"]):
        by_day.setdefault(fit["as_of"], []).append(fit)
    assert {row["feature_name"] for row in rows} == set(NAMES)
    for row in rows:
        if row["feature_name"] == "opt_pc_oi":  # of open interest alone
            continue
        known = {(fit["expiration"], fit["underlying"]): fit for fit in by_day[row["as_of"]] if fit["available_at"] <= row["available_at"]}
        assert known, row
        if row["feature_name"] in ("opt_atm_iv_30", "opt_atm_iv_60", "opt_atm_iv_90") and row["quality"] == "normal":
            horizon = int(row["feature_name"].removeprefix("opt_atm_iv_")) / 365
            whole = sorted((fit for fit in known.values() if fit["status"] == "full"), key=lambda fit: fit["tau"])
            near, far = next(pair for pair in itertools.pairwise(whole) if pair[0]["tau"] <= horizon <= pair[1]["tau"])
            weight = (horizon - near["tau"]) / (far["tau"] - near["tau"])
            w = (1 - weight) * near["theta"] + weight * far["theta"]
            assert row["value"] == pytest.approx(math.sqrt(w / horizon), rel=1e-9)
            checked += 1
    assert checked > 40


def png(markdown):
    picture = base64.b64decode(markdown.split("base64,")[1].rstrip(")"))
    assert picture.startswith(PNG)
    width, height = (int.from_bytes(picture[i : i + 4]) for i in (16, 20))
    assert picture.endswith(b"IEND\xaeB`\x82")
    return width, height


def test_the_months_show_smiles_densities_and_volatility(made):
    _, first = made
    newest, other = str(key_of("HE", MONTHS[1])), str(key_of("HE", MONTHS[0]))
    smiles, features = (materializations(first, table) for table in ("option_smiles", "option_features"))
    rows = [record.data for record in smiles[newest]["smiles"].records]
    assert len(rows) >= 3
    assert {"expiration", "ATM vol %", "strikes", "status", "beyond the strikes %"} <= set(rows[0])
    assert all(10 < row["ATM vol %"] < 80 for row in rows)
    volatility = [record.data for record in features[newest]["volatility"].records]
    assert [row["day"] for row in volatility] == sorted(row["day"] for row in volatility)
    assert volatility[-1]["day"] == "2025-12-31"
    for meta, name in ((smiles, "smiles_picture"), (features, "volatility_picture")):
        for month in (newest, other):  # whichever the overview shows as the latest
            assert min(png(meta[month][name])) > 100


def test_the_training_frame_serves_them_as_they_were_known(shared):
    names = ["opt_atm_iv_30", "opt_rr25_30", "opt_pc_oi", "opt_gex_net", "diag_opt_n_liquid"]
    with hydra_assets.open() as desk:
        times = hydra_assets.sessions("HE", dt.date(2025, 11, 5), dt.date(2025, 12, 30), at="18:30")
        frame = desk.store.get_training_frame("HE", times, names)
        assert all(frame[name].null_count < frame.num_rows - 5 for name in names)
        for i in range(0, frame.num_rows, 7):
            known = desk.store.get_features_at("HE", times[i])
            assert {name: frame[name][i].as_py() for name in names} == {name: known[name] for name in names}
        # At noon nothing of the day's smiles exists; at half past six they do.
        noon = desk.store.explain("HE", "opt_rr25_30", ct(DAY, "12:00"))
        assert noon["served"]["as_of"] < at(str(DAY))
        assert at(str(DAY)) in [row["as_of"] for row in noon["withheld"]]
        assert desk.store.explain("HE", "opt_rr25_30", ct(DAY, "18:30"))["served"]["as_of"] == at(str(DAY))


# ---------------------------------------------------------------- corrections


def answers(*instants):
    with hydra_assets.open() as desk:
        return [desk.store.get_features_at("HE", instant) for instant in instants]


def arrive(table, rows, seen):
    """Rows that the vendor sends later, taken in as the assets take them."""
    dataset = TABLES[table]
    with hydra_assets.open() as desk:
        look = Look("databento", DAY, DAY, ("HE",), seen)
        return desk.lake.append_new(rows, table, "HE", DAY, key=dataset.key, stamps=dataset.stamps, look=look)


def one_row(table, mask):
    """The last row of *table* on the day that *mask* lets through."""
    with hydra_assets.open() as desk:
        rows = desk.lake.read(table, "HE", DAY, DAY)
        rows = rows.filter(mask(rows))
        return rows.slice(rows.num_rows - 1)


def with_columns(rows, **columns):
    for name, values in columns.items():
        i = rows.column_names.index(name)
        rows = rows.set_column(i, rows.schema.field(name), pa.array([values]).cast(rows.schema.field(name).type))
    return rows


def stamped_then(table, instant):
    with hydra_assets.open() as desk:
        rows = vintages(desk, table)
        return rows.filter(pc.equal(rows["available_at"], pa.scalar(instant, rows.schema.field("available_at").type))).to_pylist()


@pytest.mark.slow
def test_a_corrected_settlement_makes_vintages_of_everything_and_answers_before_it_stay(copied):
    """Five days later the exchange corrects what the options were put against: known from then on, not before."""
    corrected = at("2025-11-17 15:00")
    row = one_row(
        "futures_statistics",
        lambda t: pc.and_(pc.equal(t["stat"], "settlement"), pc.and_(t["is_final"].fill_null(False), pc.equal(t["instrument"], "HEZ5"))),
    )
    value = row["value"][0].as_py() + 0.25
    early = [ct(DAY, "18:30"), ct(DAY, "23:00"), corrected - dt.timedelta(microseconds=1)]
    before, rows_before = answers(*early), held()
    with hydra_assets.open() as desk:
        old = {table: vintages(desk, table) for table in DERIVED}
    assert arrive("futures_statistics", with_columns(row, value=value, stamped_at=corrected, available_at=corrected), corrected) == 1
    result = run(first="2025-11", last="2025-12", only=DERIVED)
    assert set(verdicts(result).values()) == {"passed"}
    fresh = {table: stamped_then(table, corrected) for table in DERIVED}
    chain = [r for r in fresh["option_chain"] if r["underlying"] == "HEZ5"]
    assert chain
    assert {(r["as_of"], r["forward"]) for r in chain} == {(at(str(DAY)), value)}
    assert {r["underlying"] for r in fresh["option_smiles"]} == {"HEZ5"}
    told = {(r["feature_name"], r["as_of"]) for r in fresh["option_features"]}
    assert {(name, at(str(DAY))) for name in ("opt_atm_iv_30", "opt_gex_call", "opt_rr25_30")} <= told
    # The next day's return runs from that settlement; its options do not.
    assert ("fut_ret_1d", at("2025-11-13")) in {(r["feature_name"], r["as_of"]) for r in fresh["futures_features"]}
    assert {as_of for name, as_of in told if name != "opt_vrp_30"} == {at(str(DAY))}
    assert answers(*early) == before
    # What was known before is as it was; of chain and smiles all other rows are.
    for table, was in old.items():
        with hydra_assets.open() as desk:
            now = vintages(desk, table)
        keep = pc.not_equal if table in ("option_chain", "option_smiles") else pc.less
        was, now = (t.filter(keep(t["available_at"], pa.scalar(corrected, t.schema.field("available_at").type))) for t in (was, now))
        assert in_order(now, table).equals(in_order(was, table)), table
    assert rows_before[1] < held()[1]


def test_a_restated_quote_is_known_when_it_was_seen(copied):
    """The vendor mends a day: the bid that it now tells was not to be had then."""
    seen = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=1)  # later than the look that made the home
    row = one_row("option_quotes", lambda t: _liquid_quotes(t))
    bid = row["bid"][0].as_py()
    early = [ct(DAY, "18:30"), seen - dt.timedelta(microseconds=1)]
    before = answers(*early)
    assert arrive("option_quotes", with_columns(row, bid=bid - 0.025), seen) == 1
    touched = ("option_chain", "option_smiles", "option_features")
    run(first="2025-11", last="2025-11", only=touched)
    fresh = {table: stamped_then(table, seen) for table in touched}
    number = row["instrument_id"][0].as_py()
    assert (number, bid - 0.025) in {(r["instrument_id"], r["bid"]) for r in fresh["option_chain"]}
    assert {r["as_of"] for r in fresh["option_chain"]} == {at(str(DAY))}
    (smile,) = fresh["option_smiles"]
    assert smile["as_of"] == at(str(DAY))
    assert {r["as_of"] for r in fresh["option_features"]} == {at(str(DAY))}
    assert answers(*early) == before


def _liquid_quotes(quotes):
    """The day's quotes of out-of-the-money options that a smile of the December future used."""
    with hydra_assets.open() as desk:
        chain = vintages(desk, "option_chain")
    day = pa.scalar(at(str(DAY)), chain.schema.field("as_of").type)
    of_day = chain.filter(pc.and_(pc.equal(chain["as_of"], day), pc.equal(chain["underlying"], "HEZ5")))
    used = of_day.filter(pc.and_(of_day["liquid"], of_day["vol"].is_valid()))
    return pc.is_in(quotes["instrument_id"], used["instrument_id"].combine_chunks())


# ---------------------------------------------------------------- planted lies


def without_features(desk_home):
    """The copied home's inputs of features: no feature table, no store."""
    for path in desk_home.glob("sample/lake/data_type=*_features"):
        shutil.rmtree(path)
    for path in desk_home.glob("sample/store.sqlite*"):
        path.unlink()


def planted(monkeypatch, change):
    real = flow.compute

    def compute(family, inputs, **more):
        rows = real(family, inputs, **more)
        return change(rows) if family == "options" else rows

    monkeypatch.setattr(flow, "compute", compute)
    result = run(first="2025-11", last="2025-11", only=["option_features"], raise_on_error=False)
    (failure, *_) = [e for e in result.all_events if e.is_step_failure]
    return failure.event_specific_data.error.to_string()


def restamped(rows, when, names):
    """*rows* with the ``available_at`` that *when* gives those named."""
    told = [when(row) if row["feature_name"] in names else row["available_at"] for row in rows.to_pylist()]
    i = rows.column_names.index("available_at")
    return rows.set_column(i, rows.schema.field("available_at"), pa.array(told, rows.schema.field("available_at").type))


def at_the_cut(row):
    return ct(row["as_of"].date(), "13:00")


def nothing_was_written():
    with hydra_assets.open() as desk:
        assert desk.store.features("HE") == []
        assert desk.lake.folders("option_features") == []


def test_smiles_told_at_the_cut_before_the_settlement_are_refused(copied, home, monkeypatch):
    """The quotes are known at the cut; the forward that turns them into volatilities is not."""
    without_features(home)
    text = planted(monkeypatch, lambda rows: restamped(rows, at_the_cut, {"opt_rr25_30"}))
    assert "LookaheadError" in text
    assert "opt_rr25_30" in text
    assert "futures_statistics settlement" in text
    nothing_was_written()


def test_a_flow_on_the_days_own_open_interest_is_refused(copied, home, monkeypatch):
    """Open interest of t arrives on the morning after: no input of a flow of t does then."""
    with hydra_assets.open() as desk:
        stats = vintages(desk, "option_statistics")
        own = stats.filter(pc.equal(stats["stat"], "open_interest"))
        morning = {}
        for row in own.select(["as_of", "available_at"]).to_pylist():
            morning[row["as_of"]] = max(row["available_at"], morning.get(row["as_of"], row["available_at"]))
    without_features(home)
    text = planted(monkeypatch, lambda rows: restamped(rows, lambda row: morning[row["as_of"]], {"opt_gex_call"}))
    assert "LookaheadError" in text
    assert "opt_gex_call" in text
    assert "no input inside its windows arrived at that instant" in text
    nothing_was_written()


def test_the_ratio_of_the_day_itself_is_refused(copied, home, monkeypatch):
    """A ratio labelled with the day whose open interest it tells, and stamped on that evening."""
    without_features(home)
    text = planted(monkeypatch, lambda rows: restamped(rows, lambda row: row["as_of"], {"opt_pc_oi"}))
    assert "LookaheadError" in text
    assert "option_statistics open_interest" in text
    nothing_was_written()


def test_the_checks_see_a_row_that_was_known_too_early_and_a_value_that_nothing_gives(copied):
    with hydra_assets.open() as desk:
        history = {
            name: desk.store.get_feature_history("HE", name, at("2025-11-01"), at("2025-12-31"))
            for name in ("opt_atm_iv_30", "opt_atm_iv_60", "opt_rr25_30", "opt_gex_put")
        }
        (first, *_) = history["opt_rr25_30"]
        desk.store.write_feature("HE", "opt_rr25_30", first["as_of"], at_the_cut(first), 0.01)
        spoiled = [
            {"market": "HE", "feature_name": name, **row, "value": row["value"] * 1.01}
            for name, rows in history.items()
            for row in rows
            if row["value"]
        ]
        assert desk.store.write_features(spoiled) == len(spoiled)
    early = check_alone("option_features", "no_lookahead")
    assert (early.metadata["verdict"].value, early.severity) == ("failed", dg.AssetCheckSeverity.ERROR)
    (row,) = violations(early)
    assert (row["place"], row["feature_name"], row["as_of"]) == ("store", "opt_rr25_30", str(first["as_of"].date()))
    assert "futures_statistics settlement" in row["reason"]
    wrong = check_alone("option_features", "replay")
    assert wrong.metadata["verdict"].value == "failed"
    assert {row["feature_name"] for row in violations(wrong)} <= set(history)
    assert violations(wrong)


def test_the_divergence_checks_see_them_too(copied):
    with hydra_assets.open() as desk:
        rows = desk.store.get_feature_history("HE", "diag_opt_n_liquid", at("2025-11-01"), at("2025-12-31"))
        desk.store.write_feature("HE", "diag_opt_n_liquid", rows[0]["as_of"], at_the_cut(rows[0]), 9.0)
        wrong = [{"market": "HE", "feature_name": "diag_opt_n_liquid", **row, "value": row["value"] + 1} for row in rows]
        assert desk.store.write_features(wrong) == len(wrong)
    (early,) = violations(check_alone("divergence_features", "no_lookahead"))
    assert early["feature_name"] == "diag_opt_n_liquid"
    assert {row["feature_name"] for row in violations(check_alone("divergence_features", "replay"))} == {"diag_opt_n_liquid"}


# ---------------------------------------------------------------- without options


@pytest.mark.slow
def test_a_market_without_options_has_empty_tables_and_a_reason(home):
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("markets:\n  HE:\n    option_roots: []\n", encoding="utf-8")
    only = ("futures_definitions", "futures_statistics", "futures_features", "cot_disaggregated", "cot_features", *OPTIONS)
    result = run(first="2025-12", last="2025-12", only=only)
    assert result.success
    with hydra_assets.open() as desk:
        assert {table: desk.lake.read(table, "HE").num_rows for table in OPTIONS} == dict.fromkeys(OPTIONS, 0)
        assert not [name for name in desk.store.features("HE") if name.startswith(("opt_", "div_", "diag_"))]
    for table in RAW_OPTIONS:
        (meta,) = materializations(result, table).values()
        assert meta["gap"] is True
        assert {record.data["note"] for record in meta["calendar"].records} == {NO_ROOTS}
    told = verdicts(result)
    assert {told[table, check] for table in ("option_features", "divergence_features") for check in ("no_lookahead", "replay")} == {
        "unproven"
    }
    assert {key: word for key, word in told.items() if word == "failed"} == {}
