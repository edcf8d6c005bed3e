"""Settings: the shipped ones, one's own merged over them, and errors that name file, market and key."""

import datetime as dt
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from hydra_assets.config.home import resolve_home
from hydra_assets.config.load import load_config, user_config_template
from hydra_assets.core.calendar import ENERGY, GRAINS, LIVESTOCK
from hydra_assets.core.market import OptionRoot, calendar_of
from hydra_assets.errors import ConfigError

ROOT = Path(__file__).parents[2]


def own(home, text):
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text(text)
    return load_config()


def test_the_shipped_settings_are_the_plan():
    config = load_config()
    t = config.thresholds
    assert (t.futures_stale_days, t.options_stale_days, t.cot_stale_days) == (1, 1, 7)
    assert (t.min_liquid_strikes, t.max_spread_pct, t.min_oi) == (8, 0.20, 50)
    assert config.default_market == "HE"
    assert sorted(config.markets) == ["CL", "GF", "HE", "KE", "LE", "NG", "ZC", "ZL", "ZM", "ZO", "ZR", "ZS", "ZW"]
    he = config.market("HE")
    assert (he.name, he.exchange, he.contract_multiplier, he.cftc_code, he.timezone) == (
        "Lean Hogs",
        "CME",
        400,
        "054642",
        "America/Chicago",
    )
    codes = {market.cftc_code for market in config.markets.values()}
    assert len(codes) == 13
    assert all(len(code) == 6 for code in codes)


def test_ones_own_file_is_merged_over(home):
    config = own(home, "thresholds: {min_oi: 75}\nmarkets: {HE: {tick: 0.05}}\n")
    assert (config.thresholds.min_oi, config.thresholds.cot_stale_days) == (75, 7)
    assert (config.market("HE").tick, config.market("HE").name) == (0.05, "Lean Hogs")


def test_a_market_is_one_block(home):
    block = dict(
        yaml.safe_load((files("hydra_assets.config") / "markets.yaml").read_text())["HE"], name="Class III Milk", cftc_code="052641"
    )
    config = own(home, yaml.safe_dump({"markets": {"DC": block}}))
    assert config.market("DC").name == "Class III Milk"
    assert "HE" in config.markets


def test_option_roots_are_names_or_blocks_with_a_first_day(home):
    assert load_config().market("HE").option_roots == (OptionRoot("HE"),)
    roots = {root.root: root.since for root in load_config().market("ZC").option_roots}
    assert (roots["OZC"], roots["OCD"], roots["ZC1"]) == (None, dt.date(2012, 6, 4), dt.date(2011, 5, 1))
    config = own(home, "markets: {HE: {option_roots: [HE, {root: HX, since: 2021-06-01}, {root: HY}]}}")
    assert config.market("HE").option_roots == (OptionRoot("HE"), OptionRoot("HX", dt.date(2021, 6, 1)), OptionRoot("HY"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("markets: {HE: {option_roots: HE}}", ["market HE: option_roots", "[HE]"]),
        ("markets: {HE: {option_roots: [{root: HE, from: 2021-06-01}]}}", ["market HE: option_roots", "'from'"]),
        ("markets: {HE: {option_roots: [{root: HE, since: soon}]}}", ["market HE: option_roots: since", "date", "'soon'"]),
        ("markets: {HE: {option_roots: [HE, HE]}}", ["market HE: option_roots", "'HE'", "duplicate"]),
        ("markets: {HE: {option_roots: ['H E']}}", ["market HE: option_roots", "'H E'"]),
        ("markets: {HE: {ticks: 1}}", ["config.yaml", "market HE", "'ticks'", "'tick'"]),
        ("markets: {XX: {name: X}}", ["config.yaml", "market XX", "missing", "cftc_code"]),
        ("markets: {HE: {cftc_code: 54642}}", ["config.yaml", "market HE", "cftc_code"]),
        ('markets: {HE: {cftc_code: "54642"}}', ["market HE", "six characters"]),
        ("markets: {HE: {timezone: Chicago}}", ["market HE", "timezone", "'Chicago'"]),
        ("markets: {HE: {timezone: America/New_York}}", ["config.yaml", "market HE", "America/New_York", "Livestock, America/Chicago"]),
        ("markets: {HE: {calendar: CME_Hogs}}", ["config.yaml", "market HE", "'CME_Hogs'", "CMEGlobex_Grains", "CMEGlobex_Livestock"]),
        ("markets: {HE: {calendar: [a]}}", ["market HE: calendar", "unknown"]),
        ("options: {cut: noon}", ["options.cut", "'noon'", "HH:MM"]),
        ("markets: {HE: {tick: 0}}", ["market HE", "tick"]),
        ("markets: {no: {name: x}}", ["market False", "quotes"]),  # YAML reads it as a truth value
        ("thresholds: {min_io: 5}", ["config.yaml", "thresholds", "'min_io'", "'min_oi'"]),
        ("thresholds: {min_oi: many}", ["thresholds: min_oi", "int", "'many'"]),
        ("thresholds: 5", ["thresholds", "block"]),
        ("start_month: 2010-1", ["start_month"]),
        ("default_market: XX", ["default_market", "'XX'"]),
        ("cftc: {max_attempt: 3}", ["config.yaml", "cftc", "'max_attempt'", "'max_attempts'"]),
        ("cftc: {max_attempts: many}", ["config.yaml", "cftc: max_attempts", "int", "'many'"]),
        ("databento: 5", ["config.yaml", "databento", "block"]),
        ('databento: {gateway: ""}', ["config.yaml", "databento: gateway", "one line of plain letters"]),
        ('cftc: {user_agent: "a\\nb"}', ["config.yaml", "cftc: user_agent", "one line of plain letters"]),
        ("vendors: {}", ["config.yaml", "'vendors'"]),
        ("a: [", ["not valid YAML"]),
        ("options: {rate: 0.01}\ncftc: {max_attempts: 2}\noptions: {rate: 0.02}\n", ["the key 'options' stands twice", "line 3"]),
        ("options:\n  rate: 0.01\n  rate: 0.02\n", ["the key 'rate' stands twice", "line 3"]),
        ("x: " + "[" * 2000 + "]" * 2000, ["blocks within blocks"]),
        ("colour: red", ["config.yaml", "'colour'"]),
        ("known_holes: {}\n", ["config.yaml", "known_holes", "list"]),
        ("known_holes: [{vendor: databento, first: 2025-12-02}]\n", ["config.yaml", "known_holes", "missing key(s) last, reason, source"]),
        ("known_holes: [{vendor: v, first: 2025-12-02, last: 2025-12-01, reason: r, source: s}]\n", ["known_holes", "before the first"]),
        (
            "known_holes: [{vendor: databnto, first: 2025-12-01, last: 2025-12-01, reason: r, source: s}]\n",
            ["known_holes", "vendor 'databnto' fills no table", "cftc, databento"],
        ),
        ("known_holes: [{vendor: v, first: soon, last: 2025-12-01, reason: r, source: s}]\n", ["known_holes", "must be date", "soon"]),
        (
            "known_holes: [{vendor: v, first: 2025-12-01, last: 2025-12-01, reason: r, source: s, tables: [bars]}]\n",
            ["known_holes", "bars is no table", "futures_bars"],
        ),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_its_file_and_place(home, text, names):
    with pytest.raises(ConfigError) as caught:
        own(home, text)
    assert all(name in str(caught.value) for name in names), caught.value


def test_ones_own_known_holes_join_the_shipped_ones(home):
    shipped = load_config().known_holes
    hole = "{vendor: databento, first: 2025-12-02, last: 2025-12-03, reason: an outage, source: the vendor, markets: [HE]}"
    *first, own_hole = own(home, f"known_holes: [{hole}]\n").known_holes
    assert tuple(first) == shipped != ()
    assert (own_hole.first, own_hole.markets, own_hole.tables) == (dt.date(2025, 12, 2), ("HE",), ("*",))


def test_a_file_that_cannot_be_read_is_named(monkeypatch, tmp_path, home):
    monkeypatch.setenv("HYDRA_CONFIG", str(tmp_path))
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config()
    (tmp_path / "own.yaml").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("HYDRA_CONFIG", str(tmp_path / "own.yaml"))
    with pytest.raises(ConfigError, match=r"own\.yaml: not text in UTF-8"):
        load_config()


def test_a_home_of_nobody_is_named(monkeypatch):
    monkeypatch.setenv("HYDRA_HOME", "~nobody-of-this-name/home")
    with pytest.raises(ConfigError, match="HYDRA_HOME='~nobody-of-this-name/home'"):
        resolve_home()


def test_a_named_file_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HYDRA_CONFIG", str(tmp_path / "mine.yaml"))
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_config()
    (tmp_path / "mine.yaml").write_text("thresholds: {min_oi: 1}")
    assert load_config().thresholds.min_oi == 1


def test_the_template_is_the_shipped_file_commented_out(home):
    template = user_config_template()
    assert all(line.startswith("#") or not line for line in template.splitlines())
    uncommented = "\n".join(line[2:] for line in template.splitlines())
    shipped = load_config()
    assert own(home, uncommented) == shipped


def test_worlds_have_homes_of_their_own(home, monkeypatch):
    assert resolve_home().root == home / "sample"
    assert resolve_home("live").root == home / "live"
    monkeypatch.setenv("HYDRA_WORLD", "live")
    assert resolve_home().world == "live"
    monkeypatch.setenv("HYDRA_WORLD", "prod")
    with pytest.raises(ConfigError, match="HYDRA_WORLD='prod'"):
        resolve_home()


def test_a_home_is_readable_by_its_owner_alone(home):
    made = resolve_home()
    made.create()
    assert made.root.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["workspace.yaml", "dagster.yaml"])
def test_the_installed_copies_are_the_same_files(name):
    assert (files("hydra_assets.config") / name).read_text() == (ROOT / name).read_text()


GAS = """
  name: Gas
  exchange: NYMEX
  timezone: America/New_York
  calendar: CMEGlobex_Energy
  dataset: GLBX.MDP3
  price_unit: dollars per MMBtu
  contract_multiplier: 10000
  tick: 0.001
  cftc_code: "023651"
"""


def test_a_market_has_the_calendar_it_names_and_else_the_livestock_one(home):
    bellies = GAS.replace("  calendar: CMEGlobex_Energy\n", "").replace("New_York", "Chicago")
    markets = own(home, f"markets:\n NG:{GAS} PB:{bellies}").markets
    assert markets["NG"].calendar is ENERGY
    assert markets["PB"].calendar is LIVESTOCK
    shipped = {symbol: market.calendar for symbol, market in markets.items() if symbol not in ("NG", "PB")}
    assert {symbol: calendar_of(symbol) for symbol in shipped} == shipped
    assert {symbol for symbol in shipped if shipped[symbol] is GRAINS} == {"KE", "ZC", "ZL", "ZM", "ZO", "ZR", "ZS", "ZW"}


def test_ones_own_cut_takes_the_place_of_the_calendars(home):
    day = dt.date(2025, 7, 9)
    assert [load_config().option_rules.cut_on(calendar, day).hour for calendar in (LIVESTOCK, GRAINS, ENERGY)] == [18, 18, 18]
    assert load_config().option_rules.cut_on(GRAINS, day) == GRAINS.cut(day)
    assert own(home, 'options: {cut: "12:30"}').option_rules.cut_on(GRAINS, day) == dt.datetime(2025, 7, 9, 17, 30, tzinfo=dt.UTC)
