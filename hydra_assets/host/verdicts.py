"""Newest verdicts of the checks and proofs, as the home's Dagster instance recorded them."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dagster as dg

from hydra_assets.config.home import Home
from hydra_assets.host.webserver import readable_dagster
from hydra_assets.report.page import VerdictLine

LOOKED_THROUGH = 25  # newest evaluations of a check among which one of the market is looked for


def verdicts_of(home: Home, market: str) -> list[VerdictLine]:
    """`newest_verdicts` of the home's own instance; empty for a home without one."""
    if not (home.dagster / "dagster.yaml").exists():
        return []
    with readable_dagster(home) as folder, dg.DagsterInstance.from_config(str(folder)) as instance:
        return newest_verdicts(instance, market)


def newest_verdicts(instance: dg.DagsterInstance, market: str) -> list[VerdictLine]:
    """The newest verdict of each check that spoke for *market*, by table and check."""
    from hydra_assets.defs.checks import CHECKS  # four seconds, which the UI need not wait for to start

    found = (_newest(instance, key, market) for check in CHECKS for key in check.check_keys)
    return sorted((line for line in found if line is not None), key=lambda line: (line.table, line.check))


def _newest(instance: dg.DagsterInstance, key: dg.AssetCheckKey, market: str) -> VerdictLine | None:
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=LOOKED_THROUGH)
    for record in records:
        event = record.event.dagster_event if record.event else None
        evaluation: Any = event.event_specific_data if event else None
        if not isinstance(evaluation, dg.AssetCheckEvaluation):
            continue
        metadata = {name: value.value for name, value in evaluation.metadata.items()}
        partitions = str(metadata.get("partitions", ""))
        if partitions and market not in {part.split()[0] for part in partitions.split(", ")}:
            continue
        return VerdictLine(
            table=key.asset_key.path[-1],
            check=key.name,
            verdict=str(metadata.get("verdict", "passed" if evaluation.passed else "failed")),
            kind=_kind(evaluation, metadata),
            looked_at=str(metadata.get("looked_at", "")),
            partition=partitions or "every market",
            when=dt.datetime.fromtimestamp(record.create_timestamp, dt.UTC),
        )
    from hydra_assets.defs.served_check import NAME, NOTHING_SERVED

    if records and key.name == NAME:  # it ran, and had nothing to speak of
        when = dt.datetime.fromtimestamp(records[0].create_timestamp, dt.UTC)
        return VerdictLine(key.asset_key.path[-1], NAME, "not applicable", "soft", NOTHING_SERVED, "every market", when)
    return None


def _kind(evaluation: dg.AssetCheckEvaluation, metadata: Mapping[str, object]) -> str:
    """``passed``, ``warning`` or ``failed``: the page's colours of a verdict."""
    if evaluation.passed:
        return "passed"
    return "warning" if evaluation.severity is dg.AssetCheckSeverity.WARN and metadata.get("verdict") != "failed" else "failed"
