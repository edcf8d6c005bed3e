"""The CFTC's Commitments of Traders."""

from hydra_assets.core.tables.table import AS_OF, AVAILABLE_AT, FLOAT, INTEGER, QUALITY, SYNTHETIC, TEXT, Column, Table

_GROUPS = {
    "prod": "producers, merchants, processors and users",
    "swap": "swap dealers",
    "mm": "managed money",
    "other": "other reportables",
    "nonrept": "non-reportable traders",
}
COT_GROUPS = tuple(_GROUPS)

# (group, side) of every position that the report prints; side is long, short or spread.
COT_HOLDINGS = (
    *((group, side) for group in COT_GROUPS for side in ("long", "short")),
    *((group, "spread") for group in ("swap", "mm", "other")),
)
_HELD = [Column(f"{group}_{side}", INTEGER, f"Contracts held {side} by {_GROUPS[group]}.", "contracts") for group, side in COT_HOLDINGS]
_SHARES = [
    Column(
        f"{kind}_top{count}_{side}",
        FLOAT,
        f"Share of open interest held {side} by the {count} largest traders, {kind}, as the CFTC prints it.",
        "percent of open interest",
    )
    for kind in ("gross", "net")
    for count in (4, 8)
    for side in ("long", "short")
]
_COUNTED = [
    Column(f"traders_{group}_{side}", INTEGER, f"Number of traders {side} by {_GROUPS[group]}.", "traders")
    for group, side in COT_HOLDINGS
    if group != "nonrept"
]
_POSITIONS = [Column("open_interest", INTEGER, "Open interest.", "contracts"), *_HELD]
_TRADERS = [Column("traders_total", INTEGER, "Number of reporting traders.", "traders"), *_COUNTED]


COT_DISAGGREGATED = Table(
    name="cot_disaggregated",
    source="cftc",
    cadence="weekly",
    calendar="cot_releases",
    key=("cftc_code",),
    stamps="ours",
    has_scheduled_stamps=True,
    group="raw",
    description="CFTC disaggregated futures-only Commitments of Traders, one row per report and contract code.",
    columns=(
        Column("cftc_code", TEXT, "The CFTC's contract market code, six characters.", nullable=False),
        AS_OF,
        AVAILABLE_AT,
        *_POSITIONS,
        *_SHARES,
        *_TRADERS,
        QUALITY,
        SYNTHETIC,
    ),
)
