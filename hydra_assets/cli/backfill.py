"""`hydra-assets backfill`: months of one market, all assets and checks, as one run that continues an earlier one."""

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hydra_assets.cli.console import (
    STOPPED,
    JsonOption,
    MarketArgument,
    MonthsArgument,
    WorldOption,
    console,
    doing,
    parse_months,
    print_json,
    progress_bar,
    split_names,
    stopping,
)
from hydra_assets.cli.quote import AgainOption, Price, lacking, price_of, show_price
from hydra_assets.cli.tables import show_table
from hydra_assets.command import INTERRUPTED, command
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.errors import BudgetError, ConfigError
from hydra_assets.host.outcome import GapGroup, RunOutcome

if TYPE_CHECKING:
    from hydra_assets.config.load import Config

SHOWN = 6  # reasons of one table's gaps


@stopping()
def backfill(
    market: MarketArgument,
    months: MonthsArgument,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            "--assets",
            help="Only these tables or groups (raw, derived, features), or patterns ('cot_*'); several with commas or by repeating."
            " Default: all.",
            show_default=False,
        ),
    ] = None,
    again: AgainOption = False,
    up_to_budget: Annotated[
        bool, typer.Option("--up-to-budget", help="Live world: fetch what the budgets allow; the rest are gaps, for another day.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Live world: do not ask before paying what the quote says.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress bar.")] = False,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Fetch, compute and check MONTHS of MARKET through Dagster, as the UI would, in one run.

    What is captured already is not fetched again: a run that failed or was stopped with Ctrl-C keeps what it had, and the same
    command goes on from there. A day that is not out yet is a gap with its reason, and the next run asks for it again. In the live
    world the price is shown first, and you are asked; where the whole does not fit the budgets, nothing is begun unless --up-to-budget.

    Exit code 0 also with warnings, which are listed; 1 where a step or a blocking check failed.
    """
    from hydra_assets.config.load import load_config  # numpy and Arrow take a while to load; --help needs neither

    config, home, wanted = load_config(), resolve_home(world), parse_months(months)
    config.market(market)
    home.create_to_write()
    names = split_names(select) or None
    with progress_bar(quiet=quiet or as_json) as progress:
        loading = progress.add_task("starting Dagster", total=None)
        from hydra_assets.host.runs import MarketRun, selected

        run, tables = MarketRun(home, market, wanted, names, again=again, up_to_budget=up_to_budget), selected(names)
        progress.remove_task(loading)
    if home.world == "live":
        if as_json and not yes:
            price_first = command(f"quote {market} {months}", world=home.world)
            raise ConfigError(f"--json in the live world cannot ask whether to pay; see the price: {price_first}; then add --yes")
        from hydra_assets.cli.reach import refuse_without_network

        price = price_of(home, config, market, wanted, tables, again=again)
        if not price.rows:
            refuse_without_network(config, tables)
        if price.rows:  # else what is selected is free
            _ask_first(price, home, config, f"{market} {months}", up_to_budget=up_to_budget, yes=yes, quiet=as_json)
    started = time.monotonic()
    with progress_bar(quiet=quiet or as_json) as progress:
        task = progress.add_task(f"{market} {months}", total=run.steps)
        run.execute(lambda done, step: progress.update(task, completed=done, description=doing(f"{market} {months}", step)))
    _report(run.result(), home, market, months, time.monotonic() - started, as_json=as_json)


def _ask_first(price: Price, home: Home, config: "Config", what: str, *, up_to_budget: bool, yes: bool, quiet: bool) -> None:
    """
    Show what the whole costs and ask whether to pay it.

    Raises:
        BudgetError: it does not fit the budgets, and was not asked for as far as they go.
    """
    if not quiet:
        show_price(price, home, config, what)
    lines = lacking(price, home, config)
    if lines and not up_to_budget:
        raise BudgetError(f"{what} costs ${price.usd:,.4f}: {'; '.join(lines)}; or add --up-to-budget. Nothing was requested")
    if not yes:
        typer.confirm(f"Pay {'what the budgets allow of ' if lines else ''}${price.usd:,.4f} and go on?", abort=True)


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
            "tables": [
                {**dataclasses.asdict(table), "gaps_by_reason": [str(group) for group in table.gaps_by_reason]} for table in outcome.tables
            ],
            "checks": [dataclasses.asdict(check) for check in outcome.checks],
            "failures": outcome.failures,
        }
        print_json(document)
    else:
        _print(outcome, home, market, months)
        if outcome.interrupted:
            console.print(STOPPED)
        else:
            ui = command("ui", world=home.world)
            console.print(f"Done in {seconds:,.0f} s. The run is in the UI too ({ui}): {outcome.run_id[:8]}", soft_wrap=True)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not outcome.ok:
        raise typer.Exit(1)


def _print(outcome: RunOutcome, home: Home, market: str, months: str) -> None:
    empty = _without_options(market)
    rows = []
    for row in outcome.tables:
        checks = [check for check in outcome.checks if check.asset == row.table and check.applies]
        passed = sum(check.passed for check in checks)
        colour = {"done": "green", "failed": "red"}.get(row.status, "yellow")
        counts = (
            f"{row.months:,}",
            f"{row.new_rows:,}",
            "-" if row.table in empty else f"{len(row.gaps):,}",
            f"{row.paid_usd:,.4f}",
            f"{passed} of {len(checks)}" if checks else "-",
        )
        rows.append((row.table, f"[{colour}]{row.status}[/]", *counts))
    headings, least = ("table", "status", "months", "new rows", "gaps", "paid $", "passed"), ["months", "paid $", "passed", "new rows"]
    show_table(f"{market} {months} ({home.world} world)", headings, rows, left=headings[:2], least=least)
    if empty & {row.table for row in outcome.tables}:
        named = ", ".join(row.table for row in outcome.tables if row.table in empty)
        console.print(
            f"[dim]no rows[/]  {market} has no option_roots in its settings, so {named} stay empty", highlight=False, soft_wrap=True
        )
    for line in outcome.failures:
        console.print(f"[bold red]failed[/]   {line}", highlight=False, soft_wrap=True)
    for check in (*outcome.failed_checks, *(warning for warning in outcome.warnings if warning.asset not in empty)):
        status = "[yellow]warning[/] " if check.warning else "[bold red]failed[/]  "
        console.print(f"{status} {check.asset} {check.name}: {check.verdict}; {check.looked_at}", highlight=False, soft_wrap=True)
    idle: dict[tuple[str, str], list[str]] = {}
    for check in outcome.checks:
        if not check.applies:
            idle.setdefault((check.name, check.looked_at), []).append(check.asset)
    for (name, looked_at), assets in idle.items():
        console.print(f"[dim]not applicable[/] {name} of {', '.join(assets)}: {looked_at}", highlight=False, soft_wrap=True)
    for row in outcome.tables:
        if row.table not in empty:
            _print_gaps(row.table, row.gaps_by_reason)


def _without_options(market: str) -> set[str]:
    """The tables that stay empty for a market without listed options."""
    from hydra_assets.config.load import load_config
    from hydra_assets.core.tables.registry import TABLES

    return set() if load_config().market(market).option_roots else {table.name for table in TABLES.values() if table.needs_options}


def _print_gaps(table: str, groups: Sequence[GapGroup]) -> None:
    for group in groups[:SHOWN]:
        console.print(f"[dim]gap[/]      {table} {group}", highlight=False, soft_wrap=True)
    if len(groups) > SHOWN:
        more, last = sum(group.count for group in groups[SHOWN:]), max(group.last for group in groups)
        console.print(f"[dim]gap[/]      {table}: {more:,} more, until {last}; --json lists all", highlight=False)
