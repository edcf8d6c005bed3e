"""Ctrl-C and progress in real processes: on a terminal the whole group is signalled, and bars move while Dagster works."""

import json
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from hydra_assets.host.interrupts import noticed_interrupts
from hydra_assets.host.runs import MarketRun
from hydra_assets.proof.child import fresh_interpreter
from hydra_assets_tests.support import laid_down
from hydra_assets_tests.support.demo_home import PROGRAM

WORDS = ("backfill", "HE", "2024-07..2025-10", "--select", "cot_*", "-q")


def interrupted(words, home, *, when, wait_s=0.0):
    """The command, with Ctrl-C for it and its children *wait_s* after *when* holds."""
    started = subprocess.Popen([PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not when(home) and started.poll() is None:
        time.sleep(0.02)
    time.sleep(wait_s)
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=120)
    with pytest.raises(ProcessLookupError):
        os.killpg(started.pid, 0)  # nobody of the group is left
    return subprocess.CompletedProcess(words, started.returncode, out, err)


def in_dagster(home):
    return any((home / "sample" / "cache" / "runs").glob("*"))


def has_started_dagster(home):
    return (home / "sample" / "dagster" / "dagster.yaml").exists()


def statuses(home):
    with sqlite3.connect(home / "sample" / "dagster" / "history" / "runs.db") as runs:
        return [status for (status,) in runs.execute("SELECT status FROM runs ORDER BY id")]


@pytest.mark.parametrize(
    ("when", "wait_s"),
    [
        pytest.param(has_started_dagster, 0.0, marks=pytest.mark.slow),
        *(pytest.param(in_dagster, wait_s, marks=pytest.mark.slow) for wait_s in (0.0, 0.7, 2.0, 4.0)),
    ],
)
def test_ctrl_c_ends_a_backfill_with_one_line_at_any_moment(when, wait_s, home):
    stopped = interrupted(WORDS, home, when=when, wait_s=wait_s)
    said = stopped.stdout + stopped.stderr
    if stopped.returncode in (0, -signal.SIGINT) and "Done in" in said:  # the latter while the interpreter ends
        pytest.skip("it was done before")
    assert stopped.returncode == 130, said
    assert "Traceback" not in said
    assert said.count("Stopped.") == 1
    assert "the same command goes on from there" in said
    assert "Done in" not in said
    left = statuses(home) if (home / "sample" / "dagster" / "history" / "runs.db").exists() else []
    assert {"STARTED", "STARTING", "NOT_STARTED"}.isdisjoint(left)
    done = subprocess.run([PROGRAM, *WORDS, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["ok"]


def test_ctrl_c_while_the_ui_starts_prints_no_traceback_of_what_loads(home):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    stopped = interrupted(("ui", "--port", str(port)), home, when=has_started_dagster, wait_s=2.0)  # it takes longer to come up
    assert (stopped.returncode, stopped.stdout.strip(), stopped.stderr) == (0, "stopping ...", "")


def test_ctrl_c_before_anything_is_imported_is_one_line():
    program = "import sys; sys.argv = ['hydra-assets', 'demo']; sys.modules['hydra_assets.cli.main'] = None\n"
    program += "import builtins; real = builtins.__import__\n"
    program += "def stop(name, *more):\n    if name == 'hydra_assets.cli.main': raise KeyboardInterrupt\n    return real(name, *more)\n"
    program += "builtins.__import__ = stop\nfrom hydra_assets.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")


def test_a_signal_that_somebody_else_swallows_is_noticed():
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with noticed_interrupts() as noticed:
            assert not noticed()
            signal.raise_signal(signal.SIGINT)
            assert noticed()
        assert noticed()  # the block is over; its answer stands
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.set_wakeup_fd(-1) == -1


# A pool closes a connection of the instance during the run; a finalizer runs meanwhile, whose exception Python cannot raise.
MEETS_A_CLOSE = """
import signal, sys
from sqlalchemy.engine.default import DefaultDialect
from hydra_assets.cli.main import main
from hydra_assets.host.runs import MarketRun

class Finalized:
    def __del__(self):
        raise ValueError("of a finalizer")

def close(dialect, connection):
    DefaultDialect.do_close = real
    real(dialect, connection)
    {what}
    Finalized()
    raise ValueError("of a connection")

def on_event(run, entry):
    if entry.dagster_event is not None and entry.dagster_event.event_type_value == "STEP_START":
        DefaultDialect.do_close = close
    told(run, entry)

real, told, MarketRun._on_event = DefaultDialect.do_close, MarketRun._on_event, on_event
sys.argv = ["hydra-assets", *{words}]
main()
"""


def meeting_a_close(what):
    words = ("backfill", "HE", "2025-10", "--select", "cot_disaggregated", "-q")
    program = MEETS_A_CLOSE.format(what=what, words=words)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_ctrl_c_while_a_connection_is_closed_is_one_line(home):
    stopped = meeting_a_close("signal.raise_signal(signal.SIGINT)")
    assert (stopped.returncode, stopped.stderr) == (130, "")
    assert stopped.stdout.count("Stopped.") == 1


@pytest.mark.slow
def test_a_connection_that_fails_to_close_without_ctrl_c_is_told(home):
    told = meeting_a_close("pass").stderr
    assert "ValueError: of a connection" in told
    assert "ValueError: of a finalizer" in told


def test_a_run_whose_interrupt_dagster_swallows_is_no_success(home, monkeypatch):
    """Dagster forgets an interrupt that comes after its last look: everything is done, and yet somebody wanted it stopped."""
    from hydra_assets.config.home import resolve_home
    from hydra_assets.core.months import months_between

    run = MarketRun(resolve_home(), "HE", months_between("2025-10", "2025-10"), ["cot_disaggregated"])

    def swallowed(done, step):
        before = signal.signal(signal.SIGINT, lambda *_: None)
        signal.raise_signal(signal.SIGINT)
        signal.signal(signal.SIGINT, before)

    run.execute(swallowed)
    assert run.result().interrupted
    assert not run.result().ok


def test_the_answer_of_an_interrupted_proof_is_not_taken_for_the_next():
    def stop(_n):
        raise KeyboardInterrupt

    first = fresh_interpreter()
    with pytest.raises(KeyboardInterrupt):
        first.run(_stepping, stop, answer=1)
    assert not first.runs
    assert fresh_interpreter().run(_plain, answer=2) == 2


def _stepping(step, answer):
    step(1)
    return answer


def _plain(answer):
    return answer


def on_a_terminal(words, columns=100):
    """Output of a command on a terminal of its own, and its exit code."""
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
    pid, terminal = pty.fork()
    if not pid:
        os.execve(PROGRAM, [PROGRAM, *words], environment)  # noqa: S606
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux's word for the end
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace")), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.slow
def test_a_bar_moves_with_each_month_and_check_while_dagster_works():
    shown, code = on_a_terminal(["backfill", "HE", "2023-01..2025-10", "--select", "cot_*"])
    assert code == 0, shown
    counts = [int(done) for done, _ in re.findall(r"(\d+)/(\d+) ", shown)]
    (total,) = {int(total) for _, total in re.findall(r"(\d+)/(\d+) ", shown) if int(total)}
    assert counts == sorted(counts)
    assert counts[-1] == total
    assert len({count for count in counts if 0 < count < total}) >= 8, sorted(set(counts))
    assert "cot_features" in shown


@pytest.mark.slow
def test_ctrl_c_in_the_demo_stops_it_as_it_stops_a_backfill(demo, home):
    laid_down.copy(demo.home, home)
    before = len(statuses(home))
    stopped = interrupted(("demo", "-q"), home, when=in_dagster, wait_s=3.0)
    said = stopped.stdout + stopped.stderr
    assert stopped.returncode == 130, said
    assert "Traceback" not in said
    assert said.count("Stopped.") == 1
    assert "Done in" not in said
    assert "(d) What the checks say" not in said
    assert statuses(home)[before:] in (["CANCELED"], ["FAILURE"])
