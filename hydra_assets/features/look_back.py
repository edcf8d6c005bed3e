"""How far back before a day the windows of features reach into a table."""

import datetime as dt
import math
from collections.abc import Collection

from hydra_assets.core.feature import Feature
from hydra_assets.features.compute import of_family

# A window counts weeks from the Tuesday of a report; one week more covers a report moved to its Monday.
_SPARE_DAYS = 7
DAYS_PER_SESSION = 366 / 249  # fewer sessions than any year has


def look_back(family: str, dataset: str, *, features: Collection[Feature] | None = None) -> dt.timedelta:
    """Reach of the widest window of a family, or of *features* of it, into *dataset* before the month."""
    windows = [
        window
        for feature in (of_family(family) if features is None else features)
        for window in feature.windows
        if window.dataset == dataset
    ]
    days = [-window.first * (7 if window.unit == "weeks" else DAYS_PER_SESSION) for window in windows]
    return dt.timedelta(days=math.ceil(max(days, default=0)) + _SPARE_DAYS)
