"""Ctrl-C during work of which others handle the signal: it is seen, whoever swallowed it."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

# Every connection of Dagster's SQLite storages is opened by this pool, which logs what interrupts its work with a traceback.
_POOL = logging.getLogger("sqlalchemy.pool.impl.NullPool")


@contextlib.contextmanager
def noticed_interrupts() -> Iterator[Callable[[], bool]]:
    """
    Yield a function that says whether SIGINT or SIGTERM arrived since the block began.

    Python writes every signal that it handles to one descriptor, before any handler runs. In another thread than the main one
    nothing is noticed: signals are handled in the main thread alone. From the signal on, connections and finalizers that it met
    report nothing on standard error; without a signal they report as always.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before, seen = signal.set_wakeup_fd(writer, warn_on_full_buffer=False), bytearray()

    def noticed() -> bool:
        with contextlib.suppress(OSError):  # nothing to read, or closed after the block
            seen.extend(os.read(reader, 64))
        return signal.SIGINT in seen or signal.SIGTERM in seen

    try:
        with _quiet_once(noticed):
            yield noticed
    finally:
        signal.set_wakeup_fd(before)
        noticed()
        os.close(writer)
        os.close(reader)


@contextlib.contextmanager
def _quiet_once(noticed: Callable[[], bool]) -> Iterator[None]:
    """Drop the pool's log and the exceptions that Python cannot raise, from the moment that *noticed* holds."""
    report = sys.unraisablehook

    def unless_stopping(unraisable: "sys.UnraisableHookArgs") -> None:
        if not noticed():
            report(unraisable)

    def kept(_record: logging.LogRecord) -> bool:
        return not noticed()

    _POOL.addFilter(kept)
    sys.unraisablehook = unless_stopping
    try:
        yield
    finally:
        sys.unraisablehook = report
        _POOL.removeFilter(kept)
