"""`hydra-assets store`: check the feature store, or rebuild it from the lake."""

from typing import Annotated

import typer

from hydra_assets.cli.console import JsonOption, WorldOption, bar, console, errors, print_json
from hydra_assets.command import command
from hydra_assets.errors import CorruptionError

app = typer.Typer(help="The feature store (one SQLite file): check it, or rebuild it from the lake.", no_args_is_help=True)


@app.command()
def check(
    repair: Annotated[bool, typer.Option("--repair", help="First mend rows that an older version wrote as -0.0.")] = False,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Verify every row's checksum and SQLite's own structure, and compare the store with the lake's feature tables.

    Series that no registered feature claims are named as unproven. Ends with exit code 1 where something is wrong. A damaged store,
    or one that says something else than the lake, is made anew by hydra-assets store rebuild.
    """
    from hydra_assets.config.home import resolve_home
    from hydra_assets.storage.lake import ParquetLake
    from hydra_assets.storage.rebuild import differences, refuse_lost_store
    from hydra_assets.storage.store import FeatureStore
    from hydra_assets.storage.unclaimed import unclaimed_series

    home = resolve_home(world)
    home.create()
    lake = ParquetLake(home.lake, world=home.world)
    refuse_lost_store(home.store, lake)
    rows, mended, wrong, unproven = 0, 0, [], []
    try:
        with bar("reading every row, then the lake's", 2) as step, FeatureStore(home.store, world=home.world) as store:
            mended = store.repair() if repair else 0
            rows = store.check()
            step(store)
            wrong = differences(lake, store)
            if store.has_publishes():
                unproven = [f"{market} {name}" for market in store.markets() for name in unclaimed_series(store, market)]
    except CorruptionError as error:
        wrong = [str(error)]
    if as_json:
        print_json({"world": home.world, "path": str(home.store), "rows": rows, "mended": mended, "wrong": wrong, "unproven": unproven})
    else:
        if repair:
            console.print(f"{mended:,} rows mended.")
        console.print(f"{rows:,} rows are as they were written." if rows or not wrong else "The store cannot be read.")
        for line in wrong:
            errors.print(f"[bold red]wrong[/] {line}", highlight=False, soft_wrap=True)
        for series in unproven:
            errors.print(f"[yellow]unproven[/] {series}: no registered feature claims it", highlight=False, soft_wrap=True)
        if wrong:
            console.print(f"Make it anew from the lake: [bold]{command('store rebuild', world=home.world)}[/]", soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


@app.command()
def rebuild(
    drop_others: Annotated[
        bool, typer.Option("--drop-others", help="Go on although the old store holds features that the lake does not.")
    ] = False,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Make the store anew from the lake's feature tables.

    It is built beside the old one, compared with the lake row by row, and swapped in one rename; the old file stays beside it
    under the name store.sqlite.before-<time>, to be deleted once you are content. Nothing may have the store open meanwhile.

    Preserved: every vintage, its value and quality, what was withdrawn and what was recorded again, in the same order, so that
    training frames are identical and recorded_by answers hold as far as the lake knows: its recordings lie moments after the
    store's own. Of a readable old store also which inputs each publish used; without them the revision sensor asks for every
    month once more. Not preserved: values written into the store by hand, which the lake never held.
    """
    from hydra_assets.config.home import resolve_home
    from hydra_assets.storage.lake import ParquetLake
    from hydra_assets.storage.rebuild import feature_folders, rebuild_store

    home = resolve_home(world)
    home.create_to_write()
    lake = ParquetLake(home.lake, world=home.world)
    with bar("reading the lake", len(feature_folders(lake))) as step:
        made = rebuild_store(lake, home.store, drop_others=drop_others, progress=step)
    if as_json:
        print_json(
            {
                "world": home.world,
                "path": str(home.store),
                "recordings": made.recordings,
                "vintages": made.vintages,
                "publishes": made.publishes,
                "dropped": made.dropped,
                "backup": None if made.backup is None else str(made.backup),
            }
        )
        return
    console.print(f"{made.vintages:,} vintages ({made.recordings:,} recordings) rebuilt from the lake; it says the same, row by row.")
    if made.dropped:
        console.print(f"{len(made.dropped)} feature(s) that the lake never held are only in the old file: {', '.join(made.dropped[:5])}")
    if made.backup is not None:
        console.print(f"The old store lies at {made.backup}", soft_wrap=True, highlight=False)
