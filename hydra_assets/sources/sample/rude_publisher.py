"""A polite publisher's records made rude when they are asked for; what is cached stays polite."""

import datetime as dt
import itertools
from collections.abc import Mapping

import numpy as np

from hydra_assets.sources.sample import rude_definitions, rude_prices, rude_statistics
from hydra_assets.sources.sample.monthly import Published, Symbology, midnight
from hydra_assets.sources.sample.rude import Rudeness
from hydra_assets.sources.sample.rude_product import Product
from hydra_assets.sources.sample.rude_seeds import DAY_NS, day_numbers, number_of
from hydra_assets.sources.sample.rude_statistics import SETTLEMENT, Transformation

# In the order in which they are applied: what changes a record before what changes its clock, what hides its day last.
TRANSFORMATIONS: Mapping[str, tuple[tuple[str, Transformation], ...]] = {
    "definition": (
        ("corrected_expiration", rude_definitions.corrected_expiration),
        ("two_digit_years", rude_definitions.two_digit_years),
        ("no_expiration", rude_definitions.no_expiration),
        ("sundays", rude_definitions.sundays),
        ("double_definitions", rude_definitions.double_definitions),
    ),
    "ohlcv-1d": (("long_hours", rude_prices.long_hours),),
    "bbo-1m": (("grain_clock", rude_prices.grain_clock),),
    "statistics": (
        ("never_final", rude_statistics.never_final),
        ("early_final", rude_statistics.early_final),
        ("after_expiry", rude_statistics.after_expiry),
        ("grain_clock", rude_statistics.grain_clock),
        ("unflagged", rude_statistics.unflagged),
        ("friday", rude_statistics.friday),
        ("undefined_quantity", rude_statistics.undefined_quantity),
        ("undated", rude_statistics.undated),
    ),
}
MARGIN = 9 * DAY_NS  # by which a record can be moved
LATER_ROOTS_SINCE = dt.date(2021, 6, 1)
_LATER_IDS = 1_000_000_000


class RudePublisher:
    """
    Records of *publisher* with the behaviours of *rude*.

    Args:
        product: what the records are of.
    """

    def __init__(self, publisher: Published, product: Product, rude: Rudeness) -> None:
        self._publisher, self._product, self._rude = publisher, product, rude

    @property
    def schemas(self) -> tuple[str, ...]:
        """The schemas that have records."""
        return self._publisher.schemas

    def records(self, schema: str, low: int, high: int) -> np.ndarray:
        """Records with low <= index time < high, in order of that time."""
        chosen = [change for name, change in TRANSFORMATIONS.get(schema, ()) if getattr(self._rude, name)]
        reused = self._rude.reused_ids and self._product.chain is not None
        if not chosen and not reused:
            return self._publisher.records(schema, low, high)
        rows = self._publisher.records(schema, low - MARGIN, high + MARGIN)
        for change in chosen:
            if reused and change is rude_statistics.undated:  # a figure has the id of the session that it describes, told or not
                rows, reused = reused_ids(rows, self._product), False
            rows = change(rows, self._product)
        at = rows["ts_recv" if "ts_recv" in (rows.dtype.names or ()) else "ts_event"]
        rows = rows[(at >= low) & (at < high)]
        return reused_ids(rows, self._product) if reused else rows

    def symbology(self, first: dt.date, last: dt.date) -> Symbology:
        """Raw symbols with their ids, first and last day, in the vendor's spelling of the time."""
        symbology = self._publisher.symbology(first, last)
        if self._rude.reused_ids and self._product.chain is not None:
            given = {own: (taken, since) for own, taken, since, _ in _handed_on(self._product, first, last)}
            symbology = [part for history in symbology for part in _parted(history, given)]
        if not self._rude.two_digit_years or last < rude_definitions.TWO_DIGITS_SINCE:
            return symbology
        since, contracts = rude_definitions.TWO_DIGITS_SINCE, self._product.curve.contracts
        spelt = {(contract.symbol[-2:], contract.last_day): contract for contract in contracts if contract.number % 2 == 0}
        named: Symbology = []
        for symbol, number, begins, ends in symbology:
            contract = spelt.get((symbol.partition(" ")[0][-2:], ends))
            if contract is None or "-" in symbol or ends < since:
                named.append((symbol, number, begins, ends))
                continue
            if begins < since:
                named.append((symbol, number, begins, since - dt.timedelta(1)))
            named.append((rude_definitions.in_two_digits(symbol, contract), number, max(begins, since), ends))
        return named


class LaterRoot:
    """A root that began on `LATER_ROOTS_SINCE`: the options of *publisher* under ids of their own."""

    def __init__(self, publisher: Published) -> None:
        self._publisher = publisher

    @property
    def schemas(self) -> tuple[str, ...]:
        """The schemas that have records."""
        return self._publisher.schemas

    def records(self, schema: str, low: int, high: int) -> np.ndarray:
        """Records with low <= index time < high, in order of that time; none before the root's first day."""
        rows = self._publisher.records(schema, max(low, midnight(LATER_ROOTS_SINCE)), high).copy()
        if "ts_ref" in (rows.dtype.names or ()):  # nor of a session before it
            rows = rows[day_numbers(rows["ts_ref"]) >= number_of(LATER_ROOTS_SINCE)]
        rows["instrument_id"] += _LATER_IDS
        return rows

    def symbology(self, first: dt.date, last: dt.date) -> Symbology:
        """Raw symbols with their ids, first and last day."""
        symbology = self._publisher.symbology(max(first, LATER_ROOTS_SINCE), last)
        return [(symbol, number + _LATER_IDS, max(begins, LATER_ROOTS_SINCE), ends) for symbol, number, begins, ends in symbology]


def made_rude(publisher: Published, product: Product, rude: Rudeness) -> Published:
    """*publisher* with the behaviours of *rude*; itself where no behaviour touches its records."""
    touched = {name for changes in TRANSFORMATIONS.values() for name, _ in changes} | {"reused_ids"}
    return RudePublisher(publisher, product, rude) if touched & set(rude.on) else publisher


def reused_ids(rows: np.ndarray, product: Product) -> np.ndarray:
    """Give one option of the next future the id of an expired one, from the session after the expiration on."""
    if not len(rows):
        return rows
    rows, received = rows.copy(), product.received(rows)
    day = received
    if "ts_ref" in (rows.dtype.names or ()):  # a record about an earlier session carries the id of that session
        ref = day_numbers(rows["ts_ref"])
        dated = (rows["stat_type"] >= SETTLEMENT) & (ref <= received.max())
        day = np.where(dated, ref, received)
    own = rows["instrument_id"].copy()
    first, last = (dt.date(1970, 1, 1) + dt.timedelta(int(number)) for number in (day.min(), day.max()))
    for number, taken, since, until in _handed_on(product, first, last):
        chosen = (own == number) & (day >= number_of(since)) & (day <= number_of(until))
        rows["instrument_id"][chosen] = taken
    return rows


def _handed_on(product: Product, first: dt.date, last: dt.date) -> list[tuple[int, int, dt.date, dt.date]]:
    """An option's own id, the expired one that it takes over, and the first and last day under it."""
    chain, contracts = product.chain, product.curve.contracts
    assert chain is not None  # noqa: S101  asked of options only
    handed = []
    for contract, after in itertools.pairwise(contracts):
        since = product.curve.calendar.next_session(contract.last_day)
        if since > last or after.last_day < first or chain.begins(after) > since:
            continue
        old, new = chain.series(contract), chain.series(after)
        put = int(old.numbers[int(old.interest[-1, :, 1].argmax()), 1])
        call = int(new.numbers[int(new.listed[0].argmax()), 0])
        handed.append((call, put, since, after.last_day))
    return handed


def _parted(history: tuple[str, int, dt.date, dt.date], given: Mapping[int, tuple[int, dt.date]]) -> Symbology:
    symbol, number, begins, ends = history
    taken = given.get(number)
    if taken is None or ends < taken[1]:
        return [history]
    before: Symbology = [(symbol, number, begins, taken[1] - dt.timedelta(1))] if begins < taken[1] else []
    return [*before, (symbol, taken[0], max(begins, taken[1]), ends)]
