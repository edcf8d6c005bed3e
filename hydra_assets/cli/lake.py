"""`hydra-assets lake`: list, verify, compact and vacuum the lake."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hydra_assets.cli.console import JsonOption, WorldOption, bar, console, errors, print_json
from hydra_assets.cli.filling import how_to_fill
from hydra_assets.cli.tables import PLAIN, show_table
from hydra_assets.command import command
from hydra_assets.errors import ConfigError, InvalidTimeError

if TYPE_CHECKING:
    from hydra_assets.storage.lake import ParquetLake

app = typer.Typer(
    help="The lake of Parquet files: list, verify, compact, vacuum. Nothing here changes what any read answers.", no_args_is_help=True
)
DataType = Annotated[str | None, typer.Option("--table", help="One table, for example cot_disaggregated. Default: all.")]
MarketOption = Annotated[str | None, typer.Option("--market", help="One market, for example HE. Default: all.")]


@app.command("ls")
def ls(data_type: DataType = None, market: MarketOption = None, world: WorldOption = None, as_json: JsonOption = False) -> None:
    """
    List the tables: months, files, rows and size.

    "Replaced" are files that a compaction has merged; readers skip them, and a vacuum removes them. Rows are those recorded:
    every vintage, and tombstones too.
    """
    lake = _lake(world, data_type)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    with bar("reading footers", len(lake.folders(data_type, market))) as step:
        for folder in lake.folders(data_type, market):
            facts, month = lake.describe(folder), f"{folder.year}-{folder.month:02d}"
            row = found.setdefault(
                (folder.data_type, folder.market),
                {"first": month, "months": 0, "files": 0, "replaced": 0, "rows": 0, "bytes": 0, "recorded_at": None},
            )
            row["last"], row["months"] = month, row["months"] + 1
            for name in ("files", "replaced", "rows"):
                row[name] += getattr(facts, name)
            row["bytes"] += facts.size
            newest = lake.newest_recorded(folder.key)
            row["recorded_at"] = max(filter(None, (row["recorded_at"], newest)), default=None)
            step(folder)
    if as_json:
        tables = [{"table": name, "market": symbol, **row} for (name, symbol), row in found.items()]
        print_json({"world": lake.world, "path": str(lake.base_path), "tables": tables})
        return
    if not found:
        console.print(f"The {lake.world} lake holds nothing of that. Fill it: [bold]{how_to_fill(lake.world, market)}[/]", soft_wrap=True)
        return
    rows = []
    for (name, symbol), row in found.items():
        counts = [f"{row[key]:,}" for key in ("files", "replaced", "rows")]
        rows.append((name, symbol, f"{row['first']}..{row['last']}", *counts, f"{row['bytes'] / 1e6:,.1f}"))
    headings, least = ("table", "market", "months", "files", "replaced", "rows", "MB"), ["replaced", "files", "MB", "rows"]
    show_table(f"lake of the {lake.world} world", headings, rows, left=["table", "market", "months"], least=least, **PLAIN)
    loose = sum(row["files"] - row["months"] for row in found.values())
    if loose > 0:
        console.print(f"{loose:,} files more than months; {command('lake compact', world=lake.world)} merges them.", soft_wrap=True)


@app.command()
def verify(world: WorldOption = None, as_json: JsonOption = False) -> None:
    """
    Read every file whole and compare it with what was written: checksums of pages and footer, rows, place, world.

    Ends with exit code 1 when a file is bad, and names each. A bad base file whose forerunners are still there can be deleted:
    they count again. Otherwise take the file from a backup, or delete it and materialise its month again.
    """
    lake = _lake(world)
    with bar("reading every file", len(lake.folders())) as step:
        good, bad = lake.inspect(progress=step)
    if as_json:
        print_json({"world": lake.world, "good": good, "bad": bad})
    else:
        console.print(f"{good:,} files are whole." if good or bad else "The lake is empty.")
        for line in bad:
            errors.print(f"[bold red]bad[/] {line}", highlight=False, soft_wrap=True)
    if bad:
        raise typer.Exit(1)


@app.command()
def compact(
    data_type: DataType = None,
    market: MarketOption = None,
    until: Annotated[str | None, typer.Option(help="Last month to compact, e.g. 2026-01. Default: all, this month too.")] = None,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Merge each month's files into one.

    Many small files make reading slow, not wrong: every read answers the same before and after, also under recorded_by. It may
    run beside writers and readers. The files merged stay on the disk until a vacuum.
    """
    lake = _lake(world, data_type)
    end = None if until is None else _last_day(until)
    folders = [f for f in lake.folders(data_type, market) if end is None or (f.year, f.month) <= (end.year, end.month)]
    with bar("compacting", len(folders)) as step:
        made = lake.compact(data_type, market, end=end, progress=step)
    if as_json:
        print_json({"world": lake.world, "folders": len(folders), "base_files": [str(path) for path in made]})
        return
    console.print(f"{len(made):,} of {len(folders):,} months had more than one file and have one now.")
    if made:
        vacuum = command("lake vacuum", world=lake.world)
        console.print(f"The files merged are removed an hour from now at the earliest: {vacuum}", soft_wrap=True)


@app.command()
def vacuum(
    hours: Annotated[float, typer.Option(help="Only files replaced longer ago than this many hours; at least 1.", min=1.0)] = 1.0,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Remove files that a compaction replaced, oldest first, and what killed writers left in staging.

    An hour of grace lets readers that have listed a file open it. The merged file is read whole before its forerunners go.
    """
    lake = _lake(world)
    with bar("vacuuming", len(lake.folders())) as step:
        gone = lake.vacuum(dt.timedelta(hours=hours), progress=step)
    if as_json:
        print_json({"world": lake.world, "removed": [str(path) for path in gone]})
        return
    console.print(f"{len(gone):,} replaced files removed.")


def _lake(world: str | None, data_type: str | None = None) -> "ParquetLake":
    """The lake of *world*; raises ConfigError where nobody knows the table *data_type*."""
    from hydra_assets.config.home import resolve_home  # Arrow takes a second to load; --help needs none of it
    from hydra_assets.storage.lake import ParquetLake

    home = resolve_home(world)
    home.create()
    lake = ParquetLake(home.lake, world=home.world)
    message = None if data_type is None else lake.unknown_table(data_type)
    if message is not None:
        raise ConfigError(f"--table: {message}")
    return lake


def _last_day(month: str) -> dt.date:
    from hydra_assets.core.months import Month

    if len(month) != len("2026-01"):
        raise InvalidTimeError(f"--until {month!r} is not a month; write 2026-01")
    return Month.of(month).last
