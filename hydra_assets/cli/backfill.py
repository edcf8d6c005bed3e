"""`hydra-assets backfill`: months of one market, all assets and checks, as one run that continues an earlier one."""

import dataclasses
import time
from typing import Annotated, Any

import typer
from rich.table import Table

from hydra_assets.cli.console import (
    JsonOption,
    MarketArgument,
    MonthsArgument,
    WorldOption,
    console,
    parse_months,
    print_json,
    progress_bar,
    split_names,
)
from hydra_assets.cli.quote import price_of, show_price
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.config.load import Config, load_config
from hydra_assets.core.months import Month
from hydra_assets.errors import ConfigError
from hydra_assets.host.outcome import Gap, RunOutcome

SHOWN = 6  # gaps of one table
SHOWN_CHARACTERS = 110  # of a step's progress
INTERRUPTED = 130  # exit code of shells after Ctrl-C


def backfill(
    market: MarketArgument,
    months: MonthsArgument,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            "--assets",
            help="Only these tables or groups (raw, derived, features); several with commas or by repeating. Default: all.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Live world: do not ask before paying what the quote says.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress bar.")] = False,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Fetch, compute and check MONTHS of MARKET through Dagster, as the UI would, in one run.

    What is captured already is not fetched again: a run that failed or was stopped with Ctrl-C keeps what it had, and the same
    command goes on from there. A day that is not out yet is a gap with its reason, and the next run asks for it again. In the live
    world the price is shown first, and you are asked.

    Exit code 0 also with warnings, which are listed; 1 where a step or a blocking check failed.
    """
    config, home, wanted = load_config(), resolve_home(world), parse_months(months)
    config.market(market)
    names = split_names(select) or None
    with progress_bar(quiet=quiet or as_json) as progress:
        loading = progress.add_task("starting Dagster", total=None)
        from hydra_assets.host.runs import MarketRun, selected

        run, tables = MarketRun(home, market, wanted, names), selected(names)
        progress.remove_task(loading)
    if home.world == "live":
        _ask_first(home, config, market, wanted, tables, yes=yes, as_json=as_json)
    started = time.monotonic()
    with progress_bar(quiet=quiet or as_json) as progress:
        task = progress.add_task(f"{market} {months}", total=run.steps)
        run.execute(lambda done, doing: progress.update(task, completed=done, description=_shortened(f"{market} {months} {doing}")))
    _report(run.result(), home, market, months, time.monotonic() - started, as_json=as_json)


def _ask_first(home: Home, config: Config, market: str, months: list[Month], tables: list[str], *, yes: bool, as_json: bool) -> None:
    """Show the price of what costs money and ask whether to pay it."""
    from hydra_assets.flow.feeds.databento import DatabentoSettings

    if as_json and not yes:
        raise ConfigError("--json in the live world cannot ask whether to pay; see the price with hydra-assets quote, then add --yes")
    if as_json:
        return
    price = price_of(home, config, market, months, tables)
    if not price.rows:
        return  # what is selected is free
    show_price(price, home, config, f"{market} {months[0]}..{months[-1]}")
    if price.usd > config.vendor("databento", DatabentoSettings).run_budget_usd:
        console.print("[yellow]More than a run may spend: it will be refused. Raise databento.run_budget_usd, or take fewer months.[/]")
    if not yes:
        typer.confirm(f"Pay ${price.usd:,.4f} and go on?", abort=True)


def _shortened(line: str) -> str:
    """*line* short enough to leave room for the bar."""
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"


def _report(outcome: RunOutcome, home: Home, market: str, months: str, seconds: float, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {
            "world": home.world,
            "market": market,
            "months": months,
            "run_id": outcome.run_id,
            "ok": outcome.ok,
            "interrupted": outcome.interrupted,
            "new_rows": outcome.new_rows,
            "paid_usd": sum(table.paid_usd for table in outcome.tables),
            "tables": [dataclasses.asdict(table) for table in outcome.tables],
            "checks": [dataclasses.asdict(check) for check in outcome.checks],
            "failures": outcome.failures,
        }
        print_json(document)
    else:
        _print(outcome, home, f"{market} {months}")
        if outcome.interrupted:
            console.print("[yellow]Stopped.[/] What had been appended is kept; the same command goes on from there.")
        else:
            console.print(f"Done in {seconds:,.0f} s. The run is in the UI too (hydra-assets ui): {outcome.run_id[:8]}")
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not outcome.ok:
        raise typer.Exit(1)


def _print(outcome: RunOutcome, home: Home, what: str) -> None:
    table = Table(title=f"{what} ({home.world} world)", title_justify="left")
    for heading in ("table", "status", "months", "new rows", "gaps", "paid $", "passed"):
        table.add_column(heading, justify="left" if heading in ("table", "status") else "right", no_wrap=True)
    for row in outcome.tables:
        checks = [check for check in outcome.checks if check.asset == row.table]
        passed = sum(check.passed for check in checks)
        colour = {"done": "green", "failed": "red"}.get(row.status, "yellow")
        counts = (
            f"{row.months:,}",
            f"{row.new_rows:,}",
            f"{len(row.gaps):,}",
            f"{row.paid_usd:,.4f}",
            f"{passed} of {len(checks)}" if checks else "-",
        )
        table.add_row(row.table, f"[{colour}]{row.status}[/]", *counts)
    console.print(table)
    for line in outcome.failures:
        console.print(f"[bold red]failed[/]   {line}", highlight=False, soft_wrap=True)
    for check in (*outcome.failed_checks, *outcome.warnings):
        status = "[yellow]warning[/] " if check.warning else "[bold red]failed[/]  "
        console.print(f"{status} {check.asset} {check.name}: {check.verdict}; {check.looked_at}", highlight=False, soft_wrap=True)
    for row in outcome.tables:
        _print_gaps(row.table, row.gaps)


def _print_gaps(table: str, gaps: tuple[Gap, ...]) -> None:
    for gap in gaps[:SHOWN]:
        console.print(f"[dim]gap[/]      {table} {gap.when}: {gap.reason}", highlight=False, soft_wrap=True)
    if len(gaps) > SHOWN:
        console.print(f"[dim]gap[/]      {table}: {len(gaps) - SHOWN:,} more, until {gaps[-1].when}; --json lists all", highlight=False)
