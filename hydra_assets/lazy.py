"""Libraries that take long to load and that few commands need, loaded when something of them is first used."""

from importlib import import_module
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def lazy(name: str) -> Any:
    """
    The module *name*, not loaded yet; stands beside an import of it under ``TYPE_CHECKING``.

    >>> lazy("math").floor(2.5)
    2
    """
    return _Lazy(name)
