"""Tables of the lake: their columns, keys and who stamps them. A row's shape is stated here and nowhere else."""

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from hydra_assets.core.instants import INSTANT
from hydra_assets.errors import SchemaError

Stamps = Literal["vendor", "ours", "derived"]
QUALITIES = ("normal", "partial", "degraded", "stale", "missing")  # from best to worst


@dataclass(frozen=True)
class Table:
    """
    One data type of the lake.

    Attributes:
        name: the folder ``data_type=…`` and the Dagster asset's key.
        key: columns that tell rows of one ``as_of`` apart.
        stamps: who decides ``available_at``: the ``vendor``'s own instant, ``ours`` (bar end, cut, release calendar), or a
            ``derived`` table's computation.
        schema: columns and types of a freshly captured table; more columns may be added later.
        group: ``raw`` (a vendor's rows), ``derived`` (computed from the lake) or ``features``.
        source: name of the feed that captures a raw table; empty for computed tables.
        cadence: how often a new ``as_of`` appears.
        calendar: what says which ``as_of`` days exist: the market's exchange sessions, or the COT release calendar.
        needs_options: whether the table is empty for a market without listed options.
        definitions: the table that names the instruments of this one's rows; None where the rows need none.
    """

    name: str
    key: tuple[str, ...]
    stamps: Stamps
    schema: pa.Schema
    group: Literal["raw", "derived", "features"]
    description: str
    source: str = ""
    cadence: Literal["daily", "weekly"] = "daily"
    calendar: Literal["sessions", "cot_releases"] = "sessions"
    needs_options: bool = False
    definitions: str | None = None

    def conform(self, table: pa.Table) -> pa.Table:
        """*table* with this data type's columns in order and of its types; raises SchemaError listing every difference."""
        missing = [name for name in self.schema.names if name not in table.column_names]
        extra = [name for name in table.column_names if name not in self.schema.names]
        if missing or extra:
            raise SchemaError(f"{self.name}: missing columns {missing}, unknown columns {extra}")
        try:
            return table.select(self.schema.names).cast(self.schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(f"{self.name}: {error}") from error


COT_GROUPS = ("prod", "swap", "mm", "other", "nonrept")
_SIDES = tuple(f"{group}_{side}" for group in COT_GROUPS for side in ("long", "short"))
_SPREADS = tuple(f"{group}_spread" for group in ("swap", "mm", "other"))
COT_POSITIONS = ("open_interest", *_SIDES, *_SPREADS)
COT_CONCENTRATION = tuple(f"{kind}_{top}_{side}" for kind in ("gross", "net") for top in ("top4", "top8") for side in ("long", "short"))
COT_TRADERS = (
    "traders_total",
    *(f"traders_{name}" for name in (*_SIDES, *_SPREADS) if not name.startswith("nonrept")),
)

_TIMES = [pa.field("as_of", INSTANT, nullable=False), pa.field("available_at", INSTANT, nullable=False)]

COT_DISAGGREGATED = Table(
    name="cot_disaggregated",
    source="cftc",
    cadence="weekly",
    calendar="cot_releases",
    key=("cftc_code",),
    stamps="ours",
    group="raw",
    description="CFTC disaggregated futures-only Commitments of Traders, one row per report and contract code.",
    schema=pa.schema(
        [
            pa.field("cftc_code", pa.string(), nullable=False),
            *_TIMES,
            *(pa.field(name, pa.int64()) for name in COT_POSITIONS),
            *(pa.field(name, pa.float64()) for name in COT_CONCENTRATION),  # percent of open interest, as the CFTC prints it
            *(pa.field(name, pa.int64()) for name in COT_TRADERS),
            pa.field("quality", pa.string(), nullable=False),
            pa.field("synthetic", pa.bool_(), nullable=False),
        ]
    ),
)

_STAMPED = pa.field("stamped_at", pa.timestamp("ns", tz="UTC"), nullable=False)  # the vendor's own instant, whole
_WORDS = [pa.field("quality", pa.string(), nullable=False), pa.field("synthetic", pa.bool_(), nullable=False)]
_CONTRACT = [
    pa.field("instrument", pa.string(), nullable=False),  # the vendor's raw symbol: HEZ5 comes back every ten years
    pa.field("instrument_id", pa.int64(), nullable=False),
    pa.field("expiration", INSTANT, nullable=False),
]

FUTURES_DEFINITIONS = Table(
    name="futures_definitions",
    source="databento",
    key=("instrument_id",),
    stamps="vendor",
    group="raw",
    description="Outright futures listed on a day, as the exchange defines them; spreads and options are left out.",
    schema=pa.schema(
        [
            *_CONTRACT,
            pa.field("instrument_class", pa.string(), nullable=False),
            *_TIMES,
            _STAMPED,
            pa.field("tick", pa.float64(), nullable=False),  # price units
            pa.field("multiplier", pa.float64(), nullable=False),  # dollars per price unit and contract
            pa.field("low_limit", pa.float64()),
            pa.field("high_limit", pa.float64()),
            *_WORDS,
        ]
    ),
)
FUTURES_BARS = Table(
    name="futures_bars",
    source="databento",
    definitions="futures_definitions",
    key=("instrument", "expiration"),
    stamps="ours",
    group="raw",
    description="Daily bars of outright futures by UTC date, price units of the market; the close is the last trade, not the settlement."
    " A bar is known at its start plus one day.",
    schema=pa.schema(
        [
            *_CONTRACT,
            *_TIMES,
            *(pa.field(name, pa.float64()) for name in ("open", "high", "low", "close")),
            pa.field("volume", pa.int64()),
            *_WORDS,
        ]
    ),
)
STATISTICS = ("settlement", "cleared_volume", "open_interest")
FUTURES_STATISTICS = Table(
    name="futures_statistics",
    source="databento",
    definitions="futures_definitions",
    key=("instrument", "expiration", "stat"),
    stamps="vendor",
    group="raw",
    description="Settlements (preliminary and final), cleared volume and open interest by trading date, every print at its own instant;"
    " a deletion is a row without a value.",
    schema=pa.schema(
        [
            *_CONTRACT,
            pa.field("stat", pa.string(), nullable=False),  # one of STATISTICS
            *_TIMES,
            _STAMPED,
            pa.field("value", pa.float64()),
            pa.field("is_final", pa.bool_()),  # of settlements; null where the exchange does not say
            *_WORDS,
        ]
    ),
)
FUTURES_CONTINUOUS = Table(
    name="futures_continuous",
    key=(),
    stamps="derived",
    group="derived",
    description="The front contract of each session by the roll rule, its final settlement, and what a roll into it changed;"
    " `hydra_assets.continuous` accumulates the adjustment at read, as known at the caller's instant.",
    schema=pa.schema(
        [
            *_TIMES,
            pa.field("contract", pa.string()),
            pa.field("expiration", INSTANT),
            pa.field("settlement", pa.float64()),
            pa.field("roll_difference", pa.float64()),  # new contract minus old, price units; 0 where nothing rolled
            pa.field("roll_ratio", pa.float64()),  # new contract over old; 1 where nothing rolled
            pa.field("quality", pa.string(), nullable=False),
        ]
    ),
)

_OPTION = [
    pa.field("instrument", pa.string(), nullable=False),
    pa.field("instrument_id", pa.int64(), nullable=False),
]
_CONTRACT_OF_OPTION = [
    pa.field("underlying", pa.string(), nullable=False),  # raw symbol of the future that it is on
    pa.field("underlying_id", pa.int64(), nullable=False),
    pa.field("right", pa.string(), nullable=False),  # C or P
    pa.field("strike", pa.float64(), nullable=False),
    pa.field("expiration", INSTANT, nullable=False),
]

OPTION_DEFINITIONS = Table(
    name="option_definitions",
    source="databento",
    needs_options=True,
    key=("instrument_id",),
    stamps="vendor",
    group="raw",
    description="Options listed on a day, as the exchange defines them: strike, right, expiration and the future they are on;"
    " instrument ids are good for a day, and raw symbols are never taken apart.",
    schema=pa.schema(
        [
            *_OPTION,
            *_CONTRACT_OF_OPTION,
            *_TIMES,
            _STAMPED,
            pa.field("tick", pa.float64(), nullable=False),  # price units
            pa.field("multiplier", pa.float64(), nullable=False),  # dollars per price unit and contract
            *_WORDS,
        ]
    ),
)
OPTION_QUOTES = Table(
    name="option_quotes",
    source="databento",
    needs_options=True,
    definitions="option_definitions",
    key=("instrument_id",),
    stamps="ours",
    group="raw",
    description="The last best bid and ask of each option at or before the day's cut (13:00 Chicago), with the quote's own time;"
    " known at the cut, for only then is it known to be the last. A side without an order is null.",
    schema=pa.schema(
        [
            *_OPTION,
            *_TIMES,
            *(pa.field(name, pa.float64()) for name in ("bid", "ask")),  # price units
            *(pa.field(name, pa.int64()) for name in ("bid_size", "ask_size")),
            pa.field("quoted_at", INSTANT, nullable=False),
            *_WORDS,
        ]
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
    schema=pa.schema(
        [
            *_OPTION,
            pa.field("stat", pa.string(), nullable=False),  # one of STATISTICS
            *_TIMES,
            _STAMPED,
            pa.field("value", pa.float64()),
            pa.field("is_final", pa.bool_()),  # of settlements; null where the exchange does not say
            *_WORDS,
        ]
    ),
)
OPTION_CHAIN = Table(
    name="option_chain",
    needs_options=True,
    key=("instrument_id",),
    stamps="derived",
    group="derived",
    description="One row per option and day: quote, forward (final settlement of its own underlying contract), time to expiry,"
    " open interest of the session before, liquidity by the rule, and the volatility of the quote made European.",
    schema=pa.schema(
        [
            *_OPTION,
            *_CONTRACT_OF_OPTION,
            *_TIMES,
            *(pa.field(name, pa.float64()) for name in ("bid", "ask", "mid", "spread")),  # null: no usable quote
            pa.field("quoted_at", INSTANT),
            pa.field("forward", pa.float64()),  # null: its settlement was taken back
            pa.field("tau", pa.float64(), nullable=False),  # years ACT/365 from the quotes' cut to the minute of expiry
            pa.field("settlement", pa.float64()),  # final, of the option itself
            pa.field("open_interest", pa.float64()),  # of the session before
            pa.field("liquid", pa.bool_(), nullable=False),
            pa.field("parity_gap", pa.float64()),  # (C - P) e^(rT) - (F - K) of its strike, both rights' mids; price units
            pa.field("vol", pa.float64()),  # of the mid, made European; decimals a year
            pa.field("vol_error", pa.float64()),  # half the half-spread in volatility
            pa.field("vol_status", pa.string(), nullable=False),  # ok, or why there is no volatility
            pa.field("tick", pa.float64(), nullable=False),
            pa.field("multiplier", pa.float64(), nullable=False),
            pa.field("rate", pa.float64(), nullable=False),  # continuously compounded, from the settings
            *_WORDS,
        ]
    ),
)
OPTION_SMILES = Table(
    name="option_smiles",
    needs_options=True,
    key=("expiration", "underlying"),
    stamps="derived",
    group="derived",
    description="The fitted smile of each expiration and day: parameters with standard errors and covariance, what it was fitted to,"
    " tail mass outside the quoted strikes, and how good it is; every option feature can be traced to its fit here.",
    schema=pa.schema(
        [
            pa.field("expiration", INSTANT, nullable=False),
            pa.field("underlying", pa.string(), nullable=False),
            pa.field("underlying_id", pa.int64(), nullable=False),
            *_TIMES,
            pa.field("forward", pa.float64()),  # null: its settlement was taken back
            pa.field("tau", pa.float64(), nullable=False),
            pa.field("model", pa.string(), nullable=False),  # ssvi, svi, or none
            pa.field("status", pa.string(), nullable=False),  # full, thin, one_sided, parity, butterfly, misfit, or no_quotes
            *(pa.field(name, pa.float64()) for name in ("theta", "rho", "phi")),
            *(pa.field(name, pa.float64()) for name in ("theta_error", "rho_error", "phi_error")),
            *(pa.field(name, pa.float64()) for name in ("cov_theta_rho", "cov_theta_phi", "cov_rho_phi")),
            *(pa.field(f"svi_{name}", pa.float64()) for name in ("a", "b", "rho", "m", "sigma")),  # the slice in raw form
            pa.field("n_liquid", pa.int64(), nullable=False),  # distinct strikes, each by its out-of-the-money side
            pa.field("n_below", pa.int64(), nullable=False),  # of them below the forward
            *(pa.field(name, pa.float64()) for name in ("strike_lo", "strike_hi")),  # lowest and highest of them
            *(pa.field(name, pa.float64()) for name in ("tail_lo", "tail_hi")),  # probability beyond them
            *(pa.field(name, pa.float64()) for name in ("g_min", "chi2_dof")),
            *(pa.field(name, pa.float64()) for name in ("parity_forward", "parity_error")),
            pa.field("mean_ratio", pa.float64()),  # E[S]/F of the density, 1 by construction
            pa.field("quality", pa.string(), nullable=False),
        ]
    ),
)

FEATURE_SCHEMA = pa.schema(
    [
        pa.field("feature_name", pa.string(), nullable=False),
        *_TIMES,
        pa.field("value", pa.float64()),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("quality", pa.string(), nullable=False),
    ]
)


def _features(family: str, description: str, **facts: Any) -> Table:
    return Table(f"{family}_features", ("feature_name",), "derived", FEATURE_SCHEMA, "features", description, **facts)


COT_FEATURES = _features(
    "cot",
    "The 13 positioning features of the COT report, every vintage, as `features.compute` gives them.",
    cadence="weekly",
    calendar="cot_releases",
)
FUTURES_FEATURES = _features("futures", "The 23 features of the futures curve, every vintage, as `features.compute` gives them.")
OPTION_FEATURES = _features("option", "The 25 features of the options' smiles and open interest, every vintage.", needs_options=True)
DIVERGENCE_FEATURES = _features(
    "divergence", "Options beside positioning, and how much of the smile was quoted; every vintage.", needs_options=True
)
FEATURE_TABLES = {"cot": COT_FEATURES, "futures": FUTURES_FEATURES, "options": OPTION_FEATURES, "divergence": DIVERGENCE_FEATURES}

TABLES = {
    dataset.name: dataset
    for dataset in (
        COT_DISAGGREGATED,
        COT_FEATURES,
        FUTURES_DEFINITIONS,
        FUTURES_BARS,
        FUTURES_STATISTICS,
        FUTURES_CONTINUOUS,
        FUTURES_FEATURES,
        OPTION_DEFINITIONS,
        OPTION_QUOTES,
        OPTION_STATISTICS,
        OPTION_CHAIN,
        OPTION_SMILES,
        OPTION_FEATURES,
        DIVERGENCE_FEATURES,
    )
}
