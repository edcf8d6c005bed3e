"""The code of a feature, read as far as it is its author's: the function, what it is made of, and the modules that it imports."""

import ast
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from hydra_assets.core.feature import Feature
from hydra_assets.features.compute import registered
from hydra_assets.proof.lint.linter import Lookahead, lint
from hydra_assets.proof.lint.neighbours import lines_of_others

_MOST_FILES = 200
_PACKAGE = "hydra_assets"


@dataclass(frozen=True)
class CodeRead:
    """
    Findings of the lint in a feature's code, and the code it could not read.

    Attributes:
        findings: in the files read.
        unread: code of which there is no source to read; no finding there means nothing.
        files: that were read.
    """

    findings: tuple[Lookahead, ...]
    unread: tuple[str, ...]
    files: tuple[Path, ...]


def read_code(feature: Feature) -> CodeRead:
    """Lint the file of the feature's function and, for a third party's, every module of theirs that it imports."""
    files: dict[Path, None] = {}
    unread: dict[str, None] = {}
    own = ""
    for function in functions_of(feature.function):
        top = str(getattr(function, "__module__", "") or "").partition(".")[0]
        own = own or top
        if files and not _is_theirs(top, own):
            continue  # a library's: what it is given is what the author's code gives it
        path = _file_of(function)
        if path is None:
            unread[_named(function)] = None
        else:
            files[path.resolve()] = None
    todo = list(files)
    while todo and len(files) < _MOST_FILES:
        path = todo.pop()
        for name, origin in _imports(path):
            if origin is None:
                unread[name] = None
            elif origin not in files:
                files[origin] = None
                todo.append(origin)
    findings = [finding for path in files for finding in _linted(path, *_version(path))]
    return CodeRead(tuple(_without_neighbours(feature, findings)), tuple(unread), tuple(files))


def _without_neighbours(feature: Feature, findings: list[Lookahead]) -> Iterator[Lookahead]:
    """The findings, without those in code of the feature's own files that other registered features alone use."""
    others = [function for each in registered() if each.name != feature.name for function in functions_of(each.function)]
    mine = list(functions_of(feature.function))
    lines: dict[Path, set[int]] = {}
    for path in {found.path for found in findings}:
        here, there = (_top_names(functions, Path(path)) for functions in (mine, others))
        lines[Path(path)] = lines_of_others(Path(path).read_bytes(), here, there - here) if here and there else set()
    yield from (found for found in findings if found.line not in lines[Path(found.path)])


def _top_names(functions: Iterable[Callable[..., Any]], path: Path) -> set[str]:
    """Names, at the top level of the file at *path*, of the functions that stand in it."""
    return {
        str(function.__qualname__).partition(".")[0] for function in functions if (file := _file_of(function)) and file.resolve() == path
    }


def functions_of(value: Any) -> Iterator[Callable[..., Any]]:
    """The plain functions that a callable is made of: of a partial, a method, a callable object, a decorated function, a closure."""
    seen: set[int] = set()
    todo = [value]
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, functools.partial):
            todo += [each.func, *(a for a in (*each.args, *each.keywords.values()) if callable(a))]
        elif isinstance(each, MethodType):
            todo.append(each.__func__)
        elif isinstance(each, FunctionType):
            yield each
            inner = [cell.cell_contents for cell in each.__closure__ or () if _filled(cell)]
            todo += [a for a in (*inner, getattr(each, "__wrapped__", None)) if callable(a) and not isinstance(a, type)]
        elif not isinstance(each, type) and isinstance(_call_of(each), FunctionType):
            todo += [_call_of(each), *(a for a in getattr(each, "__dict__", {}).values() if callable(a))]
        elif each is value or not (isinstance(each, BuiltinFunctionType) or hasattr(each, "nin")):
            yield each


def _call_of(value: Any) -> Any:
    return vars(type(value)).get("__call__") or getattr(type(value), "__call__", None)  # noqa: B004  the function itself is wanted


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _file_of(function: Callable[..., Any]) -> Path | None:
    """The file that defines the function; None where its code names a file that does not, as code made by ``exec`` may."""
    code = getattr(function, "__code__", None)
    path = Path(code.co_filename) if code is not None else None
    if code is None or path is None or path.suffix != ".py" or not path.is_file():
        return None
    return path if (code.co_name, code.co_firstlineno) in _definitions(path, *_version(path)) else None


@functools.lru_cache(maxsize=256)
def _definitions(path: Path, _modified: int, _size: int) -> frozenset[tuple[str, int]]:
    """Name and first line, decorators included, of every function that a file defines."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):
        return frozenset()
    named = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lambdas = {("<lambda>", node.lineno) for node in nodes if isinstance(node, ast.Lambda)}
    return frozenset({(node.name, min([node.lineno, *(each.lineno for each in node.decorator_list)])) for node in named} | lambdas)


def _named(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or repr(function)
    return f"{name} ({code.co_filename if code is not None else 'no Python'})"


@functools.lru_cache(maxsize=256)
def _linted(path: Path, _modified: int, _size: int) -> tuple[Lookahead, ...]:
    return tuple(lint([path]))


def _version(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size


# ---------------------------------------------------------------- imports of the author's own


def _imports(path: Path) -> Iterator[tuple[str, Path | None]]:
    """Modules of the same author that a file imports, and their files; None for one without source."""
    module = _module_name(path)
    if module.partition(".")[0] == _PACKAGE:
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # the lint says so
    names = {".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 1)}
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(part for part in (*parents, node.module or "") if part)
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    for name in sorted(names - {module, ""}):
        if _is_theirs(name.partition(".")[0], module.partition(".")[0]):
            yield from _origin(name)


def _origin(name: str) -> Iterator[tuple[str, Path | None]]:
    loaded = sys.modules.get(name)
    try:
        spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return  # a name inside of a module, or nothing that can be imported
    if spec is None or spec.origin is None:
        return
    path = Path(spec.origin)
    yield name, path.resolve() if path.suffix == ".py" and path.is_file() else None


def _module_name(path: Path) -> str:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and Path(file).name == path.name and Path(file).resolve() == path:
            return name
    return path.stem


def _is_theirs(top: str, own: str) -> bool:
    """Whether a top-level module is the author's: of the same distribution, or of none, as beside a script."""
    if top == own:
        return True
    if top == _PACKAGE or top in sys.stdlib_module_names:
        return False
    known = _distributions()
    return top not in known or bool(set(known[top]) & set(known.get(own, ())))


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())
