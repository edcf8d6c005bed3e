"""Dagster's webserver, daemon and code server as one process group on loopback: start, wait, stop; one daemon a home."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra_assets.config.home import Home, put_dagster_yaml
from hydra_assets.errors import ConfigError
from hydra_assets.private_files import make_file

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 20
DAEMON_LOCK = "daemon.lock"


@contextmanager
def only_one_daemon(home: Home) -> Iterator[int]:
    """Hold the home's daemon lock, since two daemons on one instance would run every tick twice; yield its file descriptor."""
    make_file(home.root / DAEMON_LOCK)
    with (home.root / DAEMON_LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConfigError(
                f"a daemon runs already on {home.root} (pid {file.read().strip() or 'unknown'}); stop that one first"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


@contextmanager
def readable_dagster(home: Home) -> Iterator[Path]:
    """``DAGSTER_HOME`` of *home*; where it may only be read a copy of it as it is now, since Dagster writes into whatever it opens."""
    if home.obstacle() is None:
        home.prepare_dagster()
        yield home.dagster
        return
    with tempfile.TemporaryDirectory(prefix="hydra-dagster-") as folder:
        copy = Path(folder) / "dagster"
        if home.dagster.exists():
            shutil.copytree(home.dagster, copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
        put_dagster_yaml(copy)
        yield copy


def start_dagster(
    home: Home, port: int, *, read_only: bool = False, lock: int | None = None, folder: Path | None = None
) -> "subprocess.Popen[bytes]":
    """
    Start Dagster behind its guard over *home*, in a process group of its own.

    Args:
        home: the world's folders.
        port: on 127.0.0.1.
        read_only: refuse every change through the UI.
        lock: descriptor of the daemon lock; the started processes hold it on if this one is killed.
        folder: ``DAGSTER_HOME``, of `readable_dagster`; None: the home's own.
    """
    if folder is None:
        home.prepare_dagster()
        folder = home.dagster
    # Set explicitly: the runs of this UI read the home that its banner names, whatever the shell exports.
    environment = {**os.environ, "DAGSTER_HOME": str(folder), "HYDRA_WORLD": home.world, "HYDRA_HOME": str(home.base)}
    command = [sys.executable, "-W", "ignore", "-m", "hydra_assets.host.serve", "--port", str(port)]
    command += ["--read-only"] if read_only else []
    return subprocess.Popen(command, env=environment, cwd=folder, start_new_session=True, pass_fds=[] if lock is None else [lock])


def wait_until_up(process: "subprocess.Popen[bytes]", port: int) -> None:
    """
    Return once the webserver answers on *port*.

    Raises:
        ConfigError: the process ended, or gave no answer within START_TIMEOUT_S.
    """
    import requests

    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ConfigError(f"Dagster stopped at start with exit code {process.returncode}; its messages are above")
        try:
            if requests.get(f"http://127.0.0.1:{port}/server_info", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise ConfigError(f"Dagster did not answer on port {port} within {START_TIMEOUT_S} s")


def stop(process: "subprocess.Popen[bytes]", *, is_up: bool = True) -> None:
    """
    Interrupt the process group; kill it if it still runs after STOP_TIMEOUT_S.

    Args:
        process: of `start_dagster`.
        is_up: whether it has answered; one that only loads its code has nothing to finish, and is killed before it prints where it was.
    """
    if not is_up and process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    if process.poll() is None and is_up:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print("still running; ending it")
    try:
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def port_is_free(port: int) -> bool:
    """Whether a server could listen on *port* of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
