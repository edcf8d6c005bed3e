"""Hashes of the code of third parties' features, for certificates."""

import functools
import hashlib
import marshal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any


def plugin_code() -> list[list[str]]:
    """Name of each feature of a third party, and a hash of its declaration, its function and the files of its package."""
    from hydra_assets.features.compute import is_shipped, registered  # takes pandas and scipy, which a bare store does without

    found = []
    for feature in registered():
        if not is_shipped(feature):
            digest = hashlib.sha256(repr((feature.family, feature.unit, feature.windows)).encode())
            for part in _parts(feature.function):
                digest.update(part)
            found.append([feature.name, digest.hexdigest()])
    return sorted(found)


def _parts(function: Any) -> Iterator[bytes]:
    while isinstance(function, functools.partial):
        yield repr((function.args, sorted(function.keywords))).encode()
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if isinstance(code, CodeType):
        yield marshal.dumps(code.replace(co_filename=""))
    for path in _files(str(module)):
        yield path.read_bytes()


def _files(module: str) -> list[Path]:
    """The Python files of the top-level package, or the one file of a module."""
    loaded = sys.modules.get(module.partition(".")[0])
    file = getattr(loaded, "__file__", None)
    if file is None or module.partition(".")[0] in sys.stdlib_module_names:
        return []
    path = Path(file)
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
