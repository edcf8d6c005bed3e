"""Assets to and from the lake: only what it does not hold is written; what is loaded is what it holds."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import now_us
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.defs.columns import column_schema
from hydra_assets.defs.partitions import MARKET_MONTH, months_by_market, parts_of, refuse_shortened_range
from hydra_assets.defs.resources import LakeResource
from hydra_assets.errors import SchemaError
from hydra_assets.flow.publish import ALLOW_RETRACT
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake

PREVIEW_ROWS = 5
PREVIEW_COLUMNS = 8
SUMMARY_MONTHS = 6  # the newest of a run: Dagster shows this table above each month's own, and ten years would push those out of sight


class HiveParquetIOManager(dg.ConfigurableIOManager):
    """
    One asset, one table of the lake; one partition, one folder.

    An asset gives a table for its one partition, or an iterable of ``(partition_key, table)``, appended as each comes: memory is
    bounded by a month, and a killed range keeps what it had. A table may carry the `Look` that it came from.
    """

    lake: LakeResource

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Append each month's new rows; metadata per partition: rows, new rows, files, and a preview of its own rows."""
        refuse_shortened_range(context.step_context.dagster_run.tags)
        dataset = _dataset(context)
        lake = self.lake.open()
        keys = list(context.asset_partition_keys)
        total = new = 0
        counts: dict[str, tuple[int, int]] = {}
        for key, table in _pairs(obj, keys):
            market, month = parts_of(key)
            rows = dataset.conform(table)
            added = _append(lake, dataset, market, month, rows, Look.detach(table)[1], allow_retract=_allows_retract(table))
            files = len(lake.files(dataset.name, market, month.first, month.last))
            total, new = total + rows.num_rows, new + added
            # A month can come in parts, where a day in its middle is a gap.
            before = counts.get(key, (0, 0))
            counts[key] = (before[0] + rows.num_rows, before[1] + added)
            facts = {"dagster/partition_row_count": counts[key][0], "new_rows": counts[key][1], "files": files, "preview": _preview(rows)}
            if "synthetic" in rows.column_names:
                facts["synthetic_rows"] = f"{pc.sum(rows['synthetic']).as_py() or 0} of {rows.num_rows} rows are synthetic"
            context.step_context.add_asset_metadata(facts, partition_key=key)
        summary = []
        for key in sorted(keys, key=parts_of):
            market, month = parts_of(key)
            rows_of, added_of = counts.get(key, (0, 0))
            files = len(lake.files(dataset.name, market, month.first, month.last))
            if key not in counts:
                context.step_context.add_asset_metadata({"new_rows": 0, "files": files}, partition_key=key)
            summary.append(_record(market, month, rows_of, added_of, files))
        context.add_output_metadata(
            {
                "months": dg.MetadataValue.table(summary[-SUMMARY_MONTHS:], schema=_SUMMARY),
                "run_rows": total,
                "run_new_rows": new,
                "world": lake.world,
                "dagster/column_schema": column_schema(dataset),
                "dagster/table_name": dataset.name,
                "dagster/uri": str(lake.base_path / f"data_type={dataset.name}"),
            }
        )

    def load_input(self, context: dg.InputContext) -> pa.Table:
        """Every row of the partitions asked, one key or a range, as the lake holds it; a column ``market`` where several are asked."""
        lake, name = self.lake.open(), context.asset_key.path[-1]
        keys = context.asset_partition_keys if context.has_asset_partitions else MARKET_MONTH.get_partition_keys()
        asked = months_by_market(keys)
        parts = []
        for market, months in asked.items():
            first, last = months[0].first, months[-1].last
            table = lake.read_vintages(name, market, first, last, key=TABLES[name].key)  # lookahead-ok: an asset's own rows
            parts.append(table.append_column("market", pa.array([market] * table.num_rows, pa.string())) if len(asked) > 1 else table)
        return pa.concat_tables(parts, promote_options="default")


def _dataset(context: dg.OutputContext) -> Table:
    name = context.asset_key.path[-1]
    if name not in TABLES:
        raise SchemaError(f"asset {name!r} is no table of the lake; its shape belongs in core/tables/. Known are {sorted(TABLES)}")
    return TABLES[name]


def _pairs(obj: Any, keys: list[str]) -> Iterator[tuple[str, pa.Table]]:
    if isinstance(obj, pd.DataFrame):
        obj = pa.Table.from_pandas(obj, preserve_index=False)
    if isinstance(obj, pa.Table):
        if len(keys) != 1:
            raise SchemaError(f"one table for {len(keys)} partitions; give an iterable of (partition_key, table)")
        yield keys[0], obj
        return
    if not isinstance(obj, Iterable):
        raise SchemaError(f"an asset gives a table or an iterable of (partition_key, table), not {type(obj).__name__}")
    yield from obj


def _append(lake: ParquetLake, dataset: Table, market: str, month: Month, rows: pa.Table, look: Look | None, *, allow_retract: bool) -> int:
    look = look or Look("asset", month.first, month.last, (market,), dt.datetime.fromtimestamp(now_us() / 1e6, dt.UTC))
    return lake.append_new(
        rows, dataset.name, market, month.first, key=dataset.key, stamps=dataset.stamps, look=look, allow_retract=allow_retract
    )


def _allows_retract(table: Any) -> bool:
    return isinstance(table, pa.Table) and (table.schema.metadata or {}).get(ALLOW_RETRACT) == b"true"


_SUMMARY = dg.TableSchema(
    columns=[
        dg.TableColumn("market", "string"),
        dg.TableColumn("month", "string"),
        dg.TableColumn("rows", "int"),
        dg.TableColumn("new rows", "int"),
        dg.TableColumn("files", "int"),
    ]
)


def _record(market: str, month: Month, rows: int, new_rows: int, files: int) -> dg.TableRecord:
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
