"""A market: what one contract is, where it trades, and under which code the CFTC reports it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from hydra_assets.core.calendar import DEFAULT_CALENDAR, ENERGY, GRAINS, LIVESTOCK, Calendar

# Facts of the shipped markets, for pure functions that are given a symbol and no settings; a test holds them equal to markets.yaml.
# Dollars per price unit and contract:
CONTRACT_MULTIPLIERS: Mapping[str, float] = {
    **{"GF": 500.0, "HE": 400.0, "LE": 400.0},
    **{"KE": 50.0, "ZC": 50.0, "ZL": 600.0, "ZM": 100.0, "ZO": 50.0, "ZR": 2000.0, "ZS": 50.0, "ZW": 50.0},
    **{"CL": 1000.0, "NG": 10_000.0},
}
_CALENDARS: Mapping[str, Calendar] = {
    **dict.fromkeys(("GF", "HE", "LE"), LIVESTOCK),
    **dict.fromkeys(("KE", "ZC", "ZL", "ZM", "ZO", "ZR", "ZS", "ZW"), GRAINS),
    **dict.fromkeys(("CL", "NG"), ENERGY),
}


@dataclass(frozen=True)
class OptionRoot:
    """
    A root under which the exchange lists options of a market.

    Attributes:
        root: asked for as ``<root>.OPT``.
        since: first day on which it had options; None where that is not known or lies before the vendor's history.
    """

    root: str
    since: dt.date | None = None

    def exists_by(self, day: dt.date) -> bool:
        """Whether it may have had options on *day* or earlier."""
        return self.since is None or self.since <= day


@dataclass(frozen=True)
class CashReport:
    """
    The report of a market's cash price.

    Attributes:
        report: the USDA's name of it; None where there is none here.
        reason: why there is none.
    """

    report: str | None = None
    reason: str = "none is configured"


@dataclass(frozen=True)
class Market:
    """
    One futures market.

    Attributes:
        symbol: the root, also the folder ``market=…``.
        contract_multiplier: dollars per price unit and contract (HE: 400, for cents per pound x 40,000 lb).
        tick: smallest price move, in price units.
        cftc_code: the CFTC contract market code: six characters of text, leading zeros kept.
        timezone: IANA zone of the exchange; equal to its calendar's, which is the one in use.
        dataset: Databento dataset that carries it.
        option_roots: roots under which its options are listed.
        cash: the report of its cash price.
        calendar: its exchange calendar: sessions, settlement time, quote cut.
        below_zero: whether the exchange lets it settle below 0, and lists options with strikes there.
    """

    symbol: str
    name: str
    exchange: str
    timezone: str
    contract_multiplier: float
    tick: float
    price_unit: str
    cftc_code: str
    dataset: str
    option_roots: tuple[OptionRoot, ...] = ()
    cash: CashReport = field(default=CashReport())
    calendar: Calendar = field(default=DEFAULT_CALENDAR)
    below_zero: bool = False


def calendar_of(symbol: str) -> Calendar:
    """Exchange calendar of a shipped market; of any other symbol the default one."""
    return _CALENDARS.get(symbol, DEFAULT_CALENDAR)
