"""
How commands run the assets: history by fetch and append alone, a range of one market through Dagster.

The second is what ``hydra-assets backfill`` does, and `hydra_assets.backfill` in code: the same assets and checks as in the UI, as
one run recorded in the home's own instance, so that the UI shows it too, also while it is open.
"""

import datetime as dt
import difflib
import signal
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg

from hydra_assets.config.home import Home, resolve_home
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month, months_between
from hydra_assets.definitions import ASSETS, definitions_for
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, parts_of
from hydra_assets.errors import ConfigError, InvalidTimeError
from hydra_assets.flow.feeds.cot import append_cot, cot_months, fetch_cot, open_cftc
from hydra_assets.flow.feeds.databento import append_raw, fetch_plan, open_databento, plan_of, raw_months
from hydra_assets.host.outcome import CheckVerdict, Gap, RunOutcome, TableOutcome
from hydra_assets.host.run_locks import bury_the_dead, living
from hydra_assets.storage.lake import ParquetLake

__all__ = ["MarketRun", "backfill", "lay_down", "months_between", "selected"]

# The Databento client asks for every deprecation of every package to be shown; Dagster's own are not the user's to mend.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="dagster")
COUNTED = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
CHECK_FAILED = "DagsterAssetCheckFailedError"
INTERRUPTS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
Told = Callable[[int, str], None]


# What windows of years reach into; the options' own are days long.
WARMED = ("futures_definitions", "futures_bars", "futures_statistics")


def lay_down(home: Home, symbol: str, months: Sequence[Month]) -> Iterator[int]:
    """Fetch and append the raw months of a market without Dagster, COT and futures; yields the new rows of each table's month."""
    config, calendar = load_config(), load_release_calendar()
    market, lake = config.market(symbol), ParquetLake(home.lake, world=home.world)
    with open_cftc(home, config, calendar) as source:
        fetched = fetch_cot(source.fetch, months)
    for month, table in cot_months(fetched, market, months, calendar):
        yield append_cot(lake, market, month, table)
    with open_databento(home, config, key="", run="warm-up") as vendor:  # of the sample world, which needs no key
        for data_type in WARMED:
            plan = plan_of(vendor, lake, data_type, market, months, dt.datetime.now(dt.UTC).date(), cut=config.option_rules.cut_time)
            got = fetch_plan(vendor.fetch, plan, synthetic=True)
            for month, table in raw_months(got, lake, months, vendor.ledger):
                yield append_raw(lake, data_type, market, month, table)


class MarketRun:
    """
    Months of one market through Dagster, recorded in the home's own instance, so that the UI shows them.

    Args:
        months: consecutive; one run, as a backfill of the UI would make it.
        assets: names of tables or groups; default all.
    Raises:
        ConfigError: no such market or table. InvalidTimeError: months that are no partition.
    """

    def __init__(self, home: Home, market: str, months: Sequence[Month], assets: Sequence[str] | None = None) -> None:
        load_config().market(market)
        for month in (months[0], months[-1]):
            if not MARKET_MONTH.has_partition_key(key_of(market, month)):
                first = load_config().start_month
                raise InvalidTimeError(f"{month} is no partition: they go from {first} (start_month in config.yaml) to the current month")
        home.prepare_dagster()
        self._home, self._market, self._months = home, market, list(months)
        self._tables = selected(assets)
        defs = definitions_for(home)
        self._job = defs.resolve_implicit_global_asset_job_def()
        checks = [key for check in defs.asset_checks or () for key in check.check_keys if key.asset_key.path[-1] in self._tables]
        self.run_id = str(uuid.uuid4())
        self.steps = len(self._tables) * len(self._months) + len(checks)
        self._seen = 0
        self._events: list[dg.DagsterEvent] = []
        self._told: Told = lambda done, doing: None

    def execute(self, told: Told | None = None) -> None:
        """
        Run to the end; `result` says how it went. In the main thread Ctrl-C ends it, and what was appended stays.

        Args:
            told: called with the number of materialisations and checks so far, and the step under way.
        """
        self._told = told or self._told
        # A killed run would be tried again by the daemon, which does not know this process's code; the next command does it.
        tags = {
            "dagster/asset_partition_range_start": str(key_of(self._market, self._months[0])),
            "dagster/asset_partition_range_end": str(key_of(self._market, self._months[-1])),
            "dagster/max_retries": "0",
            "hydra/command": "backfill",
        }
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with dg.DagsterInstance.from_config(str(self._home.dagster)) as instance, living(self._home, self.run_id):
            bury_the_dead(self._home, instance)
            instance.add_event_listener(self.run_id, self._hear)
            self._job.execute_in_process(
                instance=instance,
                run_id=self.run_id,
                tags=tags,
                run_config=quiet,
                raise_on_error=False,
                asset_selection=[dg.AssetKey(name) for name in self._tables],
            )

    def result(self) -> RunOutcome:
        """What was done to each table, the checks' verdicts, and what failed: of as much as has run."""
        failed: dict[str, str] = {}
        failures, stopped = [], set()
        for event in self._of(dg.DagsterEventType.STEP_FAILURE):
            error = event.step_failure_data.error
            if error is not None and error.cls_name == CHECK_FAILED:
                continue  # told by the check's own verdict
            if error is not None and error.cls_name in INTERRUPTS:
                stopped.add(str(event.step_key))
                continue
            cause = error.cause if error is not None and error.cause is not None else error
            failed[str(event.step_key)] = cause.message.strip() if cause is not None else "no reason given"
            failures.append(f"{event.step_key}: {failed[str(event.step_key)]}")
        interrupted = bool(stopped or self._of(dg.DagsterEventType.RUN_CANCELED))
        for event in self._of(dg.DagsterEventType.RUN_FAILURE):  # outside every step, or after one that failed
            error = event.job_failure_data.error
            interrupted |= error is not None and error.cls_name in INTERRUPTS
            if error is not None and error.cls_name not in (*INTERRUPTS, CHECK_FAILED):
                failures.append(f"the run: {error.message.strip()}")
        words = {str(event.step_key): "done" for event in self._of(dg.DagsterEventType.STEP_SUCCESS)}
        words |= {**dict.fromkeys(failed, "failed"), **dict.fromkeys(stopped, "stopped")}
        made: dict[str, list[dg.AssetMaterialization]] = {name: [] for name in self._tables}
        for event in self._of(dg.DagsterEventType.ASSET_MATERIALIZATION):
            made[event.step_materialization_data.materialization.asset_key.path[-1]].append(event.step_materialization_data.materialization)
        tables = tuple(_outcome(name, months, words.get(name, "not run"), failed.get(name, "")) for name, months in made.items())
        evaluations = [event.asset_check_evaluation_data for event in self._of(dg.DagsterEventType.ASSET_CHECK_EVALUATION)]
        verdicts = [
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
        ordered = tuple(sorted(verdicts, key=lambda v: (v.asset, v.name)))
        return RunOutcome(self.run_id, tables, ordered, tuple(failures), interrupted)

    def _of(self, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
        return [event for event in self._events if event.event_type is kind]

    def _hear(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            return
        self._events.append(event)
        blocked = event.event_type is dg.DagsterEventType.ENGINE_EVENT and event.step_key and "pool" in event.engine_event_data.metadata
        if blocked or event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY:
            self._wait(event)
            return
        self._seen += event.event_type in COUNTED
        if event.event_type in COUNTED or event.event_type is dg.DagsterEventType.STEP_START:
            self._told(self._seen, str(event.step_key or ""))

    def _wait(self, event: dg.DagsterEvent) -> None:
        """A step waits for its pool, which another run holds, or for its next try; Dagster would hold Ctrl-C back all the while."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)
        retries = event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY
        self._told(self._seen, f"{event.step_key} waits {'to try again' if retries else 'for another run to end'}")


def backfill(
    market: str,
    first: "str | Month",
    last: "str | Month | None" = None,
    *,
    assets: Sequence[str] | None = None,
    world: str | None = None,
    told: Told | None = None,
) -> RunOutcome:
    """
    Materialise and check months of *market*: what ``hydra-assets backfill`` does, in code.

    What is captured already is not fetched again, so a run that was cut short goes on where it was. In the live world futures cost
    money: ask ``hydra-assets quote`` first; the budgets of the settings hold here too.

    Args:
        market: a configured symbol, for example ``HE``.
        first, last: months such as ``2016-01``, both included; *last* defaults to *first*.
        assets: names of tables or groups (``raw``, ``derived``, ``features``); default all.
        world: ``sample`` or ``live``; default from ``HYDRA_WORLD``, else ``sample``.
        told: called with the number of materialisations and checks so far, and the name of the step under way.
    Returns:
        The outcome; ``ok`` is False where a step or a blocking check failed, and `RunOutcome.failures` says why.
    Raises:
        ConfigError: no such market or table. InvalidTimeError: no such months.
    """
    months = months_between(str(first), str(last or first))
    if not months:
        raise InvalidTimeError(f"{first}..{last} ends before it begins")
    run = MarketRun(resolve_home(world), market, months, assets)
    run.execute(told)
    return run.result()


def selected(assets: Sequence[str] | None) -> list[str]:
    """
    The tables of names and groups, in the order of the graph.

    Raises:
        ConfigError: neither a table nor a group.
    """
    groups = {spec.key.path[-1]: str(spec.group_name) for asset in ASSETS for spec in asset.specs}
    wanted = list(groups) if assets is None else list(assets)
    words = {*groups, *groups.values()}
    for word in wanted:
        if word not in words:
            near = difflib.get_close_matches(word, sorted(words), 1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else f"tables are {', '.join(groups)}; groups {', '.join(dict.fromkeys(groups.values()))}"
            )
            raise ConfigError(f"{word!r} is neither a table nor a group; {hint}")
    return [name for name, group in groups.items() if name in wanted or group in wanted]


def _outcome(name: str, months: Sequence[dg.AssetMaterialization], status: str, reason: str) -> TableOutcome:
    new_rows, gaps, paid = 0, [], 0.0
    for month in months:
        told: dict[str, Any] = {key: value.value for key, value in month.metadata.items()}
        new_rows += int(told.get("new_rows", 0))
        paid = max(paid, float(told.get("paid_usd", 0.0)))  # the run's, told beside every month
        days = month.metadata.get("calendar")
        if told.get("gap") and "reason" in told:
            gaps.append(Gap(str(parts_of(str(month.partition))[1]), str(told["reason"])))
        elif isinstance(days, dg.TableMetadataValue):
            lost = [record.data for record in days.records if record.data["state"] == "gap"]
            gaps += [Gap(str(day["day"]).split()[-1], str(day["note"])) for day in lost]
    return TableOutcome(name, status, len(months), new_rows, tuple(sorted(gaps, key=lambda gap: gap.when)), paid, reason)
