"""Trading days and the instants of a training frame."""

import datetime as dt

import pytest

import hydra_assets
from hydra_assets.core.sessions import is_session, session_days
from hydra_assets.errors import ConfigError, InvalidTimeError


@pytest.mark.parametrize(
    "closed",
    ["2025-01-01", "2025-01-20", "2025-02-17", "2025-04-18", "2025-05-26", "2025-06-19", "2025-07-04", "2025-09-01", "2025-11-27",
     "2025-12-25", "2023-01-02", "2021-07-05", "2021-12-24", "2026-07-03"],
)  # fmt: skip
def test_closed(closed):
    assert not is_session(dt.date.fromisoformat(closed))


@pytest.mark.parametrize("open_", ["2025-11-28", "2025-12-24", "2025-12-26", "2021-06-18", "2021-12-31", "2025-10-13", "2025-11-11"])
def test_open(open_):
    assert is_session(dt.date.fromisoformat(open_))


def test_a_year_has_its_sessions():
    assert len(session_days(dt.date(2025, 1, 1), dt.date(2025, 12, 31))) == 251


def test_sessions_are_aware_and_keep_the_wall_clock_over_daylight_saving():
    times = hydra_assets.sessions("HE", "2025-10-31", dt.date(2025, 11, 3))
    assert [t.isoformat() for t in times] == ["2025-10-31T18:30:00-05:00", "2025-11-03T18:30:00-06:00"]
    assert hydra_assets.sessions("HE", "2025-10-31", "2025-10-31", at="07:00")[0].hour == 7
    with pytest.raises(InvalidTimeError, match="HH:MM"):
        hydra_assets.sessions("HE", "2025-10-31", "2025-10-31", at="late")
    with pytest.raises(ConfigError, match=r"'XX'.*HE"):
        hydra_assets.sessions("XX", "2025-10-31", "2025-10-31")
