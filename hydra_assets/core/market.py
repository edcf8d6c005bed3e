"""A market: what one contract is, where it trades, and under which code the CFTC reports it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hydra_assets.core.calendar import DEFAULT_CALENDAR, GRAINS, LIVESTOCK, Calendar

# Facts of the shipped markets, for pure functions that are given a symbol and no settings; a test holds them equal to markets.yaml.
# Dollars per price unit and contract:
CONTRACT_MULTIPLIERS: Mapping[str, float] = {"GF": 500.0, "HE": 400.0, "LE": 400.0, "ZC": 50.0, "ZO": 50.0, "ZR": 2000.0}
_CALENDARS: Mapping[str, Calendar] = {"GF": LIVESTOCK, "HE": LIVESTOCK, "LE": LIVESTOCK, "ZC": GRAINS, "ZO": GRAINS, "ZR": GRAINS}


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
        option_roots: root symbols under which its options are listed, asked for as ``<root>.OPT``.
        calendar: its exchange calendar: sessions, settlement time, quote cut.
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
    option_roots: tuple[str, ...] = ()
    calendar: Calendar = field(default=DEFAULT_CALENDAR)


def calendar_of(symbol: str) -> Calendar:
    """Exchange calendar of a shipped market; of any other symbol the default one."""
    return _CALENDARS.get(symbol, DEFAULT_CALENDAR)
