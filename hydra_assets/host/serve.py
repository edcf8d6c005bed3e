"""
Process of `hydra-assets ui`: a code server, the daemon, and Dagster's webserver behind the loopback guard.

It does the work of `dagster dev`, but serves the web application itself so that the guard stands in front.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Self

import dagster as dg
import yaml
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget
from dagster._utils.log import configure_loggers

from hydra_assets.host.orphans import fail_orphans

if TYPE_CHECKING:
    import uvicorn

POLL_MS = 2000
POLL_S = 0.1
STOP_TIMEOUT_S = 15
DEFINITIONS = "hydra_assets.definitions"


def serve(port: int, *, read_only: bool, module: str = DEFINITIONS) -> int:
    """
    Serve the definitions of *module* over ``DAGSTER_HOME`` on 127.0.0.1 until interrupted.

    Args:
        port: on 127.0.0.1.
        read_only: refuse every change through the UI, and start no daemon.
        module: an importable module with Dagster definitions.

    Returns:
        Exit code: 0 after an interrupt, 1 if the daemon ended first.
    """
    configure_loggers(log_level="WARNING")
    target = ModuleTarget(module_name=module, attribute=None, working_directory=str(Path.cwd()), location_name=module)
    with dg.DagsterInstance.get() as instance, _code_server(instance, target) as code, tempfile.TemporaryDirectory() as folder:
        if not read_only:
            fail_orphans(instance)
        workspace = Path(folder) / "workspace.yaml"
        workspace.write_text(yaml.safe_dump({"load_from": [dict(spec) for spec in code.get_code_server_specs()]}), encoding="utf-8")
        specs = WorkspaceFileTarget([str(workspace)])
        with WorkspaceProcessContext(instance, specs, version=dg.__version__, read_only=read_only) as context:
            server = _server(context, port)
            with nullcontext() if read_only else _Daemon(server, workspace) as daemon:
                try:
                    server.run()
                except KeyboardInterrupt:
                    return 0
                return 1 if daemon is not None and daemon.ended else 0


@contextmanager
def _code_server(instance: dg.DagsterInstance, target: ModuleTarget) -> Iterator[ProxyServerManager]:
    """The process that has loaded the definitions; the web application is loaded here while it starts, seconds each."""
    with ThreadPoolExecutor(1) as starter:
        starting = starter.submit(ProxyServerManager, instance, target, code_server_log_level="warning")
        import dagster_webserver.app  # noqa: F401

        manager = starting.result()
    with manager:
        yield manager


def _server(context: WorkspaceProcessContext, port: int) -> "uvicorn.Server":
    """Dagster's web application behind the guard, with the desk pages and the landing page."""
    import uvicorn
    from dagster_webserver.app import create_app_from_workspace_process_context

    from hydra_assets.host.desk_pages import DeskPages
    from hydra_assets.host.guard import LoopbackGuard
    from hydra_assets.host.landing import Landing

    dagster = create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MS)
    app = LoopbackGuard(DeskPages(Landing(dagster), context.instance), port=port)
    return uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=2))


class _Daemon:
    """
    The daemon beside *server*: started once the page answers, ended with it, and the server with the daemon, since a UI without one
    would accept backfills that never run.

    Attributes:
        ended: the daemon ended first.
    """

    def __init__(self, server: "uvicorn.Server", workspace: Path) -> None:
        self.ended = False
        self._server, self._workspace = server, workspace
        self._lock, self._closed = threading.Lock(), False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _run(self) -> None:
        while not self._server.started:
            time.sleep(POLL_S)
        # Errors alone: in a new home it warns of cursors that it has not got yet.
        command = [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "--log-level", "error", "-w", str(self._workspace)]
        with self._lock:
            if self._closed:
                return
            self._process = subprocess.Popen(command)
        code = self._process.wait()
        if not self._server.should_exit:
            self.ended = True
            print(f"the daemon ended with exit code {code}; stopping", file=sys.stderr)
            self._server.should_exit = True


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="hydra_assets.host.serve", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--module", default=DEFINITIONS, help="module of the definitions to serve")
    arguments = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = "ignore"  # silences Dagster's deprecation warnings in child processes
    os.environ["DAGSTER_IS_DEV_CLI"] = "1"  # lets the UI offer to reload definitions, as `dagster dev` does
    sys.exit(serve(arguments.port, read_only=arguments.read_only, module=arguments.module))


if __name__ == "__main__":
    main()
