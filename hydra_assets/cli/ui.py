"""`hydra-assets ui`: Dagster's webserver and daemon on loopback, over the home that the other commands use."""

import contextlib
import signal
from typing import Annotated

import typer

from hydra_assets.cli.console import WorldOption, console
from hydra_assets.config.home import resolve_home
from hydra_assets.errors import ConfigError, StorageError


def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000,
    world: WorldOption = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="For looking only: nothing can be launched, started or changed.")] = False,
) -> None:
    """
    Open Dagster's UI on 127.0.0.1 over the same home; Ctrl-C stops webserver, daemon and code server.

    With --read-only no daemon is started: it runs beside another one, and over a home that may only be read.

    Other machines cannot reach it, and other pages of your browser cannot drive it.
    """
    from hydra_assets.host.webserver import only_one_daemon, port_is_free, readable_dagster, start_dagster, stop, wait_until_up

    home = resolve_home(world)
    home.create()
    obstacle = None if read_only else home.obstacle()
    if obstacle is not None:
        raise StorageError(f"{obstacle.place} {obstacle.reason}; look with --read-only, or, to write: {obstacle.remedy}")
    if not port_is_free(port):
        raise ConfigError(f"port {port} on 127.0.0.1 is taken; choose another with --port")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's stop is a Ctrl-C
    with contextlib.nullcontext() if read_only else only_one_daemon(home) as lock, readable_dagster(home) as folder:
        process, is_up = start_dagster(home, port, read_only=read_only, lock=lock, folder=folder), False
        try:
            with console.status("starting Dagster ..."):
                wait_until_up(process, port)
            is_up = True
            console.print(f"[bold]http://127.0.0.1:{port}[/]  world [bold]{home.world}[/], home {home.root}", soft_wrap=True)
            console.print(f"Desk pages, each market as known at an instant: http://127.0.0.1:{port}/desk", soft_wrap=True)
            if read_only:
                console.print("For looking only, without a daemon. Ctrl-C stops it.")
            else:
                console.print("Schedules and sensors are shipped stopped; start them under Automation. Ctrl-C stops everything.")
            process.wait()
        except KeyboardInterrupt:
            console.print("stopping ...")
        finally:
            stop(process, is_up=is_up)
