"""The feed of Databento at the vendor as it really is: what it refuses or sends differently costs its own days alone."""

import datetime as dt

import pytest

from hydra_assets.core.months import Month
from hydra_assets.errors import LiveLicenceError, VendorRefusedError
from hydra_assets.flow.feed import keep
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import plan_of
from hydra_assets_tests.support.databento_vendor import HE, answers, patient_source, request, source, vendor
from hydra_assets_tests.support.rude_vendor import serving

D = dt.date
NOVEMBER = [Month(2025, 11)]


def lay(asking, lake, data_type, months, now, *, market=HE):
    """Plan, fetch, append; the plan."""
    plan = plan_of(asking, lake, data_type, market, months, now.date())
    for batch in DATABENTO.batches(DATABENTO.fetch(asking, [plan]), lake):
        keep(batch, lake, asking.ledger)
    return plan


# ---------------------------------------------------------------- the last day without a live licence


def test_of_the_last_day_without_a_licence_a_gap_remains_and_the_next_evening_brings_it(tmp_path, lake):
    evening = dt.datetime(2025, 11, 26, 9, 30, tzinfo=dt.UTC)
    with serving("live_licence", now=evening) as running, patient_source(running.url, tmp_path, now=evening) as asking:
        for table in ("futures_definitions", "futures_bars"):
            plan = lay(asking, lake, table, NOVEMBER, evening)
            assert [wanted.days[-1] for wanted in plan.ranges] == [D(2025, 11, 24)]
            assert "data after 2025-11-25 09:30Z need a live licence" in plan.gaps[D(2025, 11, 25)]
            assert max(asking.ledger.captured(table, "HE")) == D(2025, 11, 24)
        assert [row["state"] for row in asking.ledger.requests()] == ["refused", "kept"] * 2
        gap = DATABENTO.coverage(plan, lake, NOVEMBER[0], plan.rules, evening)
        assert {day.day: day.state for day in gap}[D(2025, 11, 25)] == "gap"
        spent = asking.ledger.spent()
        assert spent == pytest.approx(sum(row["usd"] for row in asking.ledger.requests() if row["state"] == "kept"))
    evening += dt.timedelta(1)
    with serving("live_licence", now=evening) as running, patient_source(running.url, tmp_path, now=evening) as asking:
        plan = lay(asking, lake, "futures_bars", NOVEMBER, evening)
        assert [wanted.days for wanted in plan.ranges] == [(D(2025, 11, 25),)]
        assert 0 < asking.ledger.spent() - spent < spent / 10
        refused = asking.ledger.spent()
        assert lay(asking, lake, "futures_bars", NOVEMBER, evening).ranges == []  # of the days after it nothing is left to ask for
        assert asking.ledger.spent() == refused


@pytest.mark.parametrize(
    ("message", "after"),
    [
        ("A live data license is required to access GLBX.MDP3 data after 2026-08-07T13:30:00Z.", "2026-08-07T13:30:00"),
        ("A live data license is required to access XNAS.ITCH data after 2026-08-16T04:00:00.000000000Z.", "2026-08-16T04:00:00"),
        ("A live data license is required to access XNAS.ITCH data after 2026-08-16 04:00:00+00:00.", "2026-08-16T04:00:00"),
        ("A live data license is required for the requested range.", None),
        ("No licence for the dataset.", None),
    ],
)
def test_the_instant_is_read_from_the_refusal(message, after, tmp_path):
    with vendor() as running, source(running.url, tmp_path) as asking:
        running.fault = answers(403, b'{"detail": {"case": "license_not_found_unauthorized", "message": "%s"}}' % message.encode())
        with pytest.raises(VendorRefusedError) as refused:
            asking.fetch_once(request())
        if after is None:
            assert not isinstance(refused.value, LiveLicenceError)
        else:
            assert refused.value.after == dt.datetime.fromisoformat(after).replace(tzinfo=dt.UTC)
        assert asking.ledger.spent() == 0


def test_a_refusal_that_leaves_nothing_out_is_a_refusal(tmp_path, lake):
    with vendor() as running, source(running.url, tmp_path) as asking:
        running.fault = answers(403, b'{"detail": {"message": "A live data license is required for data after 2026-01-01T00:00:00Z"}}')
        with pytest.raises(LiveLicenceError):
            lay(asking, lake, "futures_bars", [Month(2025, 10)], dt.datetime(2025, 12, 1, tzinfo=dt.UTC))
        assert running.paid() == 1
