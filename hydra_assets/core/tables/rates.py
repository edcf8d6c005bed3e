"""Interest rates: the US Treasury's daily par yield curve."""

from hydra_assets.core.tables.table import AS_OF, AVAILABLE_AT, FLOAT, QUALITY, SYNTHETIC, Column, Table
from hydra_assets.core.treasury import has_no_curve

# Column to the tenor's name in the Treasury's file and its length in months; tenors were added over the years.
TENORS: dict[str, tuple[str, float]] = {
    "par_1m": ("1 Mo", 1),
    "par_1m5": ("1.5 Month", 1.5),
    "par_2m": ("2 Mo", 2),
    "par_3m": ("3 Mo", 3),
    "par_4m": ("4 Mo", 4),
    "par_6m": ("6 Mo", 6),
    "par_1y": ("1 Yr", 12),
    "par_2y": ("2 Yr", 24),
    "par_3y": ("3 Yr", 36),
    "par_5y": ("5 Yr", 60),
    "par_7y": ("7 Yr", 84),
    "par_10y": ("10 Yr", 120),
    "par_20y": ("20 Yr", 240),
    "par_30y": ("30 Yr", 360),
}

RATES = Table(
    name="rates",
    source="treasury",
    off_session_rows="any_day",
    key=(),
    stamps="ours",
    has_scheduled_stamps=True,
    has_no_row=has_no_curve,
    group="raw",
    description="Par yields of US Treasury securities by day, as the Treasury prints them; the same rows for every market. Known at 18:00"
    " New York of the day by rule, `partial` where no look soon after it has confirmed that.",
    columns=(
        AS_OF,
        AVAILABLE_AT,
        *(
            Column(name, FLOAT, f"Par yield at {tenor}, semi-annual bond-equivalent; null where none was published.", "percent a year")
            for name, (tenor, _) in TENORS.items()
        ),
        QUALITY,
        SYNTHETIC,
    ),
)
