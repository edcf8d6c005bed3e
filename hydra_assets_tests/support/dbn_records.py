"""DBN answers written by hand: any record, in any version of the format."""

import datetime as dt

import databento_dbn as dbn
from databento.common.dbnstore import DBNStore

from hydra_assets_tests.conftest import at

UNDEF_TIME = 2**64 - 1


def never(_day: dt.date) -> bool:
    return False


def ns(text: str) -> int:
    """Nanoseconds since 1970 of a UTC instant."""
    return int(at(text).timestamp()) * 10**9


def answer(schema: str, *messages, version: int = 3) -> DBNStore:
    metadata = dbn.Metadata(
        dataset="GLBX.MDP3", start=0, end=2**62, stype_in=dbn.SType.PARENT, stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.from_str(schema), symbols=["HE.FUT"], not_found=[], partial=[], mappings=[], version=version,
    )  # fmt: skip
    return DBNStore.from_bytes(metadata.encode() + b"".join(bytes(message) for message in messages))


def future(number: int, symbol: str, expiration: str | None, *, on: str, **more) -> dbn.InstrumentDefMsg:
    """Definition of an outright, received *on* an instant."""
    fields = {
        "min_price_increment": 25_000_000, "expiration": UNDEF_TIME if expiration is None else ns(expiration), "ts_recv": ns(on),
        "security_type": "FUT", "instrument_class": dbn.InstrumentClass.FUTURE,
    } | more  # fmt: skip
    return dbn.InstrumentDefMsg(
        publisher_id=1, instrument_id=number, ts_event=0, display_factor=10**7, raw_symbol=symbol, asset="HE",
        security_update_action=dbn.SecurityUpdateAction.ADD, **fields,
    )  # fmt: skip


def option(
    number: int, symbol: str, expiration: str, *, on: str, strike: float = 82.0, underlying: tuple[str, int] = ("HEZ5", 101), **more
):
    """Definition of a call, received *on* an instant."""
    fields = {"strike_price": round(strike * 1e9), "underlying": underlying[0], "underlying_id": underlying[1]} | more
    return future(
        number, symbol, expiration, on=on, security_type="OOF", instrument_class=dbn.InstrumentClass.CALL, **fields
    )  # fmt: skip


def statistic(number: int, kind: str, value: float | None, *, of: str | None, on: str, flags: int = 255, deleted: bool = False):
    """One statistic *of* a day, received *on* an instant."""
    settled = kind == "settlement"
    number_of = {
        "settlement": dbn.StatType.SETTLEMENT_PRICE,
        "open_interest": dbn.StatType.OPEN_INTEREST,
        "volume": dbn.StatType.CLEARED_VOLUME,
    }
    return dbn.StatMsg(
        publisher_id=1, instrument_id=number, ts_event=ns(on), ts_recv=ns(on), ts_ref=UNDEF_TIME if of is None else ns(of),
        price=round(value * 1e9) if settled and value is not None else dbn.UNDEF_PRICE,
        quantity=dbn.UNDEF_STAT_QUANTITY if settled or value is None else int(value), stat_type=number_of[kind],
        update_action=dbn.StatUpdateAction.DELETE if deleted else dbn.StatUpdateAction.NEW, stat_flags=flags,
    )  # fmt: skip
