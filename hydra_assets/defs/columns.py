"""Column descriptions for the column list in the UI."""

import dagster as dg
import pyarrow as pa

from hydra_assets.core.tables.registry import Table

_GROUPS = {
    "prod": "producers, merchants, processors and users",
    "swap": "swap dealers",
    "mm": "managed money",
    "other": "other reportables",
    "nonrept": "non-reportable traders",
}
_COMMON = {
    "as_of": "The day that the row describes, 00:00 UTC.",
    "available_at": "UTC instant at which the row could first be known; a reader at t sees rows with available_at <= t.",
    "stamped_at": "The vendor's own instant, in nanoseconds; tells prints of one key apart.",
    "quality": "normal, partial, degraded, stale or missing; what is not known is null with a word here, never 0.",
    "synthetic": "True where the row was made up by the embedded vendor of the sample world.",
    "instrument": "The vendor's raw symbol, such as HEZ5; it comes back every ten years, so take it together with the expiration.",
    "instrument_id": "The exchange's number of the instrument on its day.",
    "instrument_class": "F, an outright future; spreads and options are left out.",
    "expiration": "UTC instant at which trading in the instrument ends.",
    "tick": "Smallest price step, in price units.",
    "multiplier": "Dollars per price unit and contract.",
    "low_limit": "Lowest price that the exchange allows on the day; null where it states none.",
    "high_limit": "Highest price that the exchange allows on the day; null where it states none.",
    "open": "First trade of the UTC day, price units.",
    "high": "Highest trade of the UTC day, price units.",
    "low": "Lowest trade of the UTC day, price units.",
    "close": "Last trade of the UTC day, price units; it is not the settlement.",
    "volume": "Contracts traded in the UTC day.",
    "stat": "What the value is: settlement, cleared_volume or open_interest.",
    "value": "The figure itself; null for a deletion, or where quality says why there is none.",
    "is_final": "Of settlements: final (true) or preliminary (false); null where the exchange does not say.",
    "contract": "The front contract of the session by the roll rule.",
    "settlement": "Final settlement, price units.",
    "roll_difference": "New contract minus old on a roll day, price units; 0 where nothing rolled.",
    "roll_ratio": "New contract over old on a roll day; 1 where nothing rolled.",
    "feature_name": "Which feature; the catalogue says what it means: hydra-assets catalogue.",
    "unit": "The unit of the value.",
    "cftc_code": "The CFTC's contract market code, six characters.",
    "open_interest": "Open interest, contracts.",
    "traders_total": "Number of reporting traders.",
    # options
    "underlying": "The vendor's symbol of the futures contract that the option is on.",
    "underlying_id": "The exchange's number of the underlying contract on its day.",
    "right": "C, a call, or P, a put.",
    "strike": "Strike, price units of the market.",
    "bid": "Best bid, price units; null where there was none.",
    "ask": "Best offer, price units; null where there was none.",
    "bid_size": "Contracts at the best bid.",
    "ask_size": "Contracts at the best offer.",
    "quoted_at": "UTC instant of the quote that stood at the cut.",
    "mid": "Middle of bid and ask, price units; null where one side is missing.",
    "spread": "Ask minus bid, price units.",
    "forward": "Settlement of the option's own underlying contract, price units.",
    "tau": "Years from the quotes' cut to the minute of expiration, ACT/365.",
    "liquid": "Whether the quote counts, by the thresholds of the settings: open interest, and a spread narrow enough.",
    "parity_gap": "(C - P) e^(rT) - (F - K) of the strike, both rights' mids, price units: how far put-call parity is off.",
    "vol": "Black-76 volatility of an out-of-the-money mid made European, decimals a year.",
    "vol_error": "Standard error of vol: half the half-spread, in volatility.",
    "vol_status": "ok, or why there is no volatility.",
    "rate": "Continuously compounded yearly rate from the settings.",
    "n_liquid": "Liquid strikes of the slice, each by its out-of-the-money side.",
    "n_below": "Of them, those below the forward.",
    "strike_lo": "Lowest liquid strike, price units.",
    "strike_hi": "Highest liquid strike, price units.",
    "parity_forward": "Forward by put-call parity, price units; null where no strike near the money has both rights quoted.",
    "parity_error": "Standard error of parity_forward.",
    "mean_ratio": "Mean of the implied density over the forward; 1 by construction.",
    "theta": "At-the-money total variance of the slice.",
    "rho": "Skew parameter of the slice, between -1 and 1.",
    "phi": "Curvature parameter of the slice.",
    "tail_lo": "Share of the density below the lowest liquid strike.",
    "tail_hi": "Share of the density above the highest liquid strike.",
    "g_min": "Least value of the butterfly function; not below 0.",
    "chi2_dof": "Squared misfit in units of the quotes' errors, per degree of freedom.",
    "model": "What was fitted: ssvi (three parameters), svi (five), or none.",
    "status": "full, or why the smile cannot be read as a whole: thin, one_sided, parity, butterfly, misfit, no_quotes, no_forward.",
}


def description_of(column: str) -> str | None:
    """What *column* says; None where nobody has written it down."""
    if column in _COMMON:
        return _COMMON[column]
    if column.startswith("traders_"):
        held = description_of(column.removeprefix("traders_"))
        return held.replace("Contracts held", "Number of traders") if held else None
    words = column.split("_")
    if words[0] == "svi":
        return f"Parameter {words[1]} of the slice as raw SVI."
    if words[-1] == "error" and words[0] in _COMMON:
        return f"Standard error of {words[0]}."
    if words[0] == "cov":
        return f"Covariance of the fit's {words[1]} and {words[2]}."
    if words[0] in _GROUPS and len(words) == 2 and words[1] in ("long", "short", "spread"):
        return f"Contracts held {words[1]} by {_GROUPS[words[0]]}."
    if words[0] in ("gross", "net") and len(words) == 3:
        side, count = words[2], words[1].removeprefix("top")
        return f"Share of open interest held {side} by the {count} largest traders, {words[0]}, in percent as the CFTC prints it."
    return None


def column_schema(dataset: Table) -> dg.TableSchema:
    """The table's columns with type, unit and meaning."""
    return dg.TableSchema(columns=[_column(field, field.name in (*dataset.key, "as_of", "available_at")) for field in dataset.schema])


def _column(field: pa.Field, in_key: bool) -> dg.TableColumn:
    return dg.TableColumn(
        field.name,
        str(field.type),
        description=description_of(field.name),
        constraints=dg.TableColumnConstraints(nullable=field.nullable, other=["key"] if in_key else []),
    )
