"""The range of every number in the settings; a number outside it, or not finite, is refused as the settings are loaded."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hydra_assets.errors import ConfigError

Range = tuple[float, float]

# By the end of a key, which says its unit; both ends included.
BY_UNIT: dict[str, Range] = {
    "_timeout_s": (0.001, 3_600),
    "deadline_s": (0.001, 86_400),
    "_s": (0, 86_400),
    "_usd": (0, 1_000_000),
    "_days": (0, 36_600),
    "_hours": (0, 8_760),
    "_mb": (0.001, 1_000_000),
    "_bytes": (1, 1e12),
    "_pct": (0, 100),
    "_share": (0, 1),
    "_attempts": (1, 100),
    "_factor": (1, 1_000_000),
    "_jump": (0, 1_000),
}
BY_NAME: dict[str, Range] = {
    "databento.batch_above_mb": (0, 1_000_000),  # 0: everything is a batch job
    "usda.max_range_days": (1, 36_600),
    "thresholds.min_liquid_strikes": (1, 10_000),
    "thresholds.min_oi": (0, 1_000_000_000),
    "options.max_spread_ticks": (0, 1_000_000),
    "options.rate": (-1, 10),
    "options.dealer_sign_call": (-1, 1),
    "options.dealer_sign_put": (-1, 1),
    "sample.bytes_per_s": (1, 1e12),
    "sample.busy_polls": (0, 1_000_000),
    "checks.replay_sample": (0, 1_000_000_000),
    "checks.replay_seed": (0, 2**63 - 1),
    "checks.settle_off_last": (0, 1_000),
    "checks.arbitrage_pairs": (0, 1_000_000_000),
    "checks.unchanged_sessions": (1, 100_000),
    "contract_multiplier": (1e-9, 1e12),
    "tick": (1e-12, 1e9),
}


def range_of(name: str) -> Range | None:
    """
    The range of a setting; None where no rule gives one.

    Args:
        name: its block and key, as in ``databento.day_budget_usd``.
    """
    key = name.rpartition(".")[2]
    if name in BY_NAME or key in BY_NAME:
        return BY_NAME.get(name, BY_NAME.get(key))
    return next((limits for unit, limits in BY_UNIT.items() if key.endswith(unit)), None)


def check_ranges(settings: Mapping[str, Any], file: str) -> None:
    """
    Refuse a number that is not finite, or outside its range.

    Args:
        settings: blocks of keys, as the file has them.
        file: for the error.

    Raises:
        ConfigError: naming file, block, key and range.
    """
    for name, number in numbers_of(settings):
        low, high = range_of(name) or (-math.inf, math.inf)
        if not math.isfinite(number) or not low <= number <= high:
            where = name.replace(".", ": ")
            between = f"a number from {low:g} to {high:g}" if math.isfinite(low) else "a finite number"
            raise ConfigError(f"{file}: {where} is {number}; it must be {between}")


def numbers_of(settings: Mapping[str, Any], block: str = "") -> Iterator[tuple[str, float]]:
    """Every number of the settings, by block and key."""
    for key, value in settings.items():
        name = f"{block}.{key}" if block else str(key)
        if isinstance(value, Mapping):
            yield from numbers_of(value, name)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value
