"""The feed of Databento at the vendor as it really is: what it refuses or sends differently costs its own days alone."""

import dataclasses
import datetime as dt

import pytest

from hydra_assets.core.market import OptionRoot
from hydra_assets.core.months import Month
from hydra_assets.errors import (
    BrokenOffError,
    BudgetError,
    LiveLicenceError,
    RequestRefusedError,
    ShortAnswerError,
    VendorContentError,
    VendorRefusedError,
)
from hydra_assets.flow.feed import keep
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import plan_of, quote_plan
from hydra_assets.sources.databento_request import Request
from hydra_assets.sources.ledger import Budget
from hydra_assets_tests.support.databento_vendor import HE, answers, breaks_off, day, instead, patient_source, request, source, vendor
from hydra_assets_tests.support.rude_vendor import serving

D = dt.date
NOVEMBER = [Month(2025, 11)]


def lay(asking, lake, data_type, months, now, *, market=HE, once=False):
    """Plan, fetch, append; the plan."""
    plan = plan_of(asking, lake, data_type, market, months, now.date())
    for batch in DATABENTO.batches(DATABENTO.fetch(asking, [plan], once=once), lake):
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


def test_months_before_the_history_are_gaps_where_an_empty_range_is_refused(tmp_path, lake):
    with serving("empty_ranges", markets={"HE": HE}) as running, patient_source(running.url, tmp_path) as asking:
        plan = plan_of(asking, lake, "futures_bars", HE, [Month(2010, 1), Month(2010, 5)], D(2026, 1, 15))
        assert (plan.ranges, len(plan.gaps)) == ([], 39)
        assert set(plan.gaps.values()) == {"the vendor's history begins 2010-06-07"}


# ---------------------------------------------------------------- budgets, and days that are asked for again

QUARTER = [Month(2025, 7), Month(2025, 8), Month(2025, 9)]
LATER = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)


def test_where_a_budget_ends_what_was_paid_for_is_handed_over_and_the_rest_are_gaps(tmp_path, lake):
    with vendor(LATER) as running:
        with patient_source(running.url, tmp_path, now=LATER) as asking:
            plan = plan_of(asking, lake, "futures_definitions", HE, QUARTER, LATER.date())
            july, august, september = (asking.quote(plan.request(wanted)).usd for wanted in plan.ranges)
            asking.fetch_once(plan.request(plan.ranges[2]))  # of an earlier run, and in the archive
        with patient_source(running.url, tmp_path, now=LATER, budget=Budget("poor", run_usd=july + august / 2)) as asking:
            fetched = DATABENTO.fetch(asking, [plan], once=True)
            for batch in DATABENTO.batches(fetched, lake):
                keep(batch, lake, asking.ledger)
            assert asking.ledger.spent() == pytest.approx(july + september)
            assert {Month.of(day) for day in asking.ledger.captured("futures_definitions", "HE")} == {QUARTER[0], QUARTER[2]}
            assert {Month.of(day) for day in plan.gaps} == {QUARTER[1]}
            assert "over budget: HE.FUT definition 2025-08-01" in plan.gaps[D(2025, 8, 4)]
            (why,) = fetched.over_budget
            assert "databento.run_budget_usd" in why
            again = plan_of(asking, lake, "futures_definitions", HE, QUARTER, LATER.date())
            with pytest.raises(BudgetError, match="nothing was requested"):  # nothing of it can be had
                DATABENTO.fetch(asking, [again], once=True)
        asked = running.asked.count("metadata.get_cost")
        with patient_source(running.url, tmp_path / "new", now=LATER, budget=Budget("poor", run_usd=july / 2)) as asking:
            whole = plan_of(asking, lake, "futures_definitions", HE, QUARTER, LATER.date())
            with pytest.raises(BudgetError):
                DATABENTO.fetch(asking, [whole], once=True)
            assert running.asked.count("metadata.get_cost") == asked + 1  # and nothing later is bought because it is cheaper
        with patient_source(running.url, tmp_path, now=LATER, budget=Budget("richer", run_usd=august)) as asking:
            lay(asking, lake, "futures_definitions", QUARTER, LATER)
            assert asking.ledger.spent() == pytest.approx(july + august + september)


def test_days_held_are_asked_for_again_on_request_alone_with_their_own_price(tmp_path, lake):
    with vendor(LATER) as running, patient_source(running.url, tmp_path, now=LATER) as asking:
        lay(asking, lake, "futures_definitions", QUARTER[:2], LATER)
        spent = asking.ledger.spent()
        tomorrow = LATER + dt.timedelta(1)
        running.now, asking._now = tomorrow, lambda: tomorrow
        plan = plan_of(asking, lake, "futures_definitions", HE, QUARTER, tomorrow.date())
        assert [(part.again, Month.of(part.days[0])) for part in plan.ranges] == [(False, QUARTER[2])]
        asking.again_since = tomorrow.date()
        plan = plan_of(asking, lake, "futures_definitions", HE, QUARTER, tomorrow.date())
        assert [(part.again, Month.of(part.days[0])) for part in plan.ranges] == list(zip((True, True, False), QUARTER, strict=True))
        (_, held), (_, new) = quote_plan(asking, plan)
        assert held.usd == pytest.approx(spent)
        rows = lake.read("futures_definitions", "HE").num_rows
        lay(asking, lake, "futures_definitions", QUARTER, tomorrow)
        assert asking.ledger.spent() == pytest.approx(2 * spent + new.usd)
        assert {known.fetches for day, known in asking.ledger.captured("futures_definitions", "HE").items() if day < D(2025, 9, 1)} == {2}
        assert lake.read("futures_definitions", "HE", D(2025, 7, 1), D(2025, 8, 31)).num_rows == rows
        plan = plan_of(asking, lake, "futures_definitions", HE, QUARTER, tomorrow.date())
        assert [quote.usd for _, quote in quote_plan(asking, plan)] == [0.0] * 3  # killed and gone on with: seen today already


def test_an_answer_that_is_not_whole_costs_its_own_month(tmp_path, lake):
    table = "futures_definitions"
    with vendor(LATER) as running, patient_source(running.url, tmp_path, now=LATER) as asking:
        plan = plan_of(asking, lake, table, HE, QUARTER, LATER.date())
        running.fault = lambda handler, reply: running.paid() == 2 and instead(lambda body: body[: len(body) // 2])(handler, reply)
        fetched = DATABENTO.fetch(asking, [plan], once=True)
        for batch in DATABENTO.batches(fetched, lake):
            keep(batch, lake, asking.ledger)
        assert running.paid() == 3  # no second payment in this run
        assert {Month.of(day) for day in asking.ledger.captured(table, "HE")} == {QUARTER[0], QUARTER[2]}
        assert {Month.of(day) for day in plan.gaps} == {QUARTER[1]}
        assert "HE.FUT definition 2025-08-01" in fetched.refusal
        running.fault = None
        assert [part.days[0] for part in lay(asking, lake, table, QUARTER, LATER).ranges] == [D(2025, 8, 1)]
        assert running.paid() == 4
        running.fault = instead(lambda body: body[: len(body) // 2])
        with pytest.raises(VendorContentError):  # nothing at all is whole: tried again as ever
            lay(asking, lake, "futures_statistics", QUARTER[:1], LATER, once=True)


def test_a_request_that_the_vendor_calls_wrong_costs_its_own_month(tmp_path, lake):
    table, wrong = "futures_definitions", answers(422, b'{"detail": {"message": "an odd range"}}')
    with vendor(LATER) as running, patient_source(running.url, tmp_path, now=LATER) as asking:
        plan = plan_of(asking, lake, table, HE, QUARTER, LATER.date())
        running.fault = lambda handler, reply: running.paid() == 2 and wrong(handler, reply)
        fetched = DATABENTO.fetch(asking, [plan], once=True)
        for batch in DATABENTO.batches(fetched, lake):
            keep(batch, lake, asking.ledger)
        assert {Month.of(day) for day in asking.ledger.captured(table, "HE")} == {QUARTER[0], QUARTER[2]}
        assert {Month.of(day): why for day, why in plan.gaps.items()}.keys() == {QUARTER[1]}
        assert "refused: Databento HE.FUT definition 2025-08-01" in plan.gaps[D(2025, 8, 1)]
        assert "an odd range" in fetched.refusal
        assert [row["state"] for row in asking.ledger.requests()] == ["kept", "refused", "kept"]
        running.fault = wrong
        with pytest.raises(RequestRefusedError):  # every request is wrong: nothing is handed over
            lay(asking, lake, "futures_statistics", QUARTER, LATER, once=True)
        running.fault = answers(403, b"{}")
        with pytest.raises(VendorRefusedError, match="no licence"):  # the account's refusal is one of all requests
            lay(asking, lake, "futures_statistics", QUARTER, LATER, once=True)
        assert [row["state"] for row in asking.ledger.requests()][-2:] == ["refused"] * 2


def test_a_batch_job_that_has_expired_costs_its_own_month_until_the_next_run(tmp_path, lake):
    """Expired once for each request here: three months, all refused, then the second of them alone."""
    table = "futures_definitions"
    with serving("expired_jobs", markets={"HE": HE}) as running, patient_source(running.url, tmp_path, now=LATER, batch_above=0) as asking:
        with pytest.raises(RequestRefusedError, match="expired"):
            lay(asking, lake, table, QUARTER[:1], LATER, once=True)
        fetched = DATABENTO.fetch(asking, [plan := plan_of(asking, lake, table, HE, QUARTER[:2], LATER.date())], once=True)
        for batch in DATABENTO.batches(fetched, lake):
            keep(batch, lake, asking.ledger)
        assert {Month.of(day) for day in asking.ledger.captured(table, "HE")} == {QUARTER[0]}
        assert {Month.of(day) for day in plan.gaps} == {QUARTER[1]}
        assert "the next run submits and pays it again" in fetched.refusal
        lay(asking, lake, table, QUARTER[:2], LATER, once=True)
        assert {Month.of(day) for day in asking.ledger.captured(table, "HE")} == set(QUARTER[:2])
        assert [row["state"] for row in asking.ledger.requests()] == ["failed", "kept", "failed", "kept"]


def test_an_answer_that_breaks_off_is_asked_for_again_at_once(tmp_path, lake):
    """A step has five tries, a backfill hundreds of requests; the source of every one of them may end it in the middle."""
    with serving("breaks_off", markets={"HE": HE}) as running, patient_source(running.url, tmp_path, now=LATER) as asking:
        plan = lay(asking, lake, "futures_definitions", [Month(2024, month) for month in range(1, 13)], LATER, once=True)
        assert len(plan.ranges) == 12
        assert [row["state"] for row in asking.ledger.requests()] == ["failed", "kept"] * 12
    with vendor(LATER) as running, patient_source(running.url, tmp_path / "b", now=LATER) as asking:
        running.fault = breaks_off
        with pytest.raises(BrokenOffError):
            lay(asking, lake, "futures_statistics", QUARTER, LATER, once=True)
        assert running.paid() == 2  # and then no more in this try


# ---------------------------------------------------------------- counts and roots


@pytest.mark.parametrize("table", ["futures_definitions", "futures_bars", "futures_statistics", "option_definitions", "option_quotes"])
def test_requests_lie_where_the_vendors_counts_are_exact(table, tmp_path, lake):
    """get_record_count rounds outwards to ten minutes, for definitions to a day; a request between such marks would look short."""
    with serving("counts", markets={"HE": HE}) as running, patient_source(running.url, tmp_path, now=LATER) as asking:
        plan = plan_of(asking, lake, table, HE, [Month(2025, 7)], LATER.date())
        for wanted in plan.ranges:
            asked = plan.request(wanted)
            payload = asking.fetch_once(asked)
            announced = asking.ledger.requests()[-1]["records"]
            assert len(payload.store().to_ndarray()) == announced > 0
            assert payload.warnings == ()


def test_a_count_that_is_too_high_between_the_marks_costs_no_bytes(tmp_path):
    """Within a tenth of a percent it is whole; above it the bytes are kept, and what comes alike a second time is taken."""
    uneven = dataclasses.replace(request("statistics"), end=dt.datetime(2025, 10, 7, 11, 44, 59, tzinfo=dt.UTC))
    with serving("counts", markets={"HE": HE}) as running, patient_source(running.url, tmp_path, now=LATER) as asking:
        with pytest.raises(ShortAnswerError, match="the bytes are kept"):
            asking.fetch_once(uneven)
        (row,) = asking.ledger.requests()
        assert (asking.folder / f"{row['sha256']}.dbn.zst").exists()
        assert asking.fetch_once(uneven).sha256 == row["sha256"]


def test_a_root_that_is_listed_in_a_part_of_the_range_is_a_note(tmp_path):
    """``metadata.partial`` names it: the days before it are days without its options, not records that are missing."""
    weekly = {"HE": dataclasses.replace(HE, option_roots=(OptionRoot("HE"), OptionRoot("HE1")))}
    wanted = Request("GLBX.MDP3", "definition", "HE.OPT,HE1.OPT", day("2021-05-28"), day("2021-06-03"))
    with serving("unborn_roots", markets=weekly) as running, patient_source(running.url, tmp_path, now=LATER) as asking:
        payload = asking.fetch_once(wanted)
        assert payload.store().metadata.partial == ["HE1.OPT"]
        assert payload.warnings == (f"HE1.OPT is not listed in the whole of {wanted}",)
        assert [row["state"] for row in asking.ledger.requests()] == ["kept"]
