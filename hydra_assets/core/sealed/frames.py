"""Callers and arguments of a function, as far as the seal needs to know them."""

from collections.abc import Iterator
from types import FrameType

_READERS_OF_CODE = ("importlib", "linecache", "tokenize", "zipimport", "<frozen importlib", "<frozen zipimport")
_DEPTH = 40


def module_of(frame: FrameType) -> str:
    """Name of the module whose code the frame runs."""
    return str(frame.f_globals.get("__name__") or frame.f_code.co_filename)


def is_reader_of_code(frame: FrameType) -> bool:
    """Whether the frame is of Python's own modules that import code or show its lines."""
    return module_of(frame).startswith(_READERS_OF_CODE)


def reads_code(frame: FrameType) -> bool:
    """Whether the frame, or a caller of it, is an import."""
    return any(module_of(outer).startswith("importlib") for outer in _outwards(frame))


def is_path(value: object) -> bool:
    """Whether an argument is a path: text, or an object that stands for a path."""
    return isinstance(value, str) or hasattr(type(value), "__fspath__")


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    depth = 0
    while frame is not None and depth < _DEPTH:
        yield frame
        frame, depth = frame.f_back, depth + 1
