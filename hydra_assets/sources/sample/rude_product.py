"""One parent symbol's contracts, found from the instrument ids of its records."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from hydra_assets.sources.sample.curve import FIRST_DAY, Contract, Curve
from hydra_assets.sources.sample.rude_seeds import day_numbers, number_of
from hydra_assets.sources.sample.smile import OPTION_IDS, STRIKES_PER_FUTURE, Chain

_AFTERWARDS = 10  # days in which figures of an expired contract still arrive


@dataclass(frozen=True)
class Product:
    """
    A parent symbol such as ``HE.FUT`` or ``HE.OPT``.

    Attributes:
        chain: the options, where it is a product of options.
    """

    curve: Curve
    chain: Chain | None = None

    @property
    def is_grain(self) -> bool:
        """Whether it is listed at the CBOT, whose hours differ."""
        return self.curve.market.exchange == "CBOT"

    @property
    def is_energy(self) -> bool:
        """Whether it is listed at NYMEX, whose sessions begin at 18:00 New York of the day before, in every year."""
        return self.curve.market.exchange == "NYMEX"

    def owners(self, records: np.ndarray, days: np.ndarray) -> np.ndarray:
        """
        Place in `Curve.contracts` of the future that each record is of, or whose option it is; -1 for spreads and combinations.

        Args:
            days: since 1970, on which the record was received.
        """
        numbers = records["instrument_id"].astype(np.int64)
        if self.chain is not None:
            numbers = (numbers - OPTION_IDS) // (2 * STRIKES_PER_FUTURE)
        found = np.full(len(records), -1)
        if not len(records):
            return found
        first, last = int(days.min()), int(days.max())
        for contract in self.curve.contracts:
            begins, ends = number_of(contract.listed) - _AFTERWARDS, number_of(contract.last_day) + _AFTERWARDS
            if begins <= last and ends >= first:
                found[(numbers == contract.instrument_id) & (days >= begins) & (days <= ends)] = contract.number
        return found

    def received(self, records: np.ndarray) -> np.ndarray:
        """Day since 1970 of each record's index time."""
        return day_numbers(records["ts_recv" if "ts_recv" in (records.dtype.names or ()) else "ts_event"])

    def first_listed(self, year: int) -> Contract | None:
        """The first contract to be listed in *year*, after the history's own first day."""
        listed = [contract for contract in self.curve.contracts if contract.listed.year == year and contract.listed > FIRST_DAY]
        return min(listed, key=lambda contract: contract.listed, default=None)

    def first_to_expire(self, year: int) -> Contract | None:
        """The first contract whose last day lies in *year*."""
        return next((contract for contract in self.curve.contracts if contract.last_day.year == year), None)

    def listed_on(self, day: dt.date) -> list[Contract]:
        """Contracts that trade on *day*, nearest first."""
        return self.curve.listed_on(day)
