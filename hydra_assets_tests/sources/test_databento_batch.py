"""Large answers come as batch jobs: submitted once whatever happens, downloaded until the hash is right, paid once."""

import dataclasses
import datetime as dt
import os
import stat

import pytest

from hydra_assets.core.months import Month
from hydra_assets.errors import BudgetError, CorruptionError, VendorContentError, VendorRefusedError, VendorUnavailableError
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import plan_of, quote_plan
from hydra_assets.sources.databento_batch import LISTED_WITHIN, BatchJobs
from hydra_assets.sources.databento_client import Limits
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets_tests.support.databento_vendor import HE, request, source
from hydra_assets_tests.support.databento_vendor import vendor as vendor_of_tests
from hydra_assets_tests.support.rude_vendor import NOW, real_client, serving

PATIENT = Limits(connect_timeout_s=2.0, read_timeout_s=30.0, deadline_s=60.0)


class Killed(BaseException):
    """The end of a process, for tests that go on in another one."""


def asking(vendor, folder, *, now=NOW, batch_above=0, **more):
    """A source to which every answer is large."""
    return source(vendor.url, folder, now=now, **{"limits": PATIENT, "batch_above": batch_above, "sleep": lambda seconds: None, **more})


def jobs(vendor):
    return real_client(vendor.url).batch.list_jobs(states="queued,processing,done,expired")


def test_a_large_answer_is_a_job_with_the_records_of_the_stream_and_a_small_one_is_not(tmp_path):
    with serving() as vendor, asking(vendor, tmp_path / "job") as large, asking(vendor, tmp_path / "stream", batch_above=10**9) as small:
        job, stream = large.fetch_once(request()), small.fetch_once(request())
        assert job.store().to_ndarray().tobytes() == stream.store().to_ndarray().tobytes()
        assert job.usd == stream.usd > 0
        (made,) = jobs(vendor)
        (row,) = large.ledger.requests()
        assert (row["state"], row["job"], row["sha256"]) == ("kept", made["id"], job.sha256)
        assert small.ledger.requests()[0]["job"] is None
        assert large.fetch_once(request(end="2025-10-03")).usd == 0
        assert len(jobs(vendor)) == 1
        assert not list(large.folder.glob(".job-*"))


def test_a_slow_job_is_waited_for_with_progress(tmp_path):
    lines, pauses = [], []
    with serving("slow_jobs", busy_polls=4) as vendor, asking(vendor, tmp_path, sleep=pauses.append) as waiting:
        waiting.report = lines.append
        waiting.fetch_once(request())
    assert pauses == sorted(pauses)
    assert len(pauses) == 4
    assert any("is processing, 50 %" in line for line in lines)
    assert any("downloading" in line for line in lines)


def test_who_gives_up_waiting_goes_on_with_the_same_job(tmp_path):
    hurried = dataclasses.replace(PATIENT, deadline_s=0.5)
    with serving("slow_jobs", busy_polls=2) as vendor:
        with (
            asking(vendor, tmp_path, limits=hurried) as first,
            pytest.raises(VendorUnavailableError, match="paid for, and waited for next"),
        ):
            first.fetch_once(request())
        with asking(vendor, tmp_path) as second:
            assert second.fetch_once(request()).usd == 0  # paid by the run before
            assert second.ledger.spent() > 0
        assert len(jobs(vendor)) == 1


def test_a_corrupted_file_is_downloaded_again_at_no_charge(tmp_path, monkeypatch):
    with serving("corrupt_files") as vendor, asking(vendor, tmp_path / "a") as at_once, asking(vendor, tmp_path / "b") as twice:
        assert len(at_once.fetch_once(request()).store().to_ndarray()) > 100
        with monkeypatch.context() as patched:
            patched.setattr("hydra_assets.sources.databento_batch.DOWNLOADS", 1)
            with pytest.raises(VendorContentError, match="without the vendor's hash"):
                twice.fetch_once(request())
        assert twice.ledger.covering(request().arguments(), seen_since=dt.date.min) is None
        payload = twice.fetch_once(request())
        assert (payload.usd, len(payload.store().to_ndarray()) > 100) == (0, True)
        assert len(jobs(vendor)) == 2  # one each
        assert len(twice.ledger.requests()) == 1


def test_a_download_that_broke_off_goes_on_from_there(tmp_path):
    with serving("breaks_off") as vendor, asking(vendor, tmp_path) as again:
        with pytest.raises(VendorUnavailableError, match="broke off"):
            again.fetch_once(request())
        (part,) = again.folder.glob(".job-*/*")
        half = part.stat().st_size
        asked, real = [], again._client.batch._ask
        again._client.batch._ask = lambda *words, **more: asked.append(more.get("more_headers")) or real(*words, **more)
        payload = again.fetch_once(request())
        assert payload.path.stat().st_size > half > 0
        assert {"Range": f"bytes={half}-{payload.path.stat().st_size - 1}"} in asked
        assert len(jobs(vendor)) == 1


def test_an_expired_job_is_told_and_bought_again_by_the_next_run_alone(tmp_path):
    with serving("expired_jobs") as vendor, asking(vendor, tmp_path) as late:
        with pytest.raises(VendorRefusedError, match="expired before its file was downloaded; the next run submits and pays it again"):
            late.fetch(request())
        assert [row["state"] for row in late.ledger.requests()] == ["failed"]
        price = late.ledger.spent()
        assert late.fetch(request()).usd == pytest.approx(price)
        assert late.ledger.spent() == pytest.approx(2 * price)
        assert [job["state"] for job in jobs(vendor)] == ["expired", "done"]


@pytest.mark.parametrize("between", ["submit_and_note", "note_and_download", "download_and_keep"])
def test_a_killed_process_pays_for_one_job(tmp_path, between, monkeypatch):
    def killed(*words, **more):
        raise Killed

    with serving() as vendor:
        with asking(vendor, tmp_path) as first, monkeypatch.context() as patched:
            owner, name = {
                "submit_and_note": (Ledger, "submitted"),
                "note_and_download": (type(first._client.batch), "save"),
                "download_and_keep": (Ledger, "keep"),
            }[between]
            patched.setattr(owner, name, killed)
            with pytest.raises(Killed):
                first.fetch_once(request())
        with asking(vendor, tmp_path) as second:
            payload = second.fetch_once(request())
            assert payload.usd == 0
            (row,) = second.ledger.requests()
            assert (row["state"], row["job"]) == ("kept", jobs(vendor)[0]["id"])
        assert len(jobs(vendor)) == 1


def test_a_job_of_another_request_or_of_the_ledger_is_not_taken_for_the_lost_one(tmp_path):
    with serving() as vendor:
        made = real_client(vendor.url)
        made.batch.submit_job(**request(end="2025-10-07").arguments())
        made.batch.submit_job(**request("definition").arguments())
        with asking(vendor, tmp_path) as lost:
            begin(lost, NOW)
            with pytest.raises(VendorUnavailableError, match="not known yet") as unknown:
                lost.fetch_once(request())
            assert unknown.value.retry_after == LISTED_WITHIN
        with asking(vendor, tmp_path, now=NOW + LISTED_WITHIN) as later:
            assert later.fetch_once(request()).usd > 0
            assert [row["state"] for row in later.ledger.requests()] == ["refused", "kept"]
            begin(later, NOW)  # of the same range as the one that is kept
            assert later._jobs.find(later.ledger.waiting_job(request().arguments(), seen_since=dt.date.min), request()) is None
        assert len(jobs(vendor)) == 3


def begin(made, now):
    """The ledger's row of a submission that never reached the vendor, or whose answer never came back."""
    return made.ledger.reserve(request().arguments(), usd=1.0, records=1, size=1, budget=Budget("killed"), now=now, by_job=True)


def test_a_job_for_more_days_serves_the_fewer(tmp_path, lake):
    with serving("slow_jobs", busy_polls=9) as vendor:
        hurried = dataclasses.replace(PATIENT, deadline_s=0.5)
        with asking(vendor, tmp_path, limits=hurried) as first:
            plan = plan_of(first, lake, "futures_definitions", HE, [Month(2025, 10)], NOW.date())
            ((_, quoted),) = quote_plan(first, plan)
            with pytest.raises(VendorUnavailableError):
                first.fetch_once(plan.request(plan.ranges[0]))
            assert [quote.usd for _, quote in quote_plan(first, plan)] == [0.0]
            assert quoted.usd > 0
        with asking(vendor, tmp_path) as second:
            assert second.fetch_once(request("definition", "2025-10-02", "2025-10-03")).usd == 0
            assert len(jobs(vendor)) == 1
            # A day that the vendor has changed since is no part of what was submitted before.
            assert second.ledger.paid_for(plan.request(plan.ranges[0]).arguments(), seen_since=NOW.date() + dt.timedelta(1)) is None


HALF_YEAR = [Month(2025, month) for month in range(1, 7)]


def test_the_vendor_prepares_four_jobs_at_once_and_each_is_paid_once(tmp_path, lake, monkeypatch):
    under_way, download = [], BatchJobs.download

    def counted(self, *words):
        under_way.append(sum(row["state"] == "asked" for row in self._ledger.requests()))
        return download(self, *words)

    monkeypatch.setattr(BatchJobs, "download", counted)
    with serving("slow_jobs", markets={"HE": HE}) as vendor, asking(vendor, tmp_path) as buyer:
        plan = plan_of(buyer, lake, "futures_definitions", HE, HALF_YEAR, NOW.date())
        ((_, payloads),) = DATABENTO.fetch(buyer, [plan], once=True).answers
        assert under_way == [4, 4, 4, 3, 2, 1]
        assert [row["state"] for row in buyer.ledger.requests()] == ["kept"] * 6
        assert len(jobs(vendor)) == 6
        assert sum(payload.usd for payload in payloads) == pytest.approx(buyer.ledger.spent())
        assert len({payload.sha256 for payload in payloads}) == 6


def test_a_budget_that_ends_among_the_jobs_leaves_the_later_months_out(tmp_path, lake):
    with serving(markets={"HE": HE}) as vendor, asking(vendor, tmp_path) as rich:
        plan = plan_of(rich, lake, "futures_definitions", HE, HALF_YEAR, NOW.date())
        first, second = (rich.quote(plan.request(wanted)).usd for wanted in plan.ranges[:2])
        with asking(vendor, tmp_path / "poor", budget=Budget("poor", run_usd=first + second / 2)) as poor:
            fetched = DATABENTO.fetch(poor, [plan], once=True)
            assert {Month.of(day) for day in plan.gaps} == set(HALF_YEAR[1:])
            assert len(fetched.over_budget) == 1
            assert poor.ledger.spent() == pytest.approx(first)
        assert len(jobs(vendor)) == 1


def test_small_answers_are_priced_once(tmp_path, lake):
    with vendor_of_tests(NOW, {"HE": HE}) as vendor, asking(vendor, tmp_path, batch_above=10**9) as buyer:
        plan = plan_of(buyer, lake, "futures_definitions", HE, HALF_YEAR, NOW.date())
        DATABENTO.fetch(buyer, [plan], once=True)
        assert (vendor.asked.count("metadata.get_cost"), vendor.paid()) == (6, 6)


def test_over_a_budget_no_job_is_submitted(tmp_path):
    with serving() as vendor, asking(vendor, tmp_path, budget=Budget("poor", run_usd=1e-9)) as poor:
        with pytest.raises(BudgetError, match="nothing was requested"):
            poor.fetch_once(request())
        assert jobs(vendor) == []
        assert poor.ledger.requests() == []


@pytest.mark.parametrize("url", ["https://elsewhere.example/x", "http://10.0.0.1/v0/batch/download/x", "https://127.0.0.1/x"])
def test_the_key_goes_to_no_other_host(url, tmp_path):
    with serving() as vendor, asking(vendor, tmp_path) as careful, pytest.raises(VendorRefusedError, match="the key stays with its host"):
        careful._client.batch.save(url, tmp_path / "x", 10)


def test_a_ledger_of_before_batch_jobs_opens_and_keeps_its_answers(tmp_path):
    with serving() as vendor:
        with asking(vendor, tmp_path, batch_above=None) as streaming:
            streaming.fetch_once(request())
            streaming.ledger._db.execute("ALTER TABLE requests DROP COLUMN job")
        with asking(vendor, tmp_path) as later:
            assert later.fetch_once(request()).usd == 0
            assert later.fetch_once(request("definition")).usd > 0
            assert [bool(row["job"]) for row in later.ledger.requests()] == [False, True]


@pytest.mark.parametrize("batch_above", [0, 10**9])
def test_a_changed_answer_in_the_archive_is_refused_and_paid_again_only_once_it_is_removed(tmp_path, batch_above):
    before = os.umask(0)
    try:
        with serving() as vendor, asking(vendor, tmp_path / "home", batch_above=batch_above) as opened:
            path = opened.fetch_once(request()).path
            for made in (tmp_path / "home").rglob("*"):
                assert stat.S_IMODE(made.stat().st_mode) & ~(0o750 if made.is_dir() else 0o640) == 0, made
            body = bytearray(path.read_bytes())
            body[len(body) // 2] ^= 1
            path.write_bytes(body)
            with pytest.raises(CorruptionError, match=rf"{path.name}.*paid for"):
                opened.fetch_once(request())
            assert len(opened.ledger.requests()) == 1
            path.unlink()
            assert opened.fetch_once(request()).path == path
            assert len(opened.ledger.requests()) == 2
    finally:
        os.umask(before)
