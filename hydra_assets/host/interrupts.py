"""Ctrl-C during work of which others handle the signal: it is seen, whoever swallowed it."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def noticed_interrupts() -> Iterator[Callable[[], bool]]:
    """
    Yield a function that says whether SIGINT or SIGTERM arrived since the block began.

    Python writes every signal that it handles to one descriptor, before any handler runs. In another thread than the main one
    nothing is noticed: signals are handled in the main thread alone.
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
        yield noticed
    finally:
        signal.set_wakeup_fd(before)
        noticed()
        os.close(writer)
        os.close(reader)
