"""Openers of Arrow that neither an audit hook nor a profile is told of, refused beside other threads, too."""

import importlib
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any

from hydra_assets.core.sealed.frames import is_path
from hydra_assets.core.sealed.replacement import Place, Replacement

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


def opens_by_path(name: str, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
    """Whether a call of an opener opens a file, rather than reads or writes what is open or in memory already."""
    if name not in _IN_MEMORY:
        return True
    position, keyword = _IN_MEMORY[name]
    given = args[position] if len(args) > position else keywords.get(keyword)
    return is_path(given)


@cache
def _places() -> tuple[Place, ...]:
    """All openers that this build of Arrow has."""
    modules = {name: importlib.import_module(name) for name in _OPENERS}
    replaced: dict[int, Any] = {}
    return tuple(
        (modules[module], name, replaced.setdefault(id(opener), _refusing(opener, name)))
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
    if opens_by_path(name, args, keywords):
        ARROW.ask(f"pyarrow.{name}", (*args, *keywords.values()))


ARROW = Replacement(_places)
