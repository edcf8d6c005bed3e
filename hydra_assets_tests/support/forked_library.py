"""`cot_reports` in a process forked from a server that has imported it: a new interpreter for each request takes most of a second."""

import io
import multiprocessing
import os
import subprocess
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path

COMMAND = [sys.executable, "-P", "-m", "hydra_assets.sources.cftc_child"]
TimeoutExpired = subprocess.TimeoutExpired

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["hydra_assets.sources.cftc_child", "cot_reports.cot_reports", "hydra_assets_tests.support.forked_library"])


def run(command: list[str], *, input: str, cwd: Path, env: dict[str, str], timeout: float, **given: bool) -> subprocess.CompletedProcess:
    """
    Stand in for `subprocess.run` of the library's one command.

    Raises:
        TimeoutExpired: the process did not end in time; it was killed.
    """
    assert (command, given) == (COMMAND, {"capture_output": True, "text": True, "check": False})
    reader, writer = _server.Pipe(duplex=False)
    child = _server.Process(target=_serve, args=(writer, input, str(cwd), dict(env)))
    child.start()
    writer.close()
    try:
        if not reader.poll(timeout):
            raise TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, *reader.recv())
    finally:
        reader.close()
        child.kill()
        child.join()


def _serve(answer: Connection, asked: str, folder: str, environment: dict[str, str]) -> None:
    from hydra_assets.sources import cftc_child

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdin = io.StringIO(asked)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            cftc_child.main()
        except BaseException:  # as an interpreter would: the traceback, and 1
            traceback.print_exc()
            code = 1
    answer.send((code, out.getvalue(), err.getvalue()))
