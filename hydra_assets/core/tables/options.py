"""Options: definitions, quotes and statistics of the exchange, and the chain and smiles made of them."""

from dataclasses import replace

from hydra_assets.core.instants import INSTANT
from hydra_assets.core.tables.futures import (
    EXPIRATION,
    INSTRUMENT,
    INSTRUMENT_ID,
    IS_FINAL,
    MULTIPLIER,
    PRICE,
    STAT,
    STAT_VALUE,
    TICK,
)
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

UNDERLYING = Column("underlying", TEXT, "The vendor's symbol of the futures contract that the option is on.", nullable=False)
UNDERLYING_ID = Column(
    "underlying_id", INTEGER, "The exchange's number of the underlying contract on its day.", "identifier", nullable=False
)
_CONTRACT = (
    UNDERLYING,
    UNDERLYING_ID,
    Column("right", TEXT, "C, a call, or P, a put.", nullable=False),
    Column("strike", FLOAT, "Strike.", PRICE, nullable=False),
    EXPIRATION,
)
_BID = Column("bid", FLOAT, "Best bid; null where there was none.", PRICE)
_ASK = Column("ask", FLOAT, "Best offer; null where there was none.", PRICE)
_QUOTED_AT = Column("quoted_at", INSTANT, "UTC instant of the quote that stood at the cut.")
_FORWARD = Column(
    "forward", FLOAT, "Settlement of the option's own underlying contract, which can be 0 or less; null where it was taken back.", PRICE
)
FORWARD_AT_LIMIT = Column(
    "forward_at_limit",
    TEXT,
    "Whether the forward settled at its daily price limit: up, down, none, or unknown. What rests on one that did is degraded; null in"
    " rows made before limits were looked at.",
)
_TAU = Column("tau", FLOAT, "Time from the quotes' cut to the minute of expiration, ACT/365.", "years", nullable=False)

OPTION_DEFINITIONS = Table(
    name="option_definitions",
    source="databento",
    off_session_rows="any_day",
    needs_options=True,
    key=("instrument_id",),
    stamps="vendor",
    group="raw",
    description="Options listed on a day, as the exchange defines them: strike, right, expiration and the future they are on;"
    " instrument ids are good for a day, and raw symbols are never taken apart.",
    columns=(INSTRUMENT, INSTRUMENT_ID, *_CONTRACT, AS_OF, AVAILABLE_AT, STAMPED_AT, TICK, MULTIPLIER, QUALITY, SYNTHETIC),
)

OPTION_QUOTES = Table(
    name="option_quotes",
    source="databento",
    needs_options=True,
    definitions="option_definitions",
    key=("instrument_id",),
    stamps="ours",
    group="raw",
    description="The last best bid and ask of each option at or before the day's cut (the market's own: livestock 13:00 Chicago), with the"
    " quote's own time; known at the cut, for only then is it known to be the last. A side without an order is null.",
    columns=(
        INSTRUMENT,
        INSTRUMENT_ID,
        AS_OF,
        AVAILABLE_AT,
        _BID,
        _ASK,
        Column("bid_size", INTEGER, "Contracts at the best bid.", "contracts"),
        Column("ask_size", INTEGER, "Contracts at the best offer.", "contracts"),
        replace(_QUOTED_AT, nullable=False),
        QUALITY,
        SYNTHETIC,
    ),
)

OPTION_STATISTICS = Table(
    name="option_statistics",
    source="databento",
    needs_options=True,
    definitions="option_definitions",
    key=("instrument_id", "stat"),
    stamps="vendor",
    group="raw",
    description="Settlements, cleared volume and open interest of options by trading date, every print at its own instant: the open"
    " interest of a day is out on the morning of the next; a deletion is a row without a value.",
    columns=(INSTRUMENT, INSTRUMENT_ID, STAT, AS_OF, AVAILABLE_AT, STAMPED_AT, STAT_VALUE, IS_FINAL, QUALITY, SYNTHETIC),
)

OPTION_CHAIN = Table(
    name="option_chain",
    needs_options=True,
    key=("instrument_id",),
    stamps="derived",
    group="derived",
    description="One row per option and day: quote, forward (final settlement of its own underlying contract), time to expiry,"
    " open interest of the session before, liquidity by the rule, and the volatility of the quote made European.",
    columns=(
        INSTRUMENT,
        INSTRUMENT_ID,
        *_CONTRACT,
        AS_OF,
        AVAILABLE_AT,
        _BID,
        _ASK,
        Column("mid", FLOAT, "Middle of bid and ask; null where one side is missing.", PRICE),
        Column("spread", FLOAT, "Ask minus bid.", PRICE),
        _QUOTED_AT,
        _FORWARD,
        FORWARD_AT_LIMIT,
        _TAU,
        Column("settlement", FLOAT, "Final settlement of the option itself.", PRICE),
        Column("open_interest", FLOAT, "Open interest of the session before.", "contracts"),
        Column(
            "liquid",
            TRUTH,
            "Whether the quote counts, by the thresholds of the settings: open interest, and a spread narrow enough.",
            nullable=False,
        ),
        Column("parity_gap", FLOAT, "(C - P) e^(rT) - (F - K) of the strike, both rights' mids: how far put-call parity is off.", PRICE),
        Column("vol", FLOAT, "Black-76 volatility of an out-of-the-money mid made European.", "decimals a year"),
        Column("vol_error", FLOAT, "Standard error of vol: half the half-spread, in volatility.", "decimals a year"),
        Column("vol_status", TEXT, "ok, or why there is no volatility.", nullable=False),
        TICK,
        MULTIPLIER,
        Column(
            "rate",
            FLOAT,
            "Continuously compounded yearly rate of the Treasury curve of the session before; without one, that of the settings.",
            "decimals a year",
            nullable=False,
        ),
        QUALITY,
        SYNTHETIC,
    ),
)

# What smiles and features read; rows of older homes have no more.
CHAIN_COLUMNS = tuple(name for name in OPTION_CHAIN.schema.names if name != FORWARD_AT_LIMIT.name)

# The slice's three parameters, each with its error, and their covariances.
_PARAMETERS = {
    "theta": ("At-the-money total variance of the slice.", "variance"),
    "rho": ("Skew parameter of the slice, between -1 and 1.", "correlation"),
    "phi": ("Curvature parameter of the slice.", "1"),
}
_FITTED = [
    *(Column(name, FLOAT, description, unit) for name, (description, unit) in _PARAMETERS.items()),
    *(Column(f"{name}_error", FLOAT, f"Standard error of {name}.", unit) for name, (_, unit) in _PARAMETERS.items()),
    *(
        Column(f"cov_{a}_{b}", FLOAT, f"Covariance of the fit's {a} and {b}.", "product of the parameters' units")
        for a, b in (("theta", "rho"), ("theta", "phi"), ("rho", "phi"))
    ),
    *(
        Column(f"svi_{name}", FLOAT, f"Parameter {name} of the slice as raw SVI.", unit)
        for name, unit in (
            ("a", "variance"),
            ("b", "variance per log-moneyness"),
            ("rho", "correlation"),
            ("m", "log-moneyness"),
            ("sigma", "log-moneyness"),
        )
    ),
]

OPTION_SMILES = Table(
    name="option_smiles",
    needs_options=True,
    key=("expiration", "underlying"),
    stamps="derived",
    group="derived",
    description="The fitted smile of each expiration and day: parameters with standard errors and covariance, what it was fitted to,"
    " tail mass outside the quoted strikes, and how good it is; every option feature can be traced to its fit here.",
    columns=(
        EXPIRATION,
        UNDERLYING,
        UNDERLYING_ID,
        AS_OF,
        AVAILABLE_AT,
        _FORWARD,
        _TAU,
        Column("model", TEXT, "The model fitted: ssvi (three parameters), svi (five), or none.", nullable=False),
        Column(
            "status",
            TEXT,
            "full, or why the smile cannot be read as a whole: thin, one_sided, parity, butterfly, misfit, no_quotes, no_forward,"
            " nonpositive_forward.",
            nullable=False,
        ),
        *_FITTED,
        Column("n_liquid", INTEGER, "Liquid strikes of the slice, each by its out-of-the-money side.", "strikes", nullable=False),
        Column("n_below", INTEGER, "Of them, those below the forward.", "strikes", nullable=False),
        Column("strike_lo", FLOAT, "Lowest liquid strike.", PRICE),
        Column("strike_hi", FLOAT, "Highest liquid strike.", PRICE),
        Column("tail_lo", FLOAT, "Share of the density below the lowest liquid strike.", "probability"),
        Column("tail_hi", FLOAT, "Share of the density above the highest liquid strike.", "probability"),
        Column("g_min", FLOAT, "Least value of the butterfly function; not below 0.", "1"),
        Column("chi2_dof", FLOAT, "Squared misfit in units of the quotes' errors, per degree of freedom.", "1"),
        Column("parity_forward", FLOAT, "Forward by put-call parity; null where no strike near the money has both rights quoted.", PRICE),
        Column("parity_error", FLOAT, "Standard error of parity_forward.", PRICE),
        Column("mean_ratio", FLOAT, "Mean of the implied density over the forward; 1 by construction.", "ratio"),
        QUALITY,
    ),
)
