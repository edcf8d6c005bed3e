"""
Openers of Arrow that neither an audit hook nor a profile is told of, refused beside other threads, too.

Each is another object for as long as a block runs. The replacement asks the thread that calls it, and opens as before in any thread that
is in no block; so it does no harm to other threads, nor where a package that is imported in a block keeps it.
"""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

from hydra_assets.core.sealed.frames import is_path

Refuses = Callable[[str, tuple[Any, ...]], None]
_IN_MEMORY = {  # position and name of the argument that may be a buffer or an open file as well; the other openers take nothing but a path
    "read_csv": (0, "input_file"),
    "open_csv": (0, "input_file"),
    "write_csv": (1, "output_file"),
    "CSVWriter": (0, "sink"),
    "read_json": (0, "input_file"),
    "open_json": (0, "input_file"),
    "input_stream": (0, "source"),
    "output_stream": (0, "source"),
}
_LIB = ("OSFile", "memory_map", "create_memory_map", "input_stream", "output_stream", "MemoryMappedFile")
_CSV = ("read_csv", "open_csv", "write_csv", "CSVWriter")
_JSON = ("read_json", "open_json")
_REMOTE = ("S3FileSystem", "GcsFileSystem", "AzureFileSystem", "HadoopFileSystem")
_OPENERS = {
    "pyarrow": _LIB,
    "pyarrow.lib": _LIB,
    "pyarrow.csv": _CSV,
    "pyarrow._csv": _CSV,
    "pyarrow.json": _JSON,
    "pyarrow._json": _JSON,
    "pyarrow.fs": ("FileSystem", "LocalFileSystem", *_REMOTE),
    "pyarrow._fs": ("FileSystem", "LocalFileSystem"),
}
_FACTORIES = ("create", "from_uri")


class _Thread(threading.local):
    """
    State of the thread.

    Attributes:
        refuses: called with the name and the arguments of each opener; None outside of a block.
    """

    refuses: Refuses | None = None


class _Replacement:
    """Exchange of the openers, once for all threads that are in a block: the last to leave puts them back."""

    def __init__(self) -> None:
        self._lock, self._blocks = threading.Lock(), 0

    def enter(self) -> None:
        """Put the replacements in place for the first block."""
        with self._lock:
            self._blocks += 1
            if self._blocks == 1:
                self._put(1)

    def leave(self) -> None:
        """Put the openers back after the last block."""
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                self._put(0)

    @staticmethod
    def _put(which: int) -> None:
        for module, name, *pair in _places():
            setattr(sys.modules[module], name, pair[which])


_THREAD, _REPLACEMENT = _Thread(), _Replacement()


@contextmanager
def arrow_watched(refuses: Refuses) -> Iterator[None]:
    """A block in which *refuses* is called with the name and the arguments of each opener that the thread calls; it raises."""
    before, _THREAD.refuses = _THREAD.refuses, refuses
    _REPLACEMENT.enter()
    try:
        yield
    finally:
        _REPLACEMENT.leave()
        _THREAD.refuses = before


def opens_by_path(name: str, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
    """Whether a call of an opener opens a file, rather than reads or writes what is open or in memory already."""
    if name not in _IN_MEMORY:
        return True
    position, keyword = _IN_MEMORY[name]
    given = args[position] if len(args) > position else keywords.get(keyword)
    return is_path(given)


@cache
def _places() -> tuple[tuple[str, str, Any, Any], ...]:
    """Module, name, opener and replacement, of all openers that this build of Arrow has."""
    modules = {name: importlib.import_module(name) for name in _OPENERS}
    replaced: dict[int, Any] = {}
    return tuple(
        (module, name, opener, replaced.setdefault(id(opener), _refusing(opener, name)))
        for module, names in _OPENERS.items()
        for name in names
        if (opener := vars(modules[module]).get(name)) is not None
    )


def _refusing(opener: Any, name: str) -> Any:
    return _refusing_class(opener, name) if isinstance(opener, type) else _refusing_function(opener, name)


def _refusing_function(opener: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(opener)
    def called(*args: Any, **keywords: Any) -> Any:
        _ask(name, args, keywords)
        return opener(*args, **keywords)

    return called


def _refusing_class(opener: type, name: str) -> type:
    class Refusing(type):
        def __call__(cls, *args: Any, **keywords: Any) -> Any:
            _ask(name, args, keywords)
            return opener(*args, **keywords) if cls is replacement else super().__call__(*args, **keywords)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, opener) if cls is replacement else super().__instancecheck__(instance)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, opener) if cls is replacement else super().__subclasscheck__(other)

    factories = {of: getattr(opener, of) for of in _FACTORIES if hasattr(opener, of)}
    refusing = {of: staticmethod(_refusing_function(function, f"{name}.{of}")) for of, function in factories.items()}
    replacement: type = Refusing(name, (opener,), {"__module__": opener.__module__, **refusing})
    return replacement


def _ask(name: str, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
    if _THREAD.refuses is not None and opens_by_path(name, args, keywords):
        _THREAD.refuses(f"pyarrow.{name}", (*args, *keywords.values()))
