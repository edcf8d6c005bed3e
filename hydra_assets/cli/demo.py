"""`hydra-assets demo`."""

from typing import Annotated

import typer

from hydra_assets.cli.console import stopping


@stopping()
def demo(quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress bars.")] = False) -> None:
    """Vendor bytes to point-in-time answers for Lean Hogs 2025, without a key or a network, in about a minute."""
    from hydra_assets.cli.walkthrough import walk_through  # Arrow and pandas take a second to load; --help needs neither

    walk_through(quiet=quiet)
