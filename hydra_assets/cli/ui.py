"""`hydra-assets ui`: Dagster's webserver and daemon on loopback, over the home that the other commands use."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from hydra_assets.cli.console import WorldOption, console
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.errors import ConfigError

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 20


def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000,
    world: WorldOption = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="For looking only: nothing can be launched, started or changed.")] = False,
) -> None:
    """
    Open Dagster's UI on 127.0.0.1 over the same home; Ctrl-C stops webserver, daemon and code server.

    Other machines cannot reach it, and other pages of your browser cannot drive it.
    """
    home = resolve_home(world)
    home.create()
    if _taken(port):
        raise ConfigError(f"port {port} on 127.0.0.1 is taken; choose another with --port")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's stop is a Ctrl-C
    with only_one_daemon(home) as lock:
        process = start_dagster(home, port, read_only=read_only, lock=lock)
        try:
            _wait_until_up(process, port)
            console.print(f"[bold]http://127.0.0.1:{port}[/]  world [bold]{home.world}[/], home {home.root}", soft_wrap=True)
            console.print("Schedules and sensors are shipped stopped; start them under Automation. Ctrl-C stops everything.")
            process.wait()
        except KeyboardInterrupt:
            console.print("stopping ...")
        finally:
            stop(process)


def start_dagster(home: Home, port: int, *, read_only: bool = False, lock: int | None = None) -> "subprocess.Popen[bytes]":
    """
    Start Dagster behind its guard over *home*, in a process group of its own so that all of it can be stopped.

    Args:
        lock: the descriptor of the daemon lock, held on by what is started even if this process is killed.
    """
    home.prepare_dagster()
    # Not inherited by chance: what the runs of this UI read is what its banner says.
    environment = {**os.environ, "DAGSTER_HOME": str(home.dagster), "HYDRA_WORLD": home.world, "HYDRA_HOME": str(home.base)}
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "hydra_assets.host.serve",
        "--port",
        str(port),
        *(["--read-only"] if read_only else []),
    ]
    return subprocess.Popen(command, env=environment, cwd=home.dagster, start_new_session=True, pass_fds=[] if lock is None else [lock])


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the whole group to stop, and end what has not after a while."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            console.print("still running; ending it")
    try:
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@contextmanager
def only_one_daemon(home: Home) -> Iterator[int]:
    """Hold the home's daemon lock: two daemons on one instance would run every tick twice."""
    path = Path(home.root) / "daemon.lock"
    with path.open("a+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            held.seek(0)
            raise ConfigError(
                f"a daemon runs already on {home.root} (pid {held.read().strip() or 'unknown'}); stop that one first"
            ) from error
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        yield held.fileno()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _wait_until_up(process: "subprocess.Popen[bytes]", port: int) -> None:
    import requests

    deadline = time.monotonic() + START_TIMEOUT_S
    with console.status("starting Dagster ..."):
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ConfigError(f"Dagster stopped at start with exit code {process.returncode}; its messages are above")
            try:
                if requests.get(f"http://127.0.0.1:{port}/server_info", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.5)
    raise ConfigError(f"Dagster did not answer on port {port} within {START_TIMEOUT_S} s")
