"""The demo's two ways of work: history by fetch and append alone, a year of one market through Dagster."""

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month, months_between
from hydra_assets.definitions import ASSETS, definitions_for
from hydra_assets.defs.partitions import key_of
from hydra_assets.errors import RunFailedError
from hydra_assets.flow.cot import append_cot, cot_months, fetch_cot, open_cftc
from hydra_assets.flow.databento import SCHEMAS, append_raw, fetch_plan, open_databento, plan_of, raw_months
from hydra_assets.storage.lake import ParquetLake

__all__ = ["CheckVerdict", "MarketRun", "RunOutcome", "lay_down", "months_between"]

COUNTED = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION)


def lay_down(home: Home, symbol: str, months: Sequence[Month], *, options_from: Month) -> Iterator[int]:
    """
    Fetch and append the raw months of a market without Dagster; yields the new rows of each table's month.

    Args:
        options_from: of *months*, the first of the tables of options, which are the largest.
    """
    config, calendar = load_config(), load_release_calendar()
    market, lake = config.market(symbol), ParquetLake(home.lake, world=home.world)
    with open_cftc(home, config, calendar) as source:
        fetched = fetch_cot(source.fetch, months)
    for month, table in cot_months(fetched, market, months, calendar):
        yield append_cot(lake, market, month, table)
    with open_databento(home, config, key="", run="warm-up") as vendor:  # of the sample world, which needs no key
        today, cut = dt.datetime.now(dt.UTC).date(), config.option_rules.cut_time
        for data_type in SCHEMAS:
            wanted = [month for month in months if month >= options_from or not data_type.startswith("option_")]
            got = fetch_plan(vendor.fetch, plan_of(vendor, lake, data_type, market, wanted, today, cut=cut), synthetic=True)
            for month, table in raw_months(got, lake, wanted, vendor.ledger):
                yield append_raw(lake, data_type, market, month, table)


@dataclass(frozen=True)
class CheckVerdict:
    """One check's word on one asset."""

    asset: str
    name: str
    verdict: str
    passed: bool
    warning: bool
    looked_at: str


@dataclass(frozen=True)
class RunOutcome:
    """What a finished run leaves."""

    new_rows: int
    checks: tuple[CheckVerdict, ...]


class MarketRun:
    """
    Months of one market through Dagster, recorded in the home's own instance, so that the UI shows them.

    Args:
        months: consecutive; one run, as a backfill of the UI would make it.
    """

    def __init__(self, home: Home, market: str, months: Sequence[Month]) -> None:
        home.prepare_dagster()
        self._home, self._market, self._months = home, market, list(months)
        defs = definitions_for(home)
        self._job = defs.resolve_implicit_global_asset_job_def()
        checks = sum(len(list(check.check_keys)) for check in defs.asset_checks or ())
        self.steps = len(ASSETS) * len(self._months) + checks
        self._seen = 0
        self._result: dg.ExecuteInProcessResult | None = None
        self._error: BaseException | None = None

    def done(self) -> int:
        """Materializations and check evaluations so far."""
        return self._seen

    def execute(self) -> None:
        """Run to the end; `result` says how it went."""
        run_id = str(uuid.uuid4())
        tags = {
            "dagster/asset_partition_range_start": str(key_of(self._market, self._months[0])),
            "dagster/asset_partition_range_end": str(key_of(self._market, self._months[-1])),
        }
        try:
            with dg.DagsterInstance.from_config(str(self._home.dagster)) as instance:
                instance.add_event_listener(run_id, self._count)
                quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
                self._result = self._job.execute_in_process(
                    instance=instance, run_id=run_id, tags=tags, run_config=quiet, raise_on_error=False
                )
        except BaseException as error:
            self._error = error

    def result(self) -> RunOutcome:
        """
        New rows and the checks' verdicts.

        Raises:
            RunFailedError: a step failed for another reason than a check's verdict.
        """
        if self._error is not None:
            raise self._error
        assert self._result is not None  # noqa: S101  execute() was called
        for failed in self._result.get_step_failure_events():
            error = failed.step_failure_data.error
            cause = error.cause if error is not None and error.cause is not None else error
            told = cause.message.strip() if cause is not None else "no reason given"
            if error is None or error.cls_name != "DagsterAssetCheckFailedError":
                raise RunFailedError(f"{failed.step_key}: {told}; see the run in the UI: hydra-assets ui")
        new_rows = 0
        for event in self._result.get_asset_materialization_events():
            with contextlib.suppress(KeyError):
                new_rows += int(str(event.step_materialization_data.materialization.metadata["new_rows"].value))
        verdicts = [
            CheckVerdict(
                asset=e.asset_key.path[-1],
                name=e.check_name,
                verdict=str(e.metadata["verdict"].value),
                passed=e.passed,
                warning=e.severity is dg.AssetCheckSeverity.WARN,
                looked_at=str(e.metadata["looked_at"].value),
            )
            for e in self._result.get_asset_check_evaluations()
        ]
        return RunOutcome(new_rows, tuple(sorted(verdicts, key=lambda v: (v.asset, v.name))))

    def _count(self, event: dg.EventLogEntry) -> None:
        if event.dagster_event is not None and event.dagster_event.event_type in COUNTED:
            self._seen += 1
