"""The cash price of hogs: the USDA's report of slaughtered swine, and the exchange's index made of it."""

from hydra_assets.core.instants import INSTANT
from hydra_assets.core.tables.table import AS_OF, AVAILABLE_AT, FLOAT, INTEGER, QUALITY, SYNTHETIC, TEXT, Column, Table

NEGOTIATED = "Prod. Sold Negotiated"
MARKET_FORMULA = "Prod. Sold Swine or Pork Market Formula"
NEGOTIATED_FORMULA = "Prod. Sold Negotiated Formula"
PURCHASE_TYPES = (
    NEGOTIATED,
    MARKET_FORMULA,
    NEGOTIATED_FORMULA,
    "Prod. Sold Other Market Formula",
    "Prod. Sold Other Purchase Arrangement",
    "Prod. Sold (All Purchase Types)",
    "Pack. Sold (All Purchase Types)",
    "Packer Owned",
)
_CENTS = "cents per lb of carcass"
_LB = "lb"
_NULL = "null where the USDA prints none, as under its confidentiality rule."

CASH_HOGS = Table(
    name="cash_hogs",
    source="usda",
    key=("purchase_type",),
    stamps="ours",
    has_scheduled_stamps=True,
    off_session_rows="any_day",  # packers slaughter on most holidays of the exchange
    group="raw",
    description="Slaughtered barrows and gilts of a day by purchase type, as the USDA's LM_HG201 reports them on the next federal business"
    " day; Friday's row holds Saturday's hogs too.",
    columns=(
        Column("purchase_type", TEXT, "The USDA's words, such as Prod. Sold Negotiated.", nullable=False),
        AS_OF,
        AVAILABLE_AT,
        Column("report_date", INSTANT, "The report's own date, 00:00 UTC of it.", nullable=False),
        Column("head_count", INTEGER, "Hogs slaughtered.", "head"),
        Column("base_price", FLOAT, f"Weighted average price before premiums and discounts; {_NULL}", _CENTS),
        Column("avg_net_price", FLOAT, f"Weighted average price paid; {_NULL}", _CENTS),
        Column("lowest_net_price", FLOAT, f"Lowest price paid for a lot; {_NULL}", _CENTS),
        Column("highest_net_price", FLOAT, f"Highest price paid for a lot; {_NULL}", _CENTS),
        Column("avg_live_weight", FLOAT, f"Average weight alive; {_NULL}", _LB),
        Column("avg_carcass_weight", FLOAT, f"Average weight of the carcass; {_NULL}", _LB),
        Column("avg_lean_percent", FLOAT, f"Average share of lean meat; {_NULL}", "percent"),
        QUALITY,
        SYNTHETIC,
    ),
)

CASH_INDEX = Table(
    name="cash_index",
    key=(),
    stamps="derived",
    off_session_rows="any_day",
    group="derived",
    description="The CME Lean Hog Index, recomputed: hogs sold on two consecutive weekdays negotiated and by swine or pork market formula,"
    " value by carcass weight, to the cent; of each day, from the instant at which its last row was known.",
    columns=(
        AS_OF,
        AVAILABLE_AT,
        Column("index", FLOAT, "The index of two days that ends on this one; null where the day before is unknown.", _CENTS),
        Column("daily", FLOAT, "The same average of this day alone.", _CENTS),
        Column("negotiated", FLOAT, "Net price of negotiated hogs; null where the USDA prints none.", _CENTS),
        Column("market_formula", FLOAT, "Net price of hogs by swine or pork market formula; null where the USDA prints none.", _CENTS),
        Column("head_count", INTEGER, "Hogs that the daily average is of.", "head"),
        QUALITY,
        SYNTHETIC,
    ),
)
