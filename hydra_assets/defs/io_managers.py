"""Assets to and from the lake: only what it does not hold is written; what is loaded is what it holds."""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset

from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.defs.partitions import MARKET_MONTH, months_by_market, parts_of, refuse_shortened_range
from hydra_assets.defs.progress import month_line
from hydra_assets.defs.resources import LakeResource
from hydra_assets.errors import SchemaError
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.feed import keep
from hydra_assets.lazy import lazy
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake

pd = lazy("pandas")

PREVIEW_ROWS = 5
PREVIEW_COLUMNS = 8
SUMMARY_MONTHS = 6  # the newest of a run: Dagster shows this table above each month's own, and ten years would push those out of sight


class HiveParquetIOManager(dg.ConfigurableIOManager):
    """
    One asset, one table of the lake; one partition, one folder.

    An asset gives a table for its one partition, or an iterable of ``(partition_key, table or Batch)``, appended as each comes: memory
    is bounded by a month, and a killed range keeps what it had.

    Attributes:
        ledger_path: where the days of batches that capture some are noted; needed for those alone.
    """

    lake: LakeResource
    ledger_path: str = ""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Append each month's new rows; metadata per partition: rows, new rows, files, and a preview of its own rows."""
        refuse_shortened_range(context.step_context.dagster_run.tags)
        _order_events(context)
        table, lake = _table(context), self.lake.open()
        keys = {parts_of(key): key for key in context.asset_partition_keys}
        counts: dict[tuple[str, Month], tuple[int, int]] = {}
        with ExitStack() as stack:
            ledger = stack.enter_context(Ledger(Path(self.ledger_path))) if self.ledger_path else None
            for batch in _batches(obj, table, list(keys.values())):
                place, added = (batch.market, batch.month), keep(batch, lake, ledger)
                # A month can come in parts, where a day in its middle is a gap.
                before = counts.get(place, (0, 0))
                counts[place] = (before[0] + batch.rows.num_rows, before[1] + added)
                context.log.info(month_line(*place, rows=batch.rows.num_rows, new=added))
                if place in keys:
                    context.step_context.add_asset_metadata(_facts(batch, lake, *counts[place]), partition_key=keys[place])
        for (market, month), key in keys.items():
            if (market, month) not in counts:
                files = len(lake.files(table.name, market, month.first, month.last))
                context.step_context.add_asset_metadata({"new_rows": 0, "files": str(files)}, partition_key=key)
        newest = sorted(keys)[-SUMMARY_MONTHS:]
        facts: dict[str, Any] = {
            "months": dg.MetadataValue.table(
                [_record(lake, table, *place, *counts.get(place, (0, 0))) for place in newest], schema=_SUMMARY
            ),
            # Text: Dagster would plot a number over the partitions, and these are of the whole run.
            "run_rows": f"{sum(rows for rows, _ in counts.values()):,}",
            "run_new_rows": f"{sum(new for _, new in counts.values()):,}",
            "world": lake.world,
            "dagster/table_name": table.name,
            "dagster/uri": str(lake.base_path / f"data_type={table.name}"),
        }
        if table.group == "raw":
            facts["rows_of_other_months"] = f"{sum(new for place, (_, new) in counts.items() if place not in keys):,}"
        context.add_output_metadata(facts)

    def load_input(self, context: dg.InputContext) -> pa.Table:
        """Every row of the requested partitions, one key or a range, as the lake holds it; a column ``market`` where there are several."""
        lake, name = self.lake.open(), context.asset_key.path[-1]
        keys = context.asset_partition_keys if context.has_asset_partitions else MARKET_MONTH.get_partition_keys()
        requested = months_by_market(keys)
        parts = []
        for market, months in requested.items():
            first, last = months[0].first, months[-1].last
            table = lake.read_vintages(name, market, first, last)  # lookahead-ok: an asset's own rows
            parts.append(table.append_column("market", pa.array([market] * table.num_rows, pa.string())) if len(requested) > 1 else table)
        return pa.concat_tables(parts, promote_options="default")


class _InOrder(DefaultPartitionsSubset):
    """Partitions in the order of their keys."""

    def get_partition_keys(self) -> list[str]:
        return sorted(self.subset)


def _order_events(context: dg.OutputContext) -> None:
    """Have Dagster tell of the months in order: it goes by a set, and the month told last is the one that the UI calls the latest."""
    context._asset_partitions_subset = _InOrder(set(context.asset_partition_keys))


def _table(context: dg.OutputContext) -> Table:
    name = context.asset_key.path[-1]
    if name not in TABLES:
        raise SchemaError(f"asset {name!r} is no table of the lake; its shape belongs in core/tables/. Known are {sorted(TABLES)}")
    return TABLES[name]


def _batches(obj: Any, table: Table, keys: list[str]) -> Iterator[Batch]:
    if isinstance(obj, pd.DataFrame):
        obj = pa.Table.from_pandas(obj, preserve_index=False)
    if isinstance(obj, (pa.Table, Batch)):
        if len(keys) != 1:
            raise SchemaError(f"one table for {len(keys)} partitions; give an iterable of (partition_key, table)")
        obj = [(keys[0], obj)]
    if not isinstance(obj, Iterable):
        raise SchemaError(f"an asset gives a table or an iterable of (partition_key, table), not {type(obj).__name__}")
    for key, rows in obj:
        yield rows if isinstance(rows, Batch) else Batch(table, *parts_of(key), rows)


def _facts(batch: Batch, lake: ParquetLake, rows: int, new_rows: int) -> dict[str, Any]:
    files = len(lake.files(batch.table.name, batch.market, batch.month.first, batch.month.last))
    facts = {"dagster/partition_row_count": rows, "new_rows": new_rows, "files": str(files), "preview": _preview(batch.rows)}
    if "synthetic" in batch.rows.column_names:
        facts["synthetic_rows"] = f"{pc.sum(batch.rows['synthetic']).as_py() or 0} of {batch.rows.num_rows} rows are synthetic"
    return facts


_SUMMARY = dg.TableSchema(
    columns=[
        dg.TableColumn("market", "string"),
        dg.TableColumn("month", "string"),
        dg.TableColumn("rows", "int"),
        dg.TableColumn("new rows", "int"),
        dg.TableColumn("files", "int"),
    ]
)


def _record(lake: ParquetLake, table: Table, market: str, month: Month, rows: int, new_rows: int) -> dg.TableRecord:
    files = len(lake.files(table.name, market, month.first, month.last))
    return dg.TableRecord({"market": market, "month": str(month), "rows": rows, "new rows": new_rows, "files": files})


def _preview(table: pa.Table) -> dg.TableMetadataValue:
    names = table.column_names[:PREVIEW_COLUMNS]
    if "synthetic" in table.column_names and "synthetic" not in names:
        names = [*names, "synthetic"]
    rows = table.select(names).slice(max(table.num_rows - PREVIEW_ROWS, 0)).to_pylist()
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in names]))


def _cell(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M}Z"
    return "null" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
