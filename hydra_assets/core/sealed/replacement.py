"""Attributes of modules and classes that are others while code of others runs, for calls that neither a hook nor a profile is told of."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Refuses = Callable[[str, tuple[Any, ...]], None]
Place = tuple[Any, str, Any]  # owner, attribute, and what it is for as long as a block runs


class _Thread(threading.local):
    """
    State of the thread.

    Attributes:
        refuses: called with the name and the arguments of each call; None outside of a block.
    """

    refuses: Refuses | None = None


class Replacement:
    """
    Exchange of attributes, once for all threads that are in a block: the last to leave puts them back.

    What is put in place asks the thread that calls it (`ask`), and does as before in any thread that is in no block; so it does no harm to
    other threads, nor where a package that is imported in a block keeps it.

    Args:
        places: the attributes that there are by now, asked for as each block begins.
    """

    def __init__(self, places: Callable[[], Iterable[Place]]) -> None:
        self._places, self._thread = places, _Thread()
        self._lock, self._blocks = threading.Lock(), 0
        self._before: dict[tuple[Any, str], Any] = {}

    @contextmanager
    def watched(self, refuses: Refuses) -> Iterator[None]:
        """A block in which *refuses* is called with the name and the arguments of each call that the thread makes; it raises."""
        before, self._thread.refuses = self._thread.refuses, refuses
        self._enter()
        try:
            yield
        finally:
            self._leave()
            self._thread.refuses = before

    def ask(self, name: str, given: tuple[Any, ...]) -> None:
        """Have the block of the calling thread, if it is in one, refuse a call."""
        if self._thread.refuses is not None:
            self._thread.refuses(name, given)

    def _enter(self) -> None:
        with self._lock:
            self._blocks += 1
            for owner, name, replacement in self._places():
                if (owner, name) not in self._before:
                    self._before[owner, name] = vars(owner)[name]
                    setattr(owner, name, replacement)

    def _leave(self) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                while self._before:
                    (owner, name), before = self._before.popitem()
                    setattr(owner, name, before)
