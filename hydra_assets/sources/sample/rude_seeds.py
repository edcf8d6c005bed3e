"""Seeded choices over arrays of records: the same numbers give the same choice, whatever else is in the array."""

import datetime as dt

import numpy as np

from hydra_assets.sources.sample.curve import seed_of
from hydra_assets.sources.sample.monthly import NS_PER_S

DAY_NS = 86_400 * NS_PER_S
_EPOCH = dt.date(1970, 1, 1)


def happens(share: float, seed: str, *numbers: np.ndarray) -> np.ndarray:
    """Whether an event of probability *share* happens to each tuple of *numbers*."""
    mixed = np.full(np.shape(numbers[0]), seed_of(seed), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in numbers:  # splitmix64 of one number after the other
            mixed = (mixed ^ np.asarray(part).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray(mixed.astype(float) / 2.0**64 < share)


def day_numbers(at: np.ndarray) -> np.ndarray:
    """Days since 1970 of nanoseconds since 1970; an undefined time is a day that never comes."""
    return (at.astype(np.uint64) // np.uint64(DAY_NS)).astype(np.int64)


def number_of(day: dt.date) -> int:
    """Days since 1970 of *day*."""
    return (day - _EPOCH).days


def date_of(number: int) -> dt.date:
    """The day that is *number* days after 1970-01-01."""
    return _EPOCH + dt.timedelta(int(number))
