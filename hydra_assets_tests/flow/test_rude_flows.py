"""Whole months through Dagster at a vendor with every rude behaviour, beside the same months at the polite one: nothing breaks, nothing
that could be had is lost, nothing is paid twice."""

import re
from dataclasses import dataclass

import pandas as pd
import pytest
from databento.common.dbnstore import DBNStore

from hydra_assets.cli.quote import price_of
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.config.load import load_config
from hydra_assets.core.months import months_between
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.sources.databento_statistics import STATS, UNDEF_QUANTITIES
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.support import laid_down
from hydra_assets_tests.support.dagster_runs import COT, FUTURES, OPTIONS, run, verdicts

pytestmark = pytest.mark.slow
EVERY = (*COT, *FUTURES, "rates", *OPTIONS)
RAW = tuple(name for name in EVERY if TABLES[name].group == "raw")
RUDE = "sample: {rude: all, first_byte_s: 0.02, bytes_per_s: 4000000, busy_polls: 1}\n"
_YEAR = re.compile(r"^([A-Z]+[FGHJKMNQUVXZ])\d(\d)\b")


@dataclass(frozen=True)
class Era:
    """Months of a market, in which other behaviours show."""

    market: str
    first: str
    last: str

    @property
    def months(self):
        return months_between(self.first, self.last)


ERAS = {
    "today": Era("HE", "2025-10", "2025-10"),
    "without flags and dates": Era("HE", "2014-10", "2014-10"),
    "grains of 2013": Era("ZC", "2013-03", "2013-03"),
}


@pytest.fixture(params=list(ERAS), scope="module")
def era(request):
    return ERAS[request.param]


@pytest.fixture(scope="module")
def homes(era, tmp_path_factory):
    """The polite home and the rude one of an era, with the verdicts of both and the price that the rude one was quoted."""
    made = {}
    for name in ("polite", "rude"):
        with pytest.MonkeyPatch.context() as patch:
            base = tmp_path_factory.mktemp(name)
            patch.setenv("HYDRA_HOME", str(base))
            if name == "rude":
                (base / "config.yaml").write_text(RUDE)
            home = resolve_home("sample")
            home.create()
            price = price_of(home, load_config(), era.market, era.months)
            result = run(era.market, era.first, era.last, only=EVERY, raise_on_error=False)
            assert result.success, name
            made[name] = (home, verdicts(result), price.usd)
    return made


def rows(home: Home, table: str, market: str) -> pd.DataFrame:
    """All rows of a table; symbols with one digit of their year."""
    frame = ParquetLake(home.lake, world="sample").read(table, market).to_pandas()
    for column in ("instrument", "underlying"):
        if column in frame:
            frame[column] = frame[column].str.replace(_YEAR, r"\1\2", regex=True)
    return frame


def identities(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """The things a table describes: a contract and its day, for statistics with their kind."""
    names = [name for name in ("cftc_code", "instrument", "stat", "as_of") if name in frame]
    return frame[names].drop_duplicates()


def without_quantity(home: Home) -> int:
    """Volumes and open interests in the archive that hold no number and take none back."""
    found = 0
    for path in (home.archives / "databento").glob("*.dbn.zst"):
        store = DBNStore.from_file(path)
        if str(store.schema) == "statistics":
            raw = store.to_ndarray()
            counted = pd.Series(raw["stat_type"]).isin([kind for kind, name in STATS.items() if name != "settlement"])
            found += int((counted & pd.Series(raw["quantity"]).isin(UNDEF_QUANTITIES) & (raw["update_action"] == 1)).sum())
    return found


def test_every_check_passes_that_passes_at_the_polite_vendor(homes):
    (_, polite, _), (_, rude, _) = homes["polite"], homes["rude"]
    assert set(polite) == set(rude)
    assert {check: verdict for check, verdict in rude.items() if verdict != polite[check] and verdict != "passed"} == {}


def lost_rows(homes, era) -> dict[str, pd.DataFrame]:
    """The keys of each raw table that the polite home has and the rude one lacks."""
    lost = {}
    for table in RAW:
        wanted, held = (identities(rows(homes[name][0], table, era.market), table) for name in ("polite", "rude"))
        assert len(wanted), table
        joined = wanted.merge(held, how="left", indicator=True)
        lost[table] = joined[joined["_merge"] == "left_only"].drop(columns="_merge")
    return lost


def test_every_row_that_could_be_had_is_there(homes, era):
    lost = lost_rows(homes, era)
    # A definition without an expiration is none; what lies under its id on that day is of an unknown contract.
    undefined = pd.concat([lost.pop("futures_definitions"), lost.pop("option_definitions")])[["instrument", "as_of"]]
    assert len(undefined) == (2 if era.first.endswith("-03") else 0)
    for table in set(lost) - {"cot_disaggregated"}:
        lost[table] = lost[table].merge(undefined, how="left", indicator=True).query("_merge == 'left_only'")
    # Grains are quoted by another clock at the rude vendor: a late quote lies after the cut.
    late = lost.pop("option_quotes")
    assert len(late) < (10 if era.market == "ZC" else 1)
    statistics = [lost.pop(name) for name in ("futures_statistics", "option_statistics")]
    assert {table: len(found) for table, found in lost.items() if len(found)} == {}
    assert not any((found["stat"] == "settlement").any() for found in statistics)
    assert sum(map(len, statistics)) <= without_quantity(homes["rude"][0])


def test_what_was_not_inferred_is_what_the_polite_vendor_says(homes, era):
    polite, rude = homes["polite"][0], homes["rude"][0]
    compared = {"futures_bars": ["open", "high", "low", "close", "volume"], "option_quotes": ["bid", "ask", "quoted_at"]}
    if era.market == "ZC":
        del compared["option_quotes"]  # of another clock
    for table, columns in compared.items():
        named = rows(rude, table, era.market)
        sure = named[named["quality"] == "normal"]
        both = sure.merge(rows(polite, table, era.market), on=["instrument", "as_of"], suffixes=("", "_polite"))
        assert len(both) == len(sure)
        for column in columns:
            assert both[column].equals(both[f"{column}_polite"]), (table, column)
    settled = [rows(home, "futures_statistics", era.market) for home in (polite, rude)]
    final = [frame[(frame["stat"] == "settlement") & frame["is_final"].fillna(False).astype(bool)] for frame in settled]
    both = final[1].merge(final[0], on=["instrument", "as_of"], suffixes=("", "_polite"))
    assert (both["value"] == both["value_polite"]).all()
    assert len(both) > 200 if era is ERAS["today"] else len(both) == 0


def test_the_ledger_holds_each_request_once_and_at_its_price(homes):
    home, _, quoted = homes["rude"]
    with Ledger(home.ledger) as ledger:
        requests = pd.DataFrame(ledger.requests())
    named = ["schema", "symbols", "start_us", "end_us"]
    kept, failed = (requests[requests["state"] == state] for state in ("kept", "failed"))
    assert set(requests["state"]) == {"kept", "failed"}
    assert not kept.duplicated(named).any()
    assert kept["usd"].sum() == pytest.approx(quoted, rel=0.02)
    assert failed["reason"].str.contains("broke off").all()
    assert len(failed) == len(failed.merge(kept, on=named))


def test_the_same_months_again_ask_for_nothing_and_change_nothing(homes, era, monkeypatch, tmp_path):
    before, _, _ = homes["rude"]
    laid_down.copy(before.base, tmp_path / "again")
    monkeypatch.setenv("HYDRA_HOME", str(tmp_path / "again"))
    home = resolve_home("sample")
    assert run(era.market, era.first, era.last, only=EVERY, raise_on_error=False).success
    for table in EVERY:
        assert len(rows(home, table, era.market)) == len(rows(before, table, era.market)), table
    with Ledger(home.ledger) as ledger, Ledger(before.ledger) as first:
        assert len(ledger.requests()) == len(first.requests())
    assert price_of(home, load_config(), era.market, era.months).usd == 0
