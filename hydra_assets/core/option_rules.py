"""Rules for accepting and reading option quotes, for pure functions that are given no settings file."""

import datetime as dt
from dataclasses import dataclass

from hydra_assets.core.calendar import Calendar, DatedTime
from hydra_assets.errors import ConfigError


@dataclass(frozen=True)
class OptionRules:
    """
    The desk's rules; the defaults are the shipped settings (a test holds them equal).

    Attributes:
        cut: ``HH:MM`` in the exchange's zone, up to which a day's quotes count, in place of the calendar's own; empty: the calendar's.
        min_oi: contracts of open interest of the session before, below which an option is not liquid.
        max_spread_pct: widest market of a liquid option as a share of its mid; the wider of the two limits holds.
        max_spread_ticks: widest market of a liquid option in ticks.
        min_liquid_strikes: distinct strikes, each by its out-of-the-money side, that a full smile needs.
        rate: continuously compounded yearly rate at which option prices of days without a Treasury curve are discounted.
        five_parameter_svi: fit slices of 15 strikes and more with raw SVI too, and keep that where it is clearly better.
        dealer_sign_call: sign of the dealers' position in calls, for the net gamma exposure; the usual guess is +1.
        dealer_sign_put: the same in puts; the usual guess is -1.
        negotiated_formula: count the purchase type Negotiated Formula in the cash index of hogs, where it has a price.
    """

    cut: str = ""
    min_oi: int = 50
    max_spread_pct: float = 0.20
    max_spread_ticks: int = 2
    min_liquid_strikes: int = 8
    rate: float = 0.045
    dealer_sign_call: int = 1
    dealer_sign_put: int = -1
    five_parameter_svi: bool = False
    negotiated_formula: bool = False

    def __post_init__(self) -> None:
        for name in ("dealer_sign_call", "dealer_sign_put"):
            if getattr(self, name) not in (1, -1):
                raise ConfigError(f"options.{name} is {getattr(self, name)}; it must be 1 (dealers hold them) or -1 (dealers sold them)")
        if self.min_liquid_strikes < 1:
            raise ConfigError(f"thresholds.min_liquid_strikes is {self.min_liquid_strikes}; at least 1 is needed")
        _ = self._own_cut

    def cut_on(self, calendar: Calendar, day: dt.date) -> dt.datetime:
        """UTC instant up to which option quotes of *day* count: `cut`, or the calendar's own."""
        return calendar.cut(day) if self._own_cut is None else calendar.at(day, self._own_cut)

    def cut_clock(self, calendar: Calendar) -> DatedTime:
        """Wall-clock time in the exchange's zone up to which quotes count: `cut`, or the calendar's own."""
        return calendar.quote_cut if self._own_cut is None else DatedTime(((dt.date.min, self._own_cut),))

    @property
    def _own_cut(self) -> dt.time | None:
        try:
            return dt.time.fromisoformat(self.cut) if self.cut else None
        except ValueError as error:
            raise ConfigError(f'options.cut {self.cut!r} is not a time of day; write HH:MM in quotes, like "13:00"') from error
