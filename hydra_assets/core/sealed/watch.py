"""
Calls of code of others that an audit hook is not told of: the clock, threads, and readers that open files without Python.

A profile function sees each of them, under whatever name the code imported it. It costs about a tenth of a microsecond a call, and is set
only while code of a third party runs.
"""

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hydra_assets.core.sealed.arrow import ARROW
from hydra_assets.core.sealed.frames import is_path, reads_code
from hydra_assets.core.sealed.replacement import Place, Replacement

Refuse = Callable[[str], None]
_CLOCKS = {"time": {"time", "time_ns", "clock_gettime", "clock_gettime_ns", "localtime", "gmtime", "ctime"}}
_NOW = ("now", "utcnow", "today")
_THREADS = {"_thread": {"start_new_thread", "start_joinable_thread"}}
_WATCHES = {"sys": {"setprofile", "settrace"}}
_READERS = {
    "pyarrow.parquet.core": ("read_", "write_", "__init__"),
    "pyarrow.dataset": ("dataset", "parquet_dataset", "write_dataset"),
    "pyarrow.feather": ("read_", "write_"),
    "pyarrow.fs": ("_resolve_filesystem_and_path", "_ensure_filesystem", "copy_files"),
    "pyarrow.orc": ("read_", "write_", "__init__"),
    "pyarrow.ipc": ("__init__",),
    "polars.io": ("read_", "scan_", "write_", "sink_"),
    "duckdb": ("",),
}
_DATABASES = (".sqlite", ".sqlite3", ".db", ".duckdb")


@contextmanager
def watched(refuse: Refuse, step: Callable[[], None]) -> Iterator[None]:
    """
    A block in which *refuse* is called with the name of each call of the clock, a thread, or a reader.

    Args:
        refuse: raises.
        step: called at each call of whatever function.
    """
    names = {**_CLOCKS, **_THREADS, **_WATCHES}

    def outside(frame: FrameType, event: str, called: Any) -> str:
        step()
        if event == "c_call":
            return _of(called, names) or _now(called) or _native(called, frame)
        return _reader(frame) if event == "call" else ""

    def replaced(name: str, _: tuple[Any, ...]) -> None:
        refuse(name)

    # The profile last: it would look at the exchange of the attributes, too, which takes it longer than the exchange itself.
    with _PANDAS_CLOCK.watched(replaced), _DUCKDB.watched(replaced), ARROW.watched(replaced), _profile(outside, refuse):
        yield


@contextmanager
def watched_import(refuse: Refuse) -> Iterator[None]:
    """A block in which *refuse* is called with the name of each start of a thread, and of each reader that is given a lake or database."""

    def outside(frame: FrameType, event: str, called: Any) -> str:
        if event == "c_call":
            return _of(called, _THREADS)
        name = _reader(frame) if event == "call" else ""
        return name if name and any(map(_is_data, frame.f_locals.values())) else ""

    def arrow(name: str, given: tuple[Any, ...]) -> None:
        if any(map(_is_data, given)):
            refuse(name)

    with _DUCKDB.watched(lambda name, _: refuse(name)), ARROW.watched(arrow), _profile(outside, refuse):
        yield


@contextmanager
def _profile(outside: Callable[[FrameType, str, Any], str], refuse: Refuse) -> Iterator[None]:
    def watch(frame: FrameType, event: str, called: Any) -> None:
        if name := outside(frame, event, called):
            refuse(name)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)


def _reader(frame: FrameType) -> str:
    module, name = str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
    if not module.startswith(("pyarrow.", "polars.io", "duckdb")) or name.startswith("<"):
        return ""
    starts = next((starts for of, starts in _READERS.items() if module == of or module.startswith(f"{of}.")), None)
    if not starts or not name.startswith(starts) or reads_code(frame) or (module == "pyarrow.ipc" and not _by_path(frame)):
        return ""
    return f"{module}.{name}"


def _by_path(frame: FrameType) -> bool:
    """Whether a stream of Arrow messages is opened by its path, rather than in memory."""
    return any(is_path(frame.f_locals.get(name)) for name in ("source", "sink"))


def _of(called: Any, names: dict[str, set[str]]) -> str:
    module, name = getattr(called, "__module__", None), getattr(called, "__name__", "")
    return f"{module}.{name}" if isinstance(module, str) and name in names.get(module, ()) else ""


def _native(called: Any, frame: FrameType) -> str:
    """A compiled function of a library that opens files by itself."""
    module = getattr(called, "__module__", None)
    native = isinstance(module, str) and module.partition(".")[0] in ("duckdb", "_duckdb")
    return f"{module}.{called.__name__}" if native and not reads_code(frame) else ""


def _now(called: Any) -> str:
    owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
    return f"{owner.__name__}.{name}" if name in _NOW and isinstance(owner, type) and issubclass(owner, dt.date) else ""


def _pandas_clock() -> Iterator[Place]:
    """``Timestamp.now``, which is compiled in a way that no profile is told of."""
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return
    for name in _NOW:
        yield pandas.Timestamp, name, _asking_clock(name, vars(pandas.Timestamp)[name])


def _asking_clock(name: str, before: Any) -> Any:
    def now(cls: type, *args: Any, **keywords: Any) -> Any:
        _PANDAS_CLOCK.ask(f"Timestamp.{name}", args)
        return before.__get__(None, cls)(*args, **keywords)

    return classmethod(now)


def _duckdb() -> Iterator[Place]:
    """Functions of DuckDB that no profile is told of."""
    module = sys.modules.get("duckdb")
    for name, function in list(vars(module).items()) if module else ():
        if type(function).__name__ == "nb_func":
            yield module, name, _asking_duckdb(name, function)


def _asking_duckdb(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **keywords: Any) -> Any:
        _DUCKDB.ask(f"duckdb.{name}", args)
        return function(*args, **keywords)

    return called


_PANDAS_CLOCK, _DUCKDB = Replacement(_pandas_clock), Replacement(_duckdb)


def _is_data(value: object) -> bool:
    """Whether a call's argument names a lake, a folder or file of one, or a database."""
    if not is_path(value):
        return False
    text = str(value).rstrip("/")
    return "data_type=" in text or text.endswith((*_DATABASES, "/lake"))
