"""Runs left behind by a kill: which of them are ended, and that nothing that may still live is."""

import datetime as dt
import os
import subprocess
import time

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, EngineEventData

from hydra_assets.config.home import resolve_home
from hydra_assets.host import orphans
from hydra_assets.host.orphans import fail_orphans
from hydra_assets.host.run_locks import cancel_dead_runs, dead_runs, run_lock

STARTED = dg.DagsterRunStatus.STARTED


def made(instance, *processes, status=STARTED):
    """A run, and an event of it for each process number and the time at which it was told."""
    run = instance.add_run(dg.DagsterRun(job_name="cot_refresh", status=status))
    for pid, seen in processes:
        facts = EngineEventData({"pid": dg.MetadataValue.text(str(pid))})
        event = DagsterEvent(dg.DagsterEventType.ENGINE_EVENT.value, run.job_name, event_specific_data=facts)
        instance.handle_new_event(dg.EventLogEntry(None, 20, "", run.run_id, seen.timestamp(), job_name=run.job_name, dagster_event=event))
    return run.run_id


def status_of(instance, run_id):
    return instance.get_run_by_id(run_id).status


def ended():
    """The number of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def minutes_ago(minutes):
    return dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)


# ---------------------------------------------------------------- by the processes that Dagster's events name


def test_a_started_run_is_failed_where_every_process_of_it_is_gone(instance):
    gone = made(instance, (ended(), minutes_ago(0)))
    returned = made(instance, (os.getpid(), minutes_ago(60 * 24 * 30)))  # the number is another process's now
    lives = made(instance, (ended(), minutes_ago(0)), (os.getpid(), minutes_ago(0)))
    unknown = made(instance)
    assert sorted(fail_orphans(instance)) == sorted([gone, returned])
    assert {status_of(instance, run) for run in (gone, returned)} == {dg.DagsterRunStatus.FAILURE}
    assert {status_of(instance, run) for run in (lives, unknown)} == {STARTED}


def test_a_process_that_ended_and_was_not_waited_for_is_gone(instance):
    process = subprocess.Popen(["true"])
    run = made(instance, (process.pid, minutes_ago(0)))
    last = time.monotonic() + 10
    while not (found := fail_orphans(instance)) and time.monotonic() < last:
        time.sleep(0.05)
    assert found == [run]
    process.wait()


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED])
def test_a_run_that_only_begins_or_has_ended_is_left_alone(instance, status):
    run = made(instance, (ended(), minutes_ago(0)), status=status)
    assert fail_orphans(instance) == []
    assert status_of(instance, run) is status


@pytest.mark.parametrize(("told", "minutes"), [("05:00", 5), ("02:05:00", 125), ("3-02:05:00", 3 * 1440 + 125)])
def test_a_process_counts_where_it_was_there_when_the_event_was_written(instance, monkeypatch, told, minutes):
    answer = subprocess.CompletedProcess([], 0, stdout=f"{told} S+\n")
    monkeypatch.setattr(orphans.subprocess, "run", lambda *_, **__: answer)
    older, younger = made(instance, (1, minutes_ago(minutes - 1))), made(instance, (1, minutes_ago(minutes + 1)))
    assert fail_orphans(instance) == [younger]
    assert status_of(instance, older) is STARTED


def test_where_nobody_knows_the_processes_nothing_is_ended(instance, monkeypatch):
    def no_ps(*_, **__):
        raise FileNotFoundError("ps")

    run = made(instance, (ended(), minutes_ago(0)))
    monkeypatch.setattr(orphans.subprocess, "run", no_ps)
    assert fail_orphans(instance) == []
    assert status_of(instance, run) is STARTED


# ---------------------------------------------------------------- by the locks of the command line's runs


def left_behind(home, run_id):
    """The lock file of a run whose process is gone."""
    with run_lock(home, run_id):
        path = home.cache / "runs" / run_id
    path.touch()
    return path


def test_a_run_is_dead_when_nobody_holds_its_lock(instance):
    home = resolve_home()
    run = made(instance)
    with run_lock(home, run):
        assert dead_runs(home) == []
        cancel_dead_runs(home, instance)
        assert status_of(instance, run) is STARTED
    assert dead_runs(home) == []
    left_behind(home, run)
    assert dead_runs(home) == [run]
    cancel_dead_runs(home, instance)
    assert status_of(instance, run) is dg.DagsterRunStatus.CANCELED
    assert dead_runs(home) == []


def test_the_dead_hold_no_slot_and_what_had_ended_stays_as_it_ended(instance):
    home, slots = resolve_home(), instance.event_log_storage
    run = made(instance, status=dg.DagsterRunStatus.SUCCESS)
    left_behind(home, run)
    slots.set_concurrency_slots("vendor", 1)
    slots.claim_concurrency_slot("vendor", run, "futures_bars")
    assert slots.get_concurrency_info("vendor").active_slot_count == 1
    cancel_dead_runs(home, instance)
    assert slots.get_concurrency_info("vendor").active_slot_count == 0
    assert status_of(instance, run) is dg.DagsterRunStatus.SUCCESS
    assert dead_runs(home) == []


def test_a_lock_that_is_not_of_a_run_yet_is_given_a_minute(instance):
    """Its process is between taking the lock's file and the lock, or has not written its run down."""
    home = resolve_home()
    path = left_behind(home, "not-yet")
    cancel_dead_runs(home, instance)
    assert path.exists()
    os.utime(path, (time.time() - 90,) * 2)
    cancel_dead_runs(home, instance)
    assert not path.exists()
