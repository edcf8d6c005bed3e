"""
A seal around code of others: files, sockets, databases, processes and threads are refused while it runs.

Python tells an audit hook of each of them. The hook is installed once a process and looks at one context variable; outside of
sealed code it refuses nothing. Libraries that open files without Python (Arrow, Polars, DuckDB) are not seen here; a proof also
takes the file descriptors away (`hydra_assets.proof.child`).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import FrameType
from typing import Any

from hydra_assets.core.feature import Feature
from hydra_assets.errors import ImpureFeatureError

Refuses = Callable[[str, tuple[Any, ...]], bool]
_SEAL: ContextVar[tuple[str, Refuses] | None] = ContextVar("seal", default=None)
_REFUSED = frozenset(
    {
        "open", "mmap.__new__", "glob.glob", "glob.glob/2", "pathlib.Path.glob", "pathlib.Path.rglob", "pty.spawn",
        "os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
        "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.putenv", "os.startfile",
        "subprocess.Popen", "_thread.start_new_thread", "_thread.start_joinable_thread", "ctypes.dlopen",
    }
)  # fmt: skip
_REFUSED_FAMILIES = ("socket.", "sqlite3.", "urllib.", "http.client.", "ftplib.", "smtplib.", "imaplib.", "poplib.", "shutil.", "tempfile.")
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".dylib")
_READERS_OF_CODE = ("importlib", "linecache", "tokenize", "zipimport", "<frozen importlib", "<frozen zipimport")
_DATABASES = ("sqlite3.connect", "socket.connect", "socket.getaddrinfo", "socket.sendto")


def run_sealed(feature: Feature, *args: Any) -> Any:
    """
    The answer of the feature's function, run under the seal.

    Raises:
        ImpureFeatureError: the function, or what it calls, reached outside of its arguments.
    """
    _install()
    token = _SEAL.set((feature.name, _refused_while_computing))
    try:
        return feature.function(*args)
    finally:
        _SEAL.reset(token)


@contextmanager
def sealed_import(name: str) -> Iterator[None]:
    """A block in which a package is imported: it may read its own files, but no database, no network and no folder of a lake."""
    _install()
    token = _SEAL.set((name, _refused_while_importing))
    try:
        yield
    finally:
        _SEAL.reset(token)


@cache
def _install() -> None:
    sys.addaudithook(_hook)  # for the life of the process: a hook cannot be removed


def _hook(event: str, args: tuple[Any, ...]) -> None:
    seal = _SEAL.get()
    if seal is None:
        return
    name, refuses = seal
    if refuses(event, args):
        what = ", ".join(repr(arg)[:200] for arg in args[:2])
        raise ImpureFeatureError(
            f"{name}: {event} {what} is refused; a feature is a pure function of its inputs: declare a table as an input, and import"
            f" modules at the top of the file",
            feature=name,
        )


def _refused_while_computing(event: str, args: tuple[Any, ...]) -> bool:
    if event not in _REFUSED and not event.startswith(_REFUSED_FAMILIES):
        return False
    frame = sys._getframe(2)  # an event of its own, which is not refused; behind the hook stands who opens
    return not (_reads_code(event, args, frame) or _reads_time_zone(event, args))


def _refused_while_importing(event: str, args: tuple[Any, ...]) -> bool:
    if event in ("open", "os.listdir", "os.scandir"):
        return bool(args) and "data_type=" in str(args[0])
    return event in _DATABASES


def _reads_code(event: str, args: tuple[Any, ...], frame: FrameType) -> bool:
    """An import, or the source line of a warning."""
    if not _module_of(frame).startswith(_READERS_OF_CODE):
        return event == "ctypes.dlopen" and any(_module_of(outer).startswith("importlib") for outer in _outwards(frame, 40))
    if event != "open" or not args or isinstance(args[0], int):  # a number: the import's own bytecode, opened a line before by name
        return True
    return str(args[0]).endswith(_CODE) or ".pyc." in str(args[0])


def _reads_time_zone(event: str, args: tuple[Any, ...]) -> bool:
    return event == "open" and len(args) > 1 and "/zoneinfo/" in str(args[0]) and args[1] in ("r", "rb")


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or frame.f_code.co_filename)


def _outwards(frame: FrameType | None, most: int) -> Iterator[FrameType]:
    while frame is not None and most:
        yield frame
        frame, most = frame.f_back, most - 1
