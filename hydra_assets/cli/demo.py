"""`hydra-assets demo`."""

from typing import Annotated

import typer


def demo(quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress bars.")] = False) -> None:
    """Vendor bytes to point-in-time answers for Lean Hogs 2025, without a key or a network, in about a minute."""
    from hydra_assets.cli.walkthrough import walk_through  # Arrow and pandas take a second to load; --help needs neither

    if not walk_through(quiet=quiet):
        raise typer.Exit(1)
