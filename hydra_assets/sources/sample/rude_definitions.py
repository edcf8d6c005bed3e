"""Definitions as the real vendor publishes them: pure functions from polite records, in order of receipt, to rude ones."""

import datetime as dt

import databento_dbn as dbn
import numpy as np

from hydra_assets.sources.sample.curve import Contract
from hydra_assets.sources.sample.monthly import NS_PER_S, midnight
from hydra_assets.sources.sample.rude_product import Product
from hydra_assets.sources.sample.rude_seeds import date_of, happens, number_of
from hydra_assets.sources.sample.rude_statistics import in_order

TWO_DIGITS_SINCE = dt.date(2024, 6, 3)
ALL_CORRECTED, TWO_CORRECTED = dt.date(2021, 11, 8), dt.date(2025, 10, 15)
HOUR, MINUTES, DAY = 3600, 74 * 60, 86_400
_NAMED = (b"F", b"C", b"P")


def corrected_expiration(rows: np.ndarray, product: Product) -> np.ndarray:
    """Expirations that were wrong until the day on which the exchange corrected them."""
    rows, received = rows.copy(), product.received(rows)
    owner = product.owners(rows, received)
    for corrected, contract, seconds in _corrections(product):
        wrong = (owner == contract.number) & (received < number_of(corrected)) & (rows["expiration"] != dbn.UNDEF_TIMESTAMP)
        rows["expiration"][wrong] += np.uint64(seconds * NS_PER_S)
    return rows


def _corrections(product: Product) -> list[tuple[dt.date, Contract, int]]:
    """Day of the correction, contract, and seconds by which its expiration was too late before."""
    an_hour = [(ALL_CORRECTED, contract, HOUR) for contract in product.listed_on(ALL_CORRECTED)]
    third, fourth = product.listed_on(TWO_CORRECTED)[2:4]
    return [*an_hour, (TWO_CORRECTED, third, MINUTES), (TWO_CORRECTED, fourth, DAY)]


def sundays(rows: np.ndarray, product: Product) -> np.ndarray:
    """The next session's definitions on the Sunday before it too."""
    received, parts = product.received(rows), [rows]
    for number in np.unique(received).tolist():
        day = date_of(number)
        sunday = day - dt.timedelta((day.weekday() + 1) % 7)
        if product.curve.calendar.session_days(sunday, day)[:1] != [day]:
            continue  # another session lies between
        copies = rows[(received == number) & np.isin(rows["instrument_class"], _NAMED)].copy()
        back = np.uint64(midnight(day) - midnight(sunday))
        copies["ts_recv"] -= back
        copies["ts_event"] -= back
        parts.append(copies)
    return in_order(np.concatenate(parts))


def two_digit_years(rows: np.ndarray, product: Product) -> np.ndarray:
    """Two digits of the year in the symbols of every second contract."""
    rows, received = rows.copy(), product.received(rows)
    owner = product.owners(rows, received)
    spelt = (owner >= 0) & (owner % 2 == 0) & (received >= number_of(TWO_DIGITS_SINCE)) & np.isin(rows["instrument_class"], _NAMED)
    for number in np.unique(owner[spelt]).tolist():
        contract, chosen = product.curve.contracts[number], spelt & (owner == number)
        names, places = np.unique(rows["raw_symbol"][chosen], return_inverse=True)
        longer = np.array([in_two_digits(name.decode(), contract).encode() for name in names.tolist()], dtype=names.dtype)
        rows["raw_symbol"][chosen] = longer[places]
        if product.chain is not None:
            rows["underlying"][chosen] = in_two_digits(contract.symbol, contract).encode()
    return rows


def in_two_digits(symbol: str, contract: Contract) -> str:
    """``HEZ25`` for ``HEZ5``, ``HEZ25 C8600`` for ``HEZ5 C8600``."""
    name, space, rest = symbol.partition(" ")
    return f"{name[:-1]}{contract.month:%y}{space}{rest}"


def double_definitions(rows: np.ndarray, product: Product) -> np.ndarray:
    """A message before one definition in 300, of the same instant, without limits."""
    chosen = happens(1 / 300, "double", rows["instrument_id"], product.received(rows)) & np.isin(rows["instrument_class"], _NAMED)
    first = rows[chosen].copy()
    first["low_limit_price"] = first["high_limit_price"] = dbn.UNDEF_PRICE
    return in_order(np.concatenate([first, rows]))


def no_expiration(rows: np.ndarray, product: Product) -> np.ndarray:
    """The last outright of the first session of March without an expiration."""
    rows, received = rows.copy(), product.received(rows)
    for year in sorted({date_of(number).year for number in np.unique(received).tolist()}):
        day = product.curve.calendar.session_days(dt.date(year, 3, 1), dt.date(year, 3, 10))[0]
        places = np.flatnonzero((received == number_of(day)) & np.isin(rows["instrument_class"], _NAMED))
        rows["expiration"][places[-1:]] = dbn.UNDEF_TIMESTAMP
    return rows
