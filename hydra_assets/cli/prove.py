"""`hydra-assets prove`: prove a market's features, one line each."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hydra_assets.cli.console import JsonOption, WorldOption, console, print_json
from hydra_assets.cli.tables import PLAIN, show_table
from hydra_assets.command import command

if TYPE_CHECKING:
    from hydra_assets.proof.prove import Proof

Names = Annotated[list[str] | None, typer.Option("--feature", help="A feature to prove; may be given several times. Default: all.")]


def prove(
    market: Annotated[str, typer.Argument(help="A configured market, for example HE.")],
    feature: Names = None,
    full: Annotated[bool, typer.Option("--full", help="Recompute every stored value and poison every month; else a sample.")] = False,
    sample: Annotated[int, typer.Option(help="Rows recomputed for each family of features, without --full.", min=1)] = 100,
    seed: Annotated[int | None, typer.Option(help="Seed of the random sample. Default: another one every time, which is printed.")] = None,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Prove that no stored value of MARKET uses what could not have been known; exit code 1 where a proof fails.

    Replay draws instants and compares what stands in the store with what the raw rows that had arrived by then give, both ways. Poison
    makes everything that arrived later absurd and looks whether an answer moves. Both run in a fresh interpreter, in which features
    can open nothing. Lint reads the code, and says what it could not read. Coverage is the share of the stored non-null values
    that were recomputed: a feature with nothing but nulls, and a series that no registered feature claims, is unproven, never green.
    """
    from hydra_assets.desk import open as open_desk  # pandas and Arrow take a second to load; --help needs neither
    from hydra_assets.features.compute import plugin_faults
    from hydra_assets.proof.prove import chosen, unclaimed
    from hydra_assets.proof.prove import prove as proofs_of

    wanted, faults = chosen(feature), plugin_faults()
    seed = random.SystemRandom().randrange(1, 2**31) if seed is None else seed
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found: list[Proof] = []
    with open_desk(world) as desk, Progress(*columns, console=console, disable=as_json, transient=True) as progress:
        calendar = desk.config.market(market).calendar
        task = progress.add_task("reading", total=None)

        def step(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        settings: dict[str, Any] = {"rules": desk.config.option_rules, "calendar": calendar, "full": full, "sample": sample, "seed": seed}
        for proof in proofs_of(desk.lake, desk.store, market, wanted, step=step, **settings):
            found.append(proof)
        if not feature:
            found += unclaimed(desk.store, market)
        name = desk.world
    failed = [proof for proof in found if proof.verdict == "failed"]
    if as_json:
        rows = [{**vars(proof), "coverage": proof.coverage, "verdict": proof.verdict} for proof in found]
        left_out = [str(fault) for fault in faults]
        facts = {"world": name, "market": market, "full": full, "seed": seed, "features": rows, "failed": len(failed)}
        print_json({**facts, "left_out": left_out})
    else:
        _show(market, name, found)
        for proof in failed:
            console.print(f"[red]{proof.feature}[/] {escape(proof.first)}", soft_wrap=True, highlight=False)
        for proof in found:
            if proof.verdict == "unproven" and proof.first:
                console.print(f"[yellow]{proof.feature}[/] {escape(proof.first)}", soft_wrap=True, highlight=False)
        outdated = sorted({month for proof in found for month in proof.outdated})
        if outdated:
            months = f"{', '.join(outdated[:6])}{', ...' if len(outdated) > 6 else ''}"
            again = command(f"backfill {market} {outdated[0]}..{outdated[-1]}", world=name)
            console.print(f"[yellow]outdated[/] inputs of {months} are newer than their publish: {again}", soft_wrap=True)
        for fault in faults:
            console.print(f"[yellow]left out[/] {escape(str(fault))}", soft_wrap=True, highlight=False)
        counts = {verdict: sum(proof.verdict == verdict for proof in found) for verdict in ("proven", "unproven", "failed")}
        console.print(
            ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
            + ("" if full else f"; a sample: --full looks at everything; seed {seed}")
        )
    if failed:
        raise typer.Exit(1)


def _show(market: str, world: str, proofs: "Sequence[Proof]") -> None:
    headings, rows = ("feature", "replay", "bits", "poison", "lint", "coverage", "verdict"), []
    colours = {"proven": "green", "unproven": "yellow", "failed": "red"}
    for proof in proofs:
        right = proof.replayed - proof.differing
        rows.append(
            (
                proof.feature,
                f"{right:,}/{proof.replayed:,}",
                f"{proof.exact:,}",
                f"{proof.poisoned - proof.moved:,}/{proof.poisoned:,}",
                str(proof.lint) if proof.lint else "not read" if proof.unread or proof.family == "-" else "ok",
                f"{proof.coverage:.1%} of {proof.stored:,}",
                f"[{colours[proof.verdict]}]{proof.verdict}[/]",
            )
        )
    least, title = ["bits", "lint", "coverage", "poison", "replay"], f"Proofs of {market} ({world} world)"
    show_table(title, headings, rows, left=["feature", "verdict"], least=least, **PLAIN)
