"""Narrative of `hydra-assets demo`: the whole path on the embedded vendor, beside a naive join and its errors."""

import datetime as dt
import time
from typing import Any

import numpy as np
from rich.table import Table

from hydra_assets import desk as desks
from hydra_assets.cli.console import console, doing, instant, number, progress_bar
from hydra_assets.cli.tables import show_table
from hydra_assets.command import command
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.core.months import months_between
from hydra_assets.desk import Desk
from hydra_assets.errors import RunFailedError
from hydra_assets.proof.naive import compare_with_naive

MARKET = "HE"
YEAR = 2025  # the embedded vendor's real rows
WARM_UP = ("2022-01", "2024-12")  # 156 weeks of positioning, three seasons of carry
# These features use the current report alone, so no synthetic warm-up row enters them.
SHOWN = "cot_mm_net"
REAL = ("cot_mm_net", "cot_mm_net_oi", "cot_prod_net_oi", "cot_swap_net_oi", "cot_hedge_pressure", "cot_top4_net")
MONDAY = 0
WEDNESDAY = 2  # the day after the count, when a join by as_of already uses it
AUTUMN = (dt.date(2025, 9, 22), dt.date(2025, 12, 31))
SESSION = dt.date(2025, 12, 3)
PRICED = ("fut_ret_1d", "fut_rv_21", "fut_carry_ann", "fut_curve_slope")
WHOLE = "the README shows it whole"
SAMPLE_WEEK = dt.date(2025, 8, 26)


def walk_through(*, quiet: bool) -> None:
    """
    Materialise the demo's months and show them.

    Raises:
        RunFailedError: a step or a blocking check failed; nothing is shown then.
        KeyboardInterrupt: Ctrl-C ended the run.
    """
    started = time.monotonic()
    home = resolve_home("sample")
    home.create_to_write()
    console.print(f"[bold]hydra-assets demo[/]  world [bold]sample[/], home {home.root}", soft_wrap=True)
    console.print(
        "The embedded vendor serves the CFTC's own lean-hogs rows of 2025 (public domain); every other row, all prices among them,"
        " is [yellow]synthetic[/] and marked so.\n"
    )
    new_rows, result = _materialise(home, quiet=quiet)
    with desks.open("sample") as desk:
        _axes(desk)
        _side_by_side(desk)
        _one_session(desk)
    _verdicts(result)
    seconds = time.monotonic() - started
    console.print(f"\n[bold]Done in {seconds:.0f} s[/]; {new_rows:,} new rows in the lake{'' if new_rows else ': it held them all'}. Next:")
    lines = [
        (command(f"features {MARKET} --at 2025-10-20T12:00Z", world=home.world), "all as known then"),
        (command(f"explain {MARKET} {SHOWN} --at 2025-10-20T12:00Z", world=home.world), "what was withheld"),
        (command("ui", world=home.world), "the same in Dagster"),
    ]
    width = max(len(line) for line, _ in lines)
    for line, what in lines:
        console.print(f"  {line:<{width}}  [dim]{what}[/]", soft_wrap=True)


def _materialise(home: Home, *, quiet: bool) -> tuple[int, Any]:
    """Ingest the warm-up history without Dagster, then run 2025 through it so that the UI shows it."""
    with progress_bar(quiet=quiet) as progress:
        loading = progress.add_task("starting Dagster and the embedded vendor", total=None)
        from hydra_assets.host.ingest import (  # Dagster takes seconds to import: show something first
            WARM_UP_TABLES,
            ingest,
            report_ingested,
        )
        from hydra_assets.host.runs import MarketRun

        progress.remove_task(loading)
        months = months_between(*WARM_UP)
        warm = progress.add_task(f"{WARM_UP[0]}..{WARM_UP[1]} warm-up", total=len(WARM_UP_TABLES) * len(months))
        new_rows = 0
        for table, rows in ingest(home, MARKET, months):
            new_rows += rows
            progress.update(warm, advance=1, description=doing(f"{WARM_UP[0]}..{WARM_UP[1]} warm-up", table))
        report_ingested(home, MARKET, months)
        keys = months_between(f"{YEAR}-01", f"{YEAR}-12")
        run = MarketRun(home, MARKET, keys)
        what = f"{keys[0]}..{keys[-1]} through Dagster"
        task = progress.add_task(what, total=run.steps)
        run.execute(lambda done, step: progress.update(task, completed=done, description=doing(what, step)))
        result = run.result()
        if result.interrupted:
            raise KeyboardInterrupt
        failed = [*result.failures, *(f"{check.asset} {check.name}: {check.looked_at}" for check in result.failed_checks)]
        if failed:
            raise RunFailedError(f"{'; '.join(failed)}; see the run in the UI: {command('ui', world=home.world)}")
        progress.update(task, completed=run.steps)
    return new_rows + result.new_rows, result


def _axes(desk: Desk) -> None:
    """One real report on its three axes."""
    row = next(
        row
        for row in desk.store.get_feature_history(MARKET, SHOWN, _midnight(SAMPLE_WEEK), _midnight(SAMPLE_WEEK))
        if row["as_of"].date() == SAMPLE_WEEK
    )
    table = Table(title=f"(a) One real week: {MARKET} {SHOWN} = {number(row['value'])} contracts", title_justify="left")
    for heading in ("axis", "instant (UTC)", "what it says"):
        table.add_column(heading, no_wrap=heading != "what it says")
    table.add_row("as_of", f"{row['as_of']:%a %Y-%m-%d}", "the Tuesday whose positions were counted")
    table.add_row(
        "available_at", f"{row['available_at']:%a} {instant(row['available_at'])}", "Friday 15:30 New York: nobody could know it before"
    )
    table.add_row("recorded_at", f"{row['recorded_at']:%a} {instant(row['recorded_at'])}", "when this store wrote it down")
    console.print(table)


def _side_by_side(desk: Desk) -> None:
    """Join the autumn of 2025 both ways, and count the naive join's early values of the year."""
    autumn = compare_with_naive(desk.store, MARKET, SHOWN, desks.sessions(MARKET, *AUTUMN))
    title = f"(b) The shutdown of 2025: {MARKET} {SHOWN} at 18:30 Chicago, joined two ways"
    headings = ("row", "naive", "as of", "point in time", "as of", "the naive cell")
    left = [heading for heading in headings if heading not in ("naive", "point in time")]
    rows = []
    for i, t in enumerate(autumn.times):
        wrong = bool(autumn.cheated[i])
        if t.weekday() != WEDNESDAY and (t.weekday() != MONDAY or wrong):
            continue
        rows.append(
            (
                f"{t:%a %m-%d}",
                f"[red]{number(autumn.naive[i])}[/]" if wrong else number(autumn.naive[i]),
                _day(autumn.naive_as_of[i]),
                number(autumn.honest[i]),
                _day(autumn.honest_as_of[i]),
                f"[red]wrong, {autumn.early_days[i]:.0f} days early[/]" if wrong else "[green]right[/]",
            )
        )
    show_table(title, headings, rows, left=left, least=["as of"], remedy=WHOLE)
    year = desks.sessions(MARKET, dt.date(YEAR, 1, 10), dt.date(YEAR, 12, 31))
    comparisons = [compare_with_naive(desk.store, MARKET, feature, year) for feature in REAL]
    cells, cheated = sum(len(c.times) for c in comparisons), sum(int(c.cheated.sum()) for c in comparisons)
    days = int(np.any([c.cheated for c in comparisons], axis=0).sum())
    worst = max(float(c.early_days.max()) for c in comparisons)
    console.print(
        f"Over {YEAR}, in {len(REAL)} features that use real rows only, the naive join used [bold red]{cheated:,} of {cells:,} values[/]"
        f" before they existed, on [bold red]{days} of {len(year)} days[/]; the earliest by {worst:.0f} days."
    )


def _one_session(desk: Desk) -> None:
    """Show when each number of a synthetic session was known, and count the early values of a join by date at noon."""
    day = _midnight(SESSION)
    statistics = desk.lake.read("futures_statistics", MARKET, SESSION, SESSION)  # lookahead-ok: the demo shows when each print was known
    continuous = desk.lake.read("futures_continuous", MARKET, SESSION, SESSION)  # lookahead-ok: names the contract to show
    front = continuous["contract"][-1].as_py()
    prints = [row for row in statistics.sort_by("stamped_at").to_pylist() if row["instrument"] == front]
    numbers = [(f"{row['stat'].replace('_', ' ')}{_kind(row['is_final'])}", number(row["value"]), row["available_at"]) for row in prints]
    bars = desk.lake.read("futures_bars", MARKET, SESSION, SESSION)  # lookahead-ok: the demo shows when each bar was known
    (bar,) = [row for row in bars.to_pylist() if row["instrument"] == front]
    numbers.append(("daily bar, last trade", number(bar["close"]), bar["available_at"]))
    for name in PRICED[:2]:
        (vintage, *_) = desk.store.get_feature_history(MARKET, name, day, day)
        numbers.append((f"feature {name}", number(vintage["value"]), vintage["available_at"]))
    title = f"(c) A synthetic session, {SESSION:%a %Y-%m-%d}, {front}"
    rows = [(what, value, f"{known:%a} {instant(known)}") for what, value, known in sorted(numbers, key=lambda line: line[2])]
    show_table(title, ("number", "value", "known from (UTC)"), rows, left=["number", "known from (UTC)"], remedy=WHOLE)
    noon = desks.sessions(MARKET, dt.date(YEAR, 1, 2), dt.date(YEAR, 12, 31), at="12:00")
    comparisons = [compare_with_naive(desk.store, MARKET, feature, noon) for feature in PRICED]
    cells, cheated = sum(len(c.times) for c in comparisons), sum(int(c.cheated.sum()) for c in comparisons)
    console.print(
        f"Asked at noon in Chicago, before the close, a join by date used [bold red]{cheated:,} of {cells:,} values[/] of"
        f" {len(PRICED)} price features before they existed."
    )


def _kind(is_final: bool | None) -> str:
    return "" if is_final is None else ", final" if is_final else ", preliminary"


PROOFS = ("no_lookahead", "replay")


def _verdicts(result: Any) -> None:
    """Show the proofs one by one, other passed checks in a line a table, and each check that did not pass."""
    table = Table(title="(d) What the checks say", title_justify="left")
    for heading in ("asset", "check", "verdict", "what was looked at"):
        table.add_column(heading, no_wrap=heading in ("asset", "verdict"))
    passed: dict[str, list[Any]] = {}
    not_applicable: dict[tuple[str, str], int] = {}
    for check in result.checks:
        if check.passed and check.name not in PROOFS:
            if check.verdict == "passed":
                passed.setdefault(check.asset, []).append(check)
            else:  # nothing to look at, and no fault
                not_applicable[check.name, check.looked_at] = not_applicable.get((check.name, check.looked_at), 0) + 1
            continue
        colour = "green" if check.passed else "yellow" if check.warning else "red"
        table.add_row(check.asset, check.name, f"[{colour}]{check.verdict}[/]", check.looked_at)
    for asset, checks in passed.items():
        table.add_row(asset, f"{len(checks)} checks", "[green]passed[/]", ", ".join(check.name for check in checks))
    for (name, looked_at), tables in not_applicable.items():
        table.add_row(f"{tables} tables", name, "-", looked_at)
    console.print(table)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def _day(us: int) -> str:
    return "-" if us < 0 else f"{dt.datetime.fromtimestamp(us / 1e6, dt.UTC):%m-%d}"
