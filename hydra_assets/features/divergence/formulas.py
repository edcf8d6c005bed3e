"""
Options beside positioning, and how many strikes the 30-day smile rests on.

A function takes the inputs, the feature itself and a `Request`, and gives the feature's rows.
"""

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Floats
from hydra_assets.core.feature import Feature, Window
from hydra_assets.features.divergence.nearest_smile import LEVEL, nearest_smile_rows
from hydra_assets.features.divergence.positioning import POSITIONING, REPORT_REACH, SESSIONS, SKEW, skew_and_report_rows
from hydra_assets.features.family import Inputs, Request

AT_LEAST = 504


def z_of_last(values: Floats) -> Floats:
    """
    z-score of the last of each row among the row's finite values, the last one included; NaN with fewer than 504, or all equal.

    >>> z_of_last(np.array([[1.0] * 252 + [3.0] * 252])).round(3).tolist()
    [0.999]
    """
    finite = np.isfinite(values)
    n = finite.sum(axis=1)
    filled = np.where(finite, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=1) / n
        squares = (np.where(finite, values - mean[:, None], 0.0) ** 2).sum(axis=1)
        z = (values[:, -1] - mean) / np.sqrt(squares / (n - 1))
    spread = np.where(finite, values, -np.inf).max(axis=1) > np.where(finite, values, np.inf).min(axis=1)
    return np.asarray(np.where((n >= AT_LEAST) & spread, z, np.nan))


def skew_less_positioning(inputs: Inputs, feature: Feature, request: Request) -> pa.Table:
    """z-score of the skew within 756 sessions less the managed-money z-score of the newest report."""
    return skew_and_report_rows(inputs, feature, request, lambda skew, positioning: z_of_last(skew) - positioning)


def liquid_strikes(inputs: Inputs, feature: Feature, request: Request) -> pa.Table:
    """Liquid strikes of the slice nearest 30 days."""
    return nearest_smile_rows(inputs, feature, request, "n_liquid")


FEATURES: tuple[Feature, ...] = (
    Feature(
        "div_opt_cot",
        "divergence",
        "z",
        skew_less_positioning,
        (
            Window("option_features", 1 - SESSIONS, unit="sessions", required=(), at_least=AT_LEAST, where=(("feature_name", SKEW),)),
            Window("cot_features", -REPORT_REACH, unit="sessions", required=(), where=(("feature_name", POSITIONING),)),
        ),
        "z of opt_rr25_30 in 756 sessions (min 504) - cot_mm_z_156 of the newest report; never (implied mean - F)/F",
        "-",
        "the later of both; further rows as reports come out",
    ),
    Feature(
        "diag_opt_n_liquid",
        "divergence",
        "count",
        liquid_strikes,
        (
            Window("option_features", 0, unit="sessions", required=(), at_least=0, where=(("feature_name", LEVEL),)),
            Window("option_smiles", 0, unit="sessions"),
        ),
        "liquid strikes of the slice nearest 30 days; the fit's other diagnostics are columns of option_smiles",
        "-",
        "as the options' features of the day",
    ),
)
