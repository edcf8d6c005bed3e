"""`hydra-assets export`: write a training frame to a file."""

import datetime as dt
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hydra_assets.cli.console import JsonOption, WorldOption, console, parse_day, parse_instant, print_json, split_names
from hydra_assets.cli.filling import how_to_fill
from hydra_assets.command import command
from hydra_assets.errors import InvalidTimeError, SchemaError, UnknownFeatureError

if TYPE_CHECKING:
    import pyarrow as pa

    from hydra_assets.desk import Desk

FORMATS = (".parquet", ".csv")
_SPAN = re.compile(r"(\d+)([mhdw])")
_UNITS = {"m": dt.timedelta(minutes=1), "h": dt.timedelta(hours=1), "d": dt.timedelta(days=1), "w": dt.timedelta(weeks=1)}


def export(
    markets: Annotated[
        list[str] | None, typer.Argument(metavar="[MARKET ...]", help="Configured markets, for example HE LE.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write: .parquet or .csv. One that is there is replaced.")] = ...,  # type: ignore[assignment]
    start: Annotated[str | None, typer.Option(help="First day, e.g. 2024-01-02.", show_default=False)] = None,
    end: Annotated[str | None, typer.Option(help="Last day, inclusive.", show_default=False)] = None,
    at: Annotated[str, typer.Option(help="Time of day on the market's own clock; one row for every trading day.")] = "18:30",
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="In place of markets and days: a CSV or Parquet file with the columns market and time (ISO 8601 with a zone).",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        list[str] | None, typer.Option(help="Names, with commas or by repeating, in the order wanted. Default: all.", show_default=False)
    ] = None,
    max_age: Annotated[
        str | None, typer.Option(help="Null what describes a day longer ago than this, e.g. 10d (m, h, d, w).", show_default=False)
    ] = None,
    delay: Annotated[
        str | None, typer.Option(help="What delivery to your desk adds to every available_at, e.g. 18h.", show_default=False)
    ] = None,
    with_meta: Annotated[
        bool, typer.Option("--with-meta", help="Add what each value is of, since when it was known, and its quality.")
    ] = False,
    recorded_by: Annotated[
        str | None, typer.Option(help="What this store would have written then: an instant, e.g. 2026-01-31T12:00Z.", show_default=False)
    ] = None,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Write a training frame: one row per market and time, what was known then, a column per feature.

    Either markets with --start and --end, which gives one row for every trading day at --at; or --pairs. The file appears whole or
    not at all. A null says that nothing was known, or that it was too old.

    hydra-assets export HE --start 2025-01-02 --end 2025-12-31 -o hogs.parquet
    """
    if out.suffix not in FORMATS:
        raise SchemaError(f"{out}: the name says the format; end it in {' or '.join(FORMATS)}")
    if not out.absolute().parent.is_dir():
        raise SchemaError(f"{out.absolute().parent}: there is no such folder to write {out.name} to; make it first")
    from hydra_assets.desk import open as open_desk  # pandas and Arrow take a second to load; --help needs neither

    with open_desk(world) as desk:
        rows = _pairs(desk, markets or [], start, end, at, pairs)
        names = _names(desk, sorted(set(rows["market"].to_pylist())), split_names(features))
        frame = desk.store.get_training_frame(
            rows,
            features=names,
            max_age=_span(max_age, "--max-age"),
            delay=_span(delay, "--delay"),
            recorded_by=parse_instant(recorded_by) if recorded_by else None,
            with_meta=with_meta,
        )
        facts = {"world": desk.world, "max_age": max_age, "delay": delay, "recorded_by": recorded_by}
    replaced = out.exists()
    _write(frame, out, {name: value for name, value in facts.items() if value is not None})
    nulls = {name: frame[name].null_count for name in names}
    if as_json:
        summary = {"path": str(out.absolute()), "replaced": replaced, **facts, "rows": frame.num_rows, "columns": frame.column_names}
        print_json({**summary, "features": len(names), "nulls": nulls})
        return
    console.print(
        f"{'Replaced' if replaced else 'Wrote'} [bold]{out}[/] ({facts['world']} world): {frame.num_rows:,} rows,"
        f" {frame.num_columns} columns, {len(names)} of them features.",
        soft_wrap=True,
        highlight=False,
    )
    for line in _null_lines(nulls, frame.num_rows):
        console.print(line, highlight=False)
    if facts["world"] == "sample":
        console.print("[yellow]Sample world[/]: every price is synthetic, and so is COT, but for the lean-hogs rows of 2025.")


def _pairs(desk: "Desk", markets: Sequence[str], start: str | None, end: str | None, at: str, file: Path | None) -> "pa.Table":
    """The rows of the frame: a table of market and time."""
    import pyarrow as pa

    from hydra_assets.desk import sessions

    if file is not None:
        if markets or start or end:
            raise InvalidTimeError("--pairs names markets and times itself; leave out markets, --start and --end")
        table = _read_pairs(file)
        for market in sorted(set(table["market"].to_pylist())):
            desk.config.market(market)
        return table
    if not markets:
        example = command("export HE --start 2025-01-02 --end 2025-12-31 -o hogs.parquet")
        raise InvalidTimeError(f"name a market, for example: {example}")
    if start is None or end is None:
        raise InvalidTimeError("--start and --end are needed: the first and the last day, for example --start 2025-01-02 --end 2025-12-31")
    first, last = parse_day(start, "--start").date(), parse_day(end, "--end").date()
    rows: list[tuple[str, dt.datetime]] = []
    for market in dict.fromkeys(markets):
        desk.config.market(market)
        rows += [(market, time.astimezone(dt.UTC)) for time in sessions(market, first, last, at)]
    if not rows:
        raise InvalidTimeError(f"there is no trading day from {first} to {last}")
    return pa.table(
        {
            "market": pa.array([market for market, _ in rows], pa.string()),
            "time": pa.array([time for _, time in rows], pa.timestamp("us", tz="UTC")),
        }
    )


def _read_pairs(file: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    if not file.exists():
        raise SchemaError(f"{file}: there is no such file")
    if file.suffix == ".parquet":
        table = pq.read_table(file)
    else:
        table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types={"market": pa.string(), "time": pa.string()}))
    if not {"market", "time"} <= set(table.column_names):
        raise SchemaError(f"{file}: the columns market and time are needed; it has {', '.join(table.column_names)}")
    if pa.types.is_string(table.schema.field("time").type):
        times = [parse_instant(str(text)) for text in table["time"].to_pylist()]
        column = pa.array([time.astimezone(dt.UTC) for time in times], pa.timestamp("us", tz="UTC"))
        table = pa.table({"market": table["market"], "time": column})
    return table.select(["market", "time"])


def _names(desk: "Desk", markets: Sequence[str], requested: Sequence[str]) -> list[str]:
    from hydra_assets.storage.uncomputed import absence_of

    known = desk.store.features(*markets)
    if not known:
        raise UnknownFeatureError(
            f"the {desk.world} world holds no features of {', '.join(markets)} yet; make some: {how_to_fill(desk.world, markets[0])}"
        )
    for name in requested:
        if name not in known:
            raise UnknownFeatureError(absence_of(desk.store, markets[0], name))
    return list(dict.fromkeys(requested)) or known


def _span(text: str | None, option: str) -> dt.timedelta | None:
    if text is None:
        return None
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise InvalidTimeError(f"{option} {text!r} is not a span of time; write 30m, 18h, 10d or 2w")
    return int(match[1]) * _UNITS[match[2]]


def _write(frame: "pa.Table", out: Path, facts: dict[str, Any]) -> None:
    """Write the file whole or not at all: written beside *out*, synced, renamed."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.absolute().parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if out.suffix == ".parquet":
                meta = {f"hydra.{key}".encode(): str(value).encode() for key, value in facts.items()}
                pq.write_table(frame.replace_schema_metadata(meta), file)
            else:
                for i, field in enumerate(frame.schema):
                    if pa.types.is_timestamp(field.type):
                        frame = frame.set_column(i, field.name, pc.strftime(frame[field.name], format="%Y-%m-%dT%H:%M:%SZ"))
                csv.write_csv(frame, file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)  # the mode of any other new file of the user
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _null_lines(nulls: dict[str, int], rows: int) -> list[str]:
    """Lines on features with nulls, those with most nulls first."""
    by_count: dict[int, list[str]] = {}
    for name, count in nulls.items():
        if count:
            by_count.setdefault(count, []).append(name)
    lines = [
        f"Null {'throughout' if count == rows else f'in {count:,} rows'}: {', '.join(names)}."
        for count, names in sorted(by_count.items())[::-1]
    ]
    return lines or ["No value is null."]
