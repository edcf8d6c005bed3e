"""The coverage calendar of a month in the UI: every day on which something was due, and its state."""

from collections.abc import Mapping, Sequence

import dagster as dg

from hydra_assets.flow.feed import CoverageDay

_DAYS = dg.TableSchema(columns=[dg.TableColumn("day"), dg.TableColumn("state"), dg.TableColumn("note")])


def coverage_calendar(days: Sequence[CoverageDay]) -> Mapping[str, dg.MetadataValue]:
    """The days of a month as a table, and how many of them are held."""
    held = sum(day.state in ("held", "degraded") for day in days)
    due = sum(day.state != "not published" for day in days)
    records = [dg.TableRecord({"day": f"{d.day:%a} {d.day}", "state": d.state, "note": d.note}) for d in days]
    return {"coverage": dg.MetadataValue.text(f"{held} of {due}"), "calendar": dg.MetadataValue.table(records, schema=_DAYS)}
