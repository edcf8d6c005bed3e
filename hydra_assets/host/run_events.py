"""Outcome of a run, read from Dagster's events."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from hydra_assets.defs.partitions import parts_of
from hydra_assets.defs.served_check import NAME, NOTHING_SERVED, STEPS, step_of
from hydra_assets.host.outcome import NOT_APPLICABLE, CheckVerdict, Gap, RunOutcome, TableOutcome

_CHECK_FAILED = "DagsterAssetCheckFailedError"
_INTERRUPTS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
Kind = dg.DagsterEventType


def outcome_of(run_id: str, events: Sequence[dg.DagsterEvent], tables: Sequence[str]) -> RunOutcome:
    """Outcome for each of *tables*, the checks' verdicts and the failures, as far as the run has come."""
    of_type: dict[Kind, list[dg.DagsterEvent]] = {kind: [] for kind in Kind}
    for event in events:
        of_type[event.event_type].append(event)
    failed, stopped = _failed_steps(of_type[Kind.STEP_FAILURE])
    failures = [f"{step}: {reason}" for step, reason in failed.items()]
    interrupted = bool(stopped or of_type[Kind.RUN_CANCELED])
    for event in of_type[Kind.RUN_FAILURE]:  # outside every step, or after a failed one
        error = event.job_failure_data.error
        interrupted |= error is not None and error.cls_name in _INTERRUPTS
        if error is not None and error.cls_name not in (*_INTERRUPTS, _CHECK_FAILED):
            failures.append(f"the run: {error.message.strip()}")
    status = {str(event.step_key): "done" for event in of_type[Kind.STEP_SUCCESS]}
    status |= {**dict.fromkeys(failed, "failed"), **dict.fromkeys(stopped, "stopped")}
    made: dict[str, list[dg.AssetMaterialization]] = {name: [] for name in tables}
    for event in of_type[Kind.ASSET_MATERIALIZATION]:
        materialization = event.step_materialization_data.materialization
        made[materialization.asset_key.path[-1]].append(materialization)
    return RunOutcome(
        run_id,
        tuple(_table_outcome(name, months, status.get(name, "not run"), failed.get(name, "")) for name, months in made.items()),
        _verdicts([event.asset_check_evaluation_data for event in of_type[Kind.ASSET_CHECK_EVALUATION]], status),
        tuple(failures),
        interrupted,
    )


def _failed_steps(events: Sequence[dg.DagsterEvent]) -> tuple[dict[str, str], set[str]]:
    """Failed steps with their reasons, and interrupted steps; a failed check is reported by its own verdict instead."""
    failed: dict[str, str] = {}
    stopped = set()
    for event in events:
        step, error = str(event.step_key), event.step_failure_data.error
        if error is not None and error.cls_name in _INTERRUPTS:
            stopped.add(step)
        elif error is None or error.cls_name != _CHECK_FAILED:
            cause = error.cause if error is not None and error.cause is not None else error
            failed[step] = cause.message.strip() if cause is not None else "no reason given"
    return failed, stopped


def _verdicts(evaluations: Sequence[dg.AssetCheckEvaluation], status: Mapping[str, str]) -> tuple[CheckVerdict, ...]:
    """The evaluations, and the checks whose step ended well without one."""
    evaluated = {step_of(e.asset_key.path[-1]) for e in evaluations if e.check_name == NAME}
    found = [
        CheckVerdict(asset, NAME, NOT_APPLICABLE, passed=True, warning=False, looked_at=NOTHING_SERVED)
        for step, asset in STEPS.items()
        if status.get(step) == "done" and step not in evaluated
    ]
    found += [
        CheckVerdict(
            asset=e.asset_key.path[-1],
            name=e.check_name,
            verdict=str(e.metadata["verdict"].value),
            passed=e.passed,
            warning=e.severity is dg.AssetCheckSeverity.WARN,
            looked_at=str(e.metadata["looked_at"].value),
        )
        for e in evaluations
    ]
    return tuple(sorted(found, key=lambda verdict: (verdict.asset, verdict.name)))


def _table_outcome(name: str, months: Sequence[dg.AssetMaterialization], status: str, reason: str) -> TableOutcome:
    new_rows, gaps, paid = 0, [], 0.0
    for month in months:
        facts: Mapping[str, Any] = {key: value.value for key, value in month.metadata.items()}
        new_rows += int(facts.get("new_rows", 0))
        paid = max(paid, float(facts.get("paid_usd", 0.0)))  # every month carries the whole run's sum
        days = month.metadata.get("calendar")
        if facts.get("gap") and "reason" in facts:
            gaps.append(Gap(str(parts_of(str(month.partition))[1]), str(facts["reason"])))
        elif isinstance(days, dg.TableMetadataValue):
            missing = [record.data for record in days.records if record.data["state"] == "gap"]
            gaps += [Gap(str(day["day"]).split()[-1], str(day["note"])) for day in missing]
    return TableOutcome(name, status, len(months), new_rows, tuple(sorted(gaps, key=lambda gap: gap.when)), paid, reason)
