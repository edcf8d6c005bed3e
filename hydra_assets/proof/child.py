"""
Proofs in a fresh interpreter, so that nothing which code of others kept in memory when values were made can help it.

A template process imports this package alone and forks for every task: each starts clean, and the interpreter's start is paid once.
"""

import atexit
import contextlib
import datetime as dt
import gc
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, BinaryIO

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature
from hydra_assets.core.sealed.seal import sealed_import
from hydra_assets.errors import HydraError
from hydra_assets.features.compute import is_shipped, registered
from hydra_assets.features.futures import readiness

YEARS = range(-4, 2)  # around today, whose sessions a task is told: else each loads the package of calendars
_HEAD = struct.Struct(">Q")
_READINESS = {id(value): name for name, value in vars(readiness).items() if isinstance(value, readiness.Readiness)}


class FreshInterpreter:
    """The template process; one task at a time."""

    def __init__(self) -> None:
        words = [sys.executable, "-c", "from hydra_assets.proof.child import serve; serve()"]
        # In a group of its own: Ctrl-C in a terminal is for the caller, who ends this.
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)
        self._lock = threading.Lock()
        atexit.register(self.close)

    def run(self, function: Callable[..., Any], step: Callable[[int], None] | None = None, **arguments: Any) -> Any:
        """
        The answer of *function*, of a module of this package, called in a fork of the template.

        Args:
            function: called with *arguments*, and with ``step`` if that is given.
            step: called with every number that the function's own step is called with.
            arguments: ``features`` may hold features of third parties.

        Raises:
            HydraError: as the function raised it, or the process ended early.
        """
        if isinstance(calendar := arguments.get("calendar"), Calendar):
            today = dt.datetime.now(dt.UTC).year
            arguments["calendar"] = calendar.with_listed(today + YEARS[0], today + YEARS[-1])
        task = pickle.dumps((list(sys.path), _pickled((function, step is not None, arguments))))
        with self._lock, self._ended_if_cut_short():
            assert self._process.stdin is not None  # noqa: S101  for the type
            assert self._process.stdout is not None  # noqa: S101
            _send(self._process.stdin, task)
            while (message := _receive(self._process.stdout)) is not None:
                kind, content = pickle.loads(message)  # noqa: S301  of our own process
                if kind == "step":
                    if step is not None:
                        step(content)
                else:
                    break
        if message is not None and kind == "raised":
            raise content
        if message is not None:
            return content
        raise HydraError("the process of the proofs ended early; its last words are on standard error")

    @property
    def runs(self) -> bool:
        """Whether the template can take a task."""
        return self._process.poll() is None

    @contextlib.contextmanager
    def _ended_if_cut_short(self) -> Iterator[None]:
        """End template and task where the caller is interrupted: the answer would be taken for that of the next task."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise

    def close(self) -> None:
        """End the template."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()


def fresh_interpreter() -> FreshInterpreter:
    """The template of this process, started when it is first asked for."""
    if not _template(os.getpid()).runs:
        _template.cache_clear()
    return _template(os.getpid())


@cache
def _template(_process: int) -> FreshInterpreter:
    return FreshInterpreter()


# ---------------------------------------------------------------- features on their way


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Feature):
            return ("shipped", obj.name) if is_shipped(obj) else ("theirs", _theirs(obj))
        if id(obj) in _READINESS:
            return ("readiness", _READINESS[id(obj)])
        return None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        kind, name = pid
        if kind == "readiness":
            return getattr(readiness, name)
        if kind == "shipped":
            return next(feature for feature in registered() if feature.name == name and is_shipped(feature))
        name, fields = name
        theirs = next((feature for feature in registered() if feature.name == name and not is_shipped(feature)), None)
        if theirs is None and fields is None:
            return None
        if theirs is None:
            with sealed_import(name):
                theirs = Feature(**_Unpickler(io.BytesIO(fields)).load())
        return theirs


def _theirs(feature: Feature) -> tuple[str, bytes | None]:
    """Name and fields of a third party's feature; no fields where its function can only be found through its entry point."""
    try:
        return feature.name, _pickled({name: getattr(feature, name) for name in Feature.__dataclass_fields__})
    except Exception:
        return feature.name, None


def _pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()


# ---------------------------------------------------------------- the template's side


def serve() -> None:
    """Answer tasks from standard input until it ends, each in a fork."""
    import pandas  # noqa: F401
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401  cannot be loaded while the seal holds Arrow's openers
    import scipy.special  # noqa: F401

    import hydra_assets.proof.poison
    import hydra_assets.proof.replay  # noqa: F401  loaded before the first task

    gc.freeze()  # a fork's collections would copy what it shares with the template
    tasks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what code of others prints is no answer
    while (message := _receive(tasks)) is not None:
        child = os.fork()
        if not child:
            _answer(message, answers)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            _send(answers, pickle.dumps(("raised", HydraError(f"the process of the proofs ended early, with status {status}"))))


def _answer(message: bytes, answers: BinaryIO) -> None:
    try:
        paths, rest = pickle.loads(message)  # noqa: S301  of our own process
        sys.path[:] = paths  # code of others is found where the caller finds it
        function, counted, arguments = _Unpickler(io.BytesIO(rest)).load()
        # a function that cannot be found afresh (made inside of another one, and of no entry point) is not looked at: unproven
        if "features" in arguments:
            arguments["features"] = [feature for feature in arguments["features"] if feature is not None]
        if arguments.get("names") is not None:
            found = {feature.name for feature in arguments["features"]}
            arguments["names"] = [name for name in arguments["names"] if name in found]
        if counted:
            arguments["step"] = lambda n: _send(answers, pickle.dumps(("step", n)))
        answer = ("done", function(**arguments))
    except Exception as error:
        traceback.print_exc()
        answer = ("raised", error if isinstance(error, HydraError) else HydraError(f"{type(error).__name__}: {error}"))
    _send(answers, pickle.dumps(answer))


def _send(stream: Any, message: bytes) -> None:
    stream.write(_HEAD.pack(len(message)))
    stream.write(message)
    stream.flush()


def _receive(stream: Any) -> bytes | None:
    head = stream.read(_HEAD.size)
    return stream.read(_HEAD.unpack(head)[0]) if len(head) == _HEAD.size else None
