"""The context manager of what has to be closed."""

from types import TracebackType
from typing import Self


class Closing:
    """Base of what is opened and closed: leaving its ``with`` block closes it."""

    def close(self) -> None:
        """Release what is held open; a second call does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
