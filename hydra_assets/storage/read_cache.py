"""Tables of files that were read lately, so that a run does not decode a month again for each step and check."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import pyarrow as pa

MOST_BYTES = 32 * 2**20


class ReadCache:
    """
    The newest tables read, by key and by the state of their file; safe for threads.

    The lake's files never change, so a hit is what the file held when its checksums were last compared. A file whose state is
    another one is read, and its checksums compared, anew.

    Args:
        most_bytes: what the tables may take together; the longest unused go first.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._bytes, self._lock = most_bytes, 0, threading.Lock()
        self._held: OrderedDict[str, tuple[Hashable, pa.Table, int]] = OrderedDict()

    def table(self, key: str, state: Hashable | None, read: Callable[[str], pa.Table]) -> pa.Table:
        """The table of *key*: as held where it was read in *state*, else by *read*; nothing is held of an unknown state."""
        if state is None:
            return read(key)
        with self._lock:
            held = self._held.get(key)
            if held is not None and held[0] == state:
                self._held.move_to_end(key)
                return held[1]
        table = read(key)
        size = table.nbytes
        with self._lock:
            self._bytes += size - self._held.pop(key, (None, None, 0))[2]
            self._held[key] = (state, table, size)
            while self._bytes > self._most:
                self._bytes -= self._held.popitem(last=False)[1][2]
        return table
