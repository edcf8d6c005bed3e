"""
Months of one market as one Dagster run: ``hydra-assets backfill``, and `hydra_assets.backfill` in code.

The assets and checks are those of the UI, and the run is recorded in the home's own instance: the UI shows it, also while it is
open.
"""

import datetime as dt
import difflib
import fnmatch
import logging
import signal
import threading
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import dagster as dg

from hydra_assets.config.home import Home, resolve_home
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.names import names_of
from hydra_assets.definitions import ASSETS, definitions_for
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, parts_of
from hydra_assets.defs.progress import month_in
from hydra_assets.defs.raw import AGAIN_SINCE, UP_TO_BUDGET
from hydra_assets.defs.served_check import NAME, STEPS
from hydra_assets.errors import ConfigError, InvalidTimeError
from hydra_assets.host.event_log import command_instance
from hydra_assets.host.interrupts import noticed_interrupts
from hydra_assets.host.outcome import RunOutcome
from hydra_assets.host.run_events import outcome_of
from hydra_assets.host.run_locks import cancel_dead_runs, run_lock

# Databento's client turns on every package's deprecation warnings; users cannot act on Dagster's own.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="dagster")
Progress = Callable[[int, str], None]


class MarketRun:
    """
    Months of one market through Dagster, as one run like a backfill of the UI.

    Args:
        home: the world's folders.
        market: a configured symbol.
        months: consecutive months, at least one.
        assets: names of tables or groups, or patterns such as ``cot_*``; default all.
        again: ask for days that are held too, unless they were seen today already.
        up_to_budget: what the budgets do not allow are gaps, and no failure.

    Raises:
        ConfigError: unknown market or table.
        InvalidTimeError: a month outside the partitions.
    """

    def __init__(
        self,
        home: Home,
        market: str,
        months: Sequence[Month],
        assets: Sequence[str] | None = None,
        *,
        again: bool = False,
        up_to_budget: bool = False,
    ) -> None:
        config = load_config()
        config.market(market)
        for month in (months[0], months[-1]):
            if not MARKET_MONTH.has_partition_key(key_of(market, month)):
                first = config.start_month
                raise InvalidTimeError(f"{month} is no partition: they go from {first} (start_month in config.yaml) to the current month")
        self._home, self._market, self._months = home, market, list(months)
        self._tables = selected(assets)
        self._tags = {UP_TO_BUDGET: "true"} if up_to_budget else {}
        self._tags |= {AGAIN_SINCE: dt.datetime.now(dt.UTC).date().isoformat()} if again else {}
        defs = definitions_for(home)
        self._job = defs.resolve_implicit_global_asset_job_def()
        checks = [key for check in defs.asset_checks or () for key in check.check_keys if key.asset_key.path[-1] in self._tables]
        self.run_id = str(uuid.uuid4())
        self.steps = len(self._tables) * len(self._months) + len(checks)
        self._done: set[tuple[str, str]] = set()  # table and month, or check
        self._interrupted = False
        self._events: list[dg.DagsterEvent] = []
        self._progress: Progress = lambda done, doing: None

    def execute(self, progress: Progress | None = None) -> None:
        """
        Run to the end; `result` holds the outcome. In the main thread Ctrl-C ends the run, and appended rows stay.

        Args:
            progress: called with the number of months and checks done so far, and the current step.
        """
        self._progress = progress or self._progress
        tags = {
            "dagster/asset_partition_range_start": str(key_of(self._market, self._months[0])),
            "dagster/asset_partition_range_end": str(key_of(self._market, self._months[-1])),
            # The daemon cannot retry a run of this process: it does not know its code. The next command goes on instead.
            "dagster/max_retries": "0",
            "hydra/command": "backfill",
            "hydra/market": self._market,
            "hydra/months": str(self._months[0]) if len(self._months) == 1 else f"{self._months[0]}..{self._months[-1]}",
            **self._tags,
        }
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with noticed_interrupts() as noticed, command_instance(self._home) as instance, run_lock(self._home, self.run_id):
            cancel_dead_runs(self._home, instance)
            instance.add_event_listener(self.run_id, self._on_event)
            try:
                self._job.execute_in_process(
                    instance=instance,
                    run_id=self.run_id,
                    tags=tags,
                    run_config=quiet,
                    raise_on_error=False,
                    asset_selection=[dg.AssetKey(name) for name in self._tables],
                )
            except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
                self._interrupted = True
            self._interrupted |= noticed()
            self._end(instance)

    def _end(self, instance: dg.DagsterInstance) -> None:
        """Cancel the run where Ctrl-C met Dagster between two steps: it would show it as started for hours."""
        run = instance.get_run_by_id(self.run_id)
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run, message="Stopped with Ctrl-C; what it had appended is kept.")
            instance.event_log_storage.free_concurrency_slots_for_run(self.run_id)

    def result(self) -> RunOutcome:
        """Outcome of each table, the checks' verdicts and the failures, as far as the run has come."""
        outcome = outcome_of(self.run_id, self._events, self._tables)
        return replace(outcome, interrupted=outcome.interrupted or self._interrupted)

    def _on_event(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:  # a line of the log: a vendor's progress with what takes long
            if entry.step_key and entry.level == logging.INFO:
                if (month := month_in(entry.user_message)) is not None:
                    self._done.add((entry.step_key, month))
                self._report(f"{entry.step_key} {entry.user_message}")
            return
        self._events.append(event)
        blocked = event.event_type is dg.DagsterEventType.ENGINE_EVENT and event.step_key and "pool" in event.engine_event_data.metadata
        if blocked or event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY:
            self._on_wait(event)
            return
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            made = event.step_materialization_data.materialization
            self._done.add((made.asset_key.path[-1], str(parts_of(str(made.partition))[1])))
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            self._done.add((check.asset_key.path[-1], check.check_name))
        elif event.event_type is dg.DagsterEventType.STEP_SUCCESS and event.step_key in STEPS:  # perhaps without an evaluation
            self._done.add((STEPS[event.step_key], NAME))
        elif event.event_type is not dg.DagsterEventType.STEP_START:
            return
        self._report(str(event.step_key or ""))

    def _report(self, doing: str) -> None:
        self._progress(len(self._done), doing)

    def _on_wait(self, event: dg.DagsterEvent) -> None:
        """Report a step that waits for its pool or its next try, and let Ctrl-C through, which Dagster holds back during a wait."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)
        retries = event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY
        self._report(f"{event.step_key} waits {'to try again' if retries else 'for another run to end'}")


def backfill(
    market: str,
    first: "str | Month",
    last: "str | Month | None" = None,
    *,
    assets: Sequence[str] | None = None,
    world: str | None = None,
    progress: Progress | None = None,
) -> RunOutcome:
    """
    Materialise and check months of *market*, as ``hydra-assets backfill`` does.

    Captured days are not fetched again, so an interrupted run continues where it stopped. In the live world futures cost money:
    see the price with ``hydra-assets quote`` first; the budgets of the settings apply here too.

    Args:
        market: a configured symbol, for example ``HE``.
        first: a month such as ``2016-01``.
        last: the last month, inclusive; defaults to *first*.
        assets: names of tables or groups (``raw``, ``derived``, ``features``), or patterns such as ``cot_*``; default all.
        world: ``sample`` or ``live``; default from ``HYDRA_WORLD``, else ``sample``.
        progress: called with the number of months and checks done so far, and the current step.

    Returns:
        The outcome; ``ok`` is False after a failed step or blocking check, with the reasons in `RunOutcome.failures`.

    Raises:
        ConfigError: unknown market or table.
        InvalidTimeError: not a range of months.
    """
    months = months_between(str(first), str(last or first))
    if not months:
        raise InvalidTimeError(f"{first}..{last} ends before it begins")
    run = MarketRun(resolve_home(world), market, months, assets)
    run.execute(progress)
    return run.result()


def selected(assets: Sequence[str] | None) -> list[str]:
    """
    Tables of the given names, groups and patterns such as ``cot_*``, in the order of the asset graph.

    Raises:
        ConfigError: a name of no table or group, or a pattern that meets none.
    """
    groups = {spec.key.path[-1]: str(spec.group_name) for asset in ASSETS for spec in asset.specs}
    requested = list(groups) if assets is None else names_of(assets, "assets")
    known = {*groups, *groups.values()}
    for name in requested:
        if not fnmatch.filter(known, name):
            near = difflib.get_close_matches(name, sorted(known), 1)
            tables = f"tables are {', '.join(groups)}; groups {', '.join(dict.fromkeys(groups.values()))}"
            raise ConfigError(f"{name!r} is neither a table nor a group; {f'did you mean {near[0]}?' if near else tables}")
    return [name for name, group in groups.items() if any(fnmatch.filter((name, group), one) for one in requested)]
