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
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import dagster as dg
import uvicorn
import yaml
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context

from hydra_assets.host.desk_pages import DeskPages
from hydra_assets.host.guard import LoopbackGuard
from hydra_assets.host.landing import Landing
from hydra_assets.host.orphans import fail_orphans

POLL_MS = 2000
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
    with (
        dg.DagsterInstance.get() as instance,
        ProxyServerManager(instance, target, code_server_log_level="warning") as code,
        tempfile.TemporaryDirectory() as folder,
    ):
        if not read_only:
            fail_orphans(instance)
        workspace = Path(folder) / "workspace.yaml"
        workspace.write_text(yaml.safe_dump({"load_from": [dict(spec) for spec in code.get_code_server_specs()]}), encoding="utf-8")
        with (
            nullcontext() if read_only else _daemon(workspace) as daemon,
            WorkspaceProcessContext(
                instance, WorkspaceFileTarget([str(workspace)]), version=dg.__version__, read_only=read_only
            ) as context,
        ):
            dagster = create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MS)
            app = LoopbackGuard(DeskPages(Landing(dagster), instance), port=port)
            server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=2))
            if daemon is not None:
                threading.Thread(target=_stop_with_daemon, args=(daemon, server), daemon=True).start()
            try:
                server.run()
            except KeyboardInterrupt:
                return 0
            return 0 if daemon is None or daemon.poll() is None else 1


@contextmanager
def _daemon(workspace: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "--log-level", "warning", "-w", str(workspace)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stop_with_daemon(daemon: "subprocess.Popen[bytes]", server: uvicorn.Server) -> None:
    """Stop the server when the daemon ends: a UI without one would accept backfills that never run."""
    code = daemon.wait()
    if not server.should_exit:
        print(f"the daemon ended with exit code {code}; stopping", file=sys.stderr)
        server.should_exit = True


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
