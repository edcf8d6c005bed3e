"""The command `hydra-assets`: one Typer application; a HydraError becomes one line and exit code 1."""

import os
import sys
from typing import Annotated

import typer

from hydra_assets import __version__, log
from hydra_assets.cli import (
    audit,
    backfill,
    catalogue,
    causal,
    demo,
    doctor,
    export,
    lake,
    lint,
    prove,
    quote,
    read,
    report,
    settings,
    store,
    ui,
    vendor,
    verify,
)
from hydra_assets.cli.console import errors
from hydra_assets.command import PROGRAM, command, program
from hydra_assets.errors import HydraError

app = typer.Typer(
    name="hydra-assets",
    help="Data assets for thin commodity futures in which nothing can be read before it could have been known.",
    epilog=f"Start with: {command('demo')}. Then: {command('ui')}.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # wraps docstring paragraphs to the width of the terminal
    pretty_exceptions_enable=False,  # they print locals, which may hold a key, and never end on errors that cause each other
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(ui.ui)
app.command()(backfill.backfill)
app.command()(read.features)
app.command()(read.history)
app.command()(read.explain)
app.command()(report.report)
app.command()(export.export)
app.command()(quote.quote)
app.command()(catalogue.catalogue)
app.command()(prove.prove)
app.command()(lint.lint)
app.command()(audit.audit)
app.command()(causal.causal)
app.command()(verify.verify)
app.command()(doctor.doctor)
app.command("sample-vendor", help=vendor.HELP)(vendor.sample_vendor)
app.add_typer(lake.app, name="lake")
app.add_typer(store.app, name="store")
app.add_typer(settings.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _version_flag: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens to standard error.")] = False,
) -> None:
    if verbose or "structlog" in sys.modules:  # else it is set up by whoever first has something to say
        log.configure(level="info" if verbose else None)


def main() -> None:
    """Run the command line."""
    os.umask(os.umask(0o077) | 0o027)  # what Dagster and other libraries make in a home is not for everybody either
    helps = {"-h", "--help"} & set(sys.argv)
    try:
        app(prog_name=PROGRAM if helps else program())  # an error's hint at -h is typed as it stands
    except HydraError as error:
        errors.print(f"[bold red]error[/] {log.mask(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
