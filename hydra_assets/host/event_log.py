"""
Dagster's SQLite event log with its connections kept open, for a run in a command's own process.

Dagster opens the file anew for each event and each look: a run of a year stores some 1,300 events with 6,400 openings, each of which
compiles its statements again. The daemon and the webserver use Dagster's own class on the same files.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, StaticPool, create_engine

from hydra_assets.config.home import Home

# Of what steps print: for runs of a command it goes to the terminal alone. To keep it too, Dagster would start two processes a step, and
# put files in the place of the terminal.
_COMPUTE_LOGS = {"compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}}
_BATCH = "DAGSTER_EVENT_BATCH_SIZE"
_BATCH_EVENTS = 500
_CONFIGURED = ("storage", "event_log_storage", "run_storage", "schedule_storage")


@contextmanager
def command_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """The home's own instance for a command's process; a storage that its ``dagster.yaml`` names is used as it is."""
    home.prepare_dagster()
    settings, _ = dagster_instance_config(str(home.dagster))
    reference = InstanceRef.from_dir(str(home.dagster), overrides=_COMPUTE_LOGS | kept_open(home.dagster, settings))
    with _stored_together(), dg.DagsterInstance.from_ref(reference) as instance:
        yield instance


def kept_open(dagster_home: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides of an instance that keep its event log open; none where its *settings* name a storage of their own."""
    if any(settings.get(key) for key in _CONFIGURED):
        return {}
    folder = str(dagster_home / "history" / "runs")
    return {"event_log_storage": {"module": __name__, "class": KeptEventLog.__name__, "config": {"base_dir": folder}}}


@contextmanager
def _stored_together() -> Iterator[None]:
    """Let Dagster store the events of a step's partitions in one transaction instead of one each."""
    before = os.environ.get(_BATCH)
    os.environ[_BATCH] = str(_BATCH_EVENTS)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_BATCH]
        else:
            os.environ[_BATCH] = before


class KeptEventLog(SqliteEventLogStorage):
    """Event log whose files are opened once; a batch of events is one transaction a file."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._lock = threading.RLock()  # a batch stores its events one by one inside its own transactions
        self._batch: tuple[ExitStack, dict[str, Connection]] | None = None
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._lock:
            engine = self._opened(shard)
            if self._batch is None:
                with engine.begin() as connection:
                    yield connection
            else:
                stack, connections = self._batch
                if shard not in connections:
                    connections[shard] = stack.enter_context(engine.begin())
                yield connections[shard]

    def _opened(self, shard: str) -> Engine:
        if shard not in self._engines:
            options = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}  # the lock lets one thread in at a time
            self._engines[shard] = create_engine(self.conn_string_for_shard(shard), poolclass=StaticPool, connect_args=options)
            self._initdb(self._engines[shard])
        return self._engines[shard]

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        with self._lock, ExitStack() as stack:
            self._batch = (stack, {})
            try:
                for event in events:
                    self.store_event(event)
            finally:
                self._batch = None

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def dispose(self) -> None:
        super().dispose()
        with self._lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()
