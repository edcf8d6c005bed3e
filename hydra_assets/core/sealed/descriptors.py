"""A process without file descriptors, for as long as code of others runs: libraries that open files without Python are stopped, too."""

import builtins
import importlib
import resource
from collections.abc import Callable
from typing import Any, Self

_EXHAUSTED = ("Too many open files", "os error 24", "Errno 24")


class NoDescriptors:
    """
    A block in which the process can open nothing, imports excepted; for a process of one thread.

    Attributes:
        lifted: something may be opened, until `lower` is called.
        importing: number of imports under way, one inside the other.
    """

    def __init__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.lifted, self.importing = True, 0

    def __enter__(self) -> Self:
        self._importers = builtins.__import__, importlib.import_module
        builtins.__import__, importlib.import_module = (self._lifting(function) for function in self._importers)
        self.lower()
        return self

    def __exit__(self, *_: object) -> None:
        self.lift()
        builtins.__import__, importlib.import_module = self._importers

    def lift(self) -> None:
        """Allow what is opened next."""
        if not self.lifted:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._before)
            self.lifted = True

    def lower(self) -> None:
        """Allow nothing again, but for an import under way."""
        if self.lifted and not self.importing:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, self._before[1]))
            self.lifted = False

    def _lifting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def importing(*args: Any, **keywords: Any) -> Any:
            self.importing += 1
            self.lift()
            try:
                return function(*args, **keywords)
            finally:
                self.importing -= 1
                self.lower()

        return importing


def lacks_descriptors(error: BaseException) -> bool:
    """Whether an error, of whatever library, is of a file that could not be opened inside of `NoDescriptors`."""
    return any(text in str(error) for text in _EXHAUSTED)
