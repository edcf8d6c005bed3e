"""Futures: definitions, daily bars and statistics of the exchange, and the continuous front series made of them."""

from hydra_assets.core.instants import INSTANT
from hydra_assets.core.tables.table import (
    AS_OF,
    AVAILABLE_AT,
    FLOAT,
    INTEGER,
    QUALITY,
    STAMPED_AT,
    SYNTHETIC,
    TEXT,
    TRUTH,
    Column,
    Table,
)

PRICE = "price units"

INSTRUMENT = Column(
    "instrument",
    TEXT,
    "The vendor's raw symbol, such as HEZ5; it comes back every ten years, so take it together with the expiration.",
    nullable=False,
)
INSTRUMENT_ID = Column("instrument_id", INTEGER, "The exchange's number of the instrument on its day.", "identifier", nullable=False)
EXPIRATION = Column("expiration", INSTANT, "UTC instant at which trading in the instrument ends.", nullable=False)
TICK = Column("tick", FLOAT, "Smallest price step.", PRICE, nullable=False)
MULTIPLIER = Column("multiplier", FLOAT, "Value of one price unit of a contract.", "dollars per price unit and contract", nullable=False)

STATISTICS = ("settlement", "cleared_volume", "open_interest")
STAT = Column("stat", TEXT, "The statistic of the row: settlement, cleared_volume or open_interest.", nullable=False)
STAT_VALUE = Column(
    "value", FLOAT, "The figure itself; null for a deletion, or where quality says why there is none.", "price units or contracts, by stat"
)
IS_FINAL = Column("is_final", TRUTH, "Of settlements: final (true) or preliminary (false); null where the exchange does not say.")

FUTURES_DEFINITIONS = Table(
    name="futures_definitions",
    source="databento",
    off_session_rows="any_day",
    key=("instrument_id",),
    stamps="vendor",
    group="raw",
    description="Outright futures listed on a day, as the exchange defines them; spreads and options are left out.",
    columns=(
        INSTRUMENT,
        INSTRUMENT_ID,
        EXPIRATION,
        Column("instrument_class", TEXT, "F, an outright future; spreads and options are left out.", nullable=False),
        AS_OF,
        AVAILABLE_AT,
        STAMPED_AT,
        TICK,
        MULTIPLIER,
        Column("low_limit", FLOAT, "Lowest price that the exchange allows on the day; null where it states none.", PRICE),
        Column("high_limit", FLOAT, "Highest price that the exchange allows on the day; null where it states none.", PRICE),
        QUALITY,
        SYNTHETIC,
    ),
)

FUTURES_BARS = Table(
    name="futures_bars",
    source="databento",
    off_session_rows="eves",
    definitions="futures_definitions",
    key=("instrument", "expiration"),
    stamps="ours",
    group="raw",
    description="Daily bars of outright futures by UTC date, price units of the market; the close is the last trade, not the settlement."
    " A bar is known at its start plus one day.",
    columns=(
        INSTRUMENT,
        INSTRUMENT_ID,
        EXPIRATION,
        AS_OF,
        AVAILABLE_AT,
        Column("open", FLOAT, "First trade of the UTC day.", PRICE),
        Column("high", FLOAT, "Highest trade of the UTC day.", PRICE),
        Column("low", FLOAT, "Lowest trade of the UTC day.", PRICE),
        Column("close", FLOAT, "Last trade of the UTC day; it is not the settlement.", PRICE),
        Column("volume", INTEGER, "Contracts traded in the UTC day.", "contracts"),
        QUALITY,
        SYNTHETIC,
    ),
)

FUTURES_STATISTICS = Table(
    name="futures_statistics",
    source="databento",
    definitions="futures_definitions",
    key=("instrument", "expiration", "stat"),
    stamps="vendor",
    group="raw",
    description="Settlements (preliminary and final), cleared volume and open interest by trading date, every print at its own instant;"
    " a deletion is a row without a value.",
    columns=(
        INSTRUMENT,
        INSTRUMENT_ID,
        EXPIRATION,
        STAT,
        AS_OF,
        AVAILABLE_AT,
        STAMPED_AT,
        STAT_VALUE,
        IS_FINAL,
        QUALITY,
        SYNTHETIC,
    ),
)

FUTURES_LIMITS = Table(
    name="futures_limits",
    key=("instrument", "expiration"),
    stamps="derived",
    group="derived",
    description="Each final settlement beside the daily price limits that the exchange defined for its day, and whether it stands at one:"
    " such a price says how far trading was allowed. Returns, realised volatilities and what options make of it are degraded.",
    columns=(
        INSTRUMENT,
        INSTRUMENT_ID,
        EXPIRATION,
        AS_OF,
        AVAILABLE_AT,
        Column("settlement", FLOAT, "Final settlement; null where it was taken back.", PRICE),
        Column(
            "settlement_before", FLOAT, "Final settlement of the session before, by which the limits are judged; null without one.", PRICE
        ),
        Column(
            "low_limit", FLOAT, "Lowest price allowed on the day; null where it is not stated or absurd beside settlement_before.", PRICE
        ),
        Column(
            "high_limit", FLOAT, "Highest price allowed on the day; null where it is not stated or absurd beside settlement_before.", PRICE
        ),
        Column(
            "at_limit", TEXT, "up, down or none; unknown without sane limits, and where the settlement lies beyond them.", nullable=False
        ),
        QUALITY,
        SYNTHETIC,
    ),
)

FUTURES_CONTINUOUS = Table(
    name="futures_continuous",
    key=(),
    stamps="derived",
    group="derived",
    description="The front contract of each session by the roll rule, its final settlement, and what a roll into it changed;"
    " `hydra_assets.continuous` accumulates the adjustment at read, as known at the caller's instant.",
    columns=(
        AS_OF,
        AVAILABLE_AT,
        Column("contract", TEXT, "The front contract of the session by the roll rule."),
        Column("expiration", INSTANT, EXPIRATION.description),
        Column("settlement", FLOAT, "Final settlement.", PRICE),
        Column("roll_difference", FLOAT, "New contract minus old on a roll day; 0 where nothing rolled.", PRICE),
        Column("roll_ratio", FLOAT, "New contract over old on a roll day; 1 where nothing rolled.", "ratio"),
        QUALITY,
    ),
)
