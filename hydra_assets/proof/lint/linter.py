"""Static lint for code that looks ahead; ``# lookahead-ok: reason`` on a line accepts it."""

import ast
import os
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from hydra_assets.errors import ConfigError
from hydra_assets.proof.lint.idioms import (
    evaluated,
    fitted_on_all,
    join_on_as_of,
    left_edge,
    reversed_order,
    shuffled_split,
    sql_ahead,
)
from hydra_assets.proof.lint.lookahead import backward_fill, centred_window, negative_shift
from hydra_assets.proof.lint.notebooks import read_notebook
from hydra_assets.proof.lint.purity import clock, io, whole_vintages
from hydra_assets.proof.lint.scope import Hit, Module
from hydra_assets.proof.lint.whole_sample import whole_series


@dataclass(frozen=True)
class Rule:
    """
    One rule of the lint.

    Attributes:
        name: shown in findings; rules on one kind of fault share a name.
        find: yields the hits of one node.
        remedy: advice on the right code.
    """

    name: str
    find: Callable[[ast.AST, Module], Iterator[Hit]]
    remedy: str


ALL_RULES = (
    Rule("negative-shift", negative_shift, "shift forwards (.shift(1)) and let the row of t use what came before t"),
    Rule("centred-window", centred_window, "use a trailing window: .rolling(n) without center, or an ewm"),
    Rule("backward-fill", backward_fill, "fill forwards (.ffill(), direction='backward'), or leave the gap null, with a quality"),
    Rule("clock", clock, "take the instant as an argument; a feature has no clock"),
    Rule("io", io, "a feature is a pure function of its inputs: declare the table as an input and let features.compute hand it over"),
    Rule("whole-vintages", whole_vintages, "use lake.read_known(..., known_at=t), or FeatureStore.get_training_frame"),
    Rule("centred-window", reversed_order, "sort by time, ascending, before a running operation"),
    Rule("negative-shift", left_edge, "stamp bars with their end: label='right', closed='right'"),
    Rule("whole-series", shuffled_split, "split by time: fit on what came before (TimeSeriesSplit, shuffle=False)"),
    Rule("whole-series", fitted_on_all, "fit on rows that were known, and apply to later ones"),
    Rule("whole-vintages", join_on_as_of, "join on available_at, or take FeatureStore.get_training_frame"),
    Rule("negative-shift", sql_ahead, "let windows end at the current row: lag(…), ROWS BETWEEN n PRECEDING AND CURRENT ROW"),
    Rule("io", evaluated, "write the expression out, so that it can be read"),
    Rule("whole-series", whole_series, "use a trailing window (.rolling(n), .expanding()), or rows known at the row's own instant"),
)
_ACCEPTED = re.compile(r"#\s*lookahead-ok\b:?\s*(.*)")
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist"}


@dataclass(frozen=True, order=True)
class Lookahead:
    """One place where code may use values that were not yet known; line and column start at 1."""

    path: str
    line: int
    column: int
    rule: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.rule} {self.message}; {self.remedy}"


def lint(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[Lookahead]:
    """
    Lint Python files.

    Args:
        paths: files, or folders whose ``*.py`` and ``*.ipynb`` files are read; a notebook cell by cell.

    Returns:
        Findings by path, line and column. A comment ``# lookahead-ok: reason`` on any line of the expression accepts it; a
        comment without a reason, or without anything to accept, is a finding itself.

    Raises:
        ConfigError: no such path.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return sorted(finding for file in _files(given) for finding in _of_file(file))


def lint_source(text: str, path: str | os.PathLike[str] = "<source>") -> list[Lookahead]:
    """Lint one piece of source; the findings name *path*."""
    try:
        module = Module(ast.parse(text), Path(path))
    except (SyntaxError, ValueError) as error:
        line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
        return [
            Lookahead(str(path), line, column, "unreadable", f"cannot be parsed: {getattr(error, 'msg', error)}", "mend the syntax first")
        ]
    accepted = _acceptances(text)
    used: set[int] = set()
    found: dict[tuple[int, int, str], Lookahead] = {}
    for node in ast.walk(module.tree):
        for rule in ALL_RULES:
            for where, message in rule.find(node, module):
                first, last = where.lineno, where.end_lineno or where.lineno
                marks = [line for line in range(first, last + 1) if line in accepted]
                used.update(marks)
                if not any(accepted[line] for line in marks):
                    place = (first, where.col_offset + 1)
                    found.setdefault((*place, rule.name), Lookahead(str(path), *place, rule.name, message, rule.remedy))
    return [*found.values(), *_bad_acceptances(str(path), accepted, used)]


def _of_file(path: Path) -> list[Lookahead]:
    if path.suffix == ".ipynb":
        return _of_notebook(path)
    if path.suffix not in (".py", ".pyw", ".pyi", ""):
        return [Lookahead(str(path), 1, 1, "unreadable", f"{path.suffix} is not read", "give Python files, notebooks, or folders of them")]
    try:
        with tokenize.open(path) as file:
            text = file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        return [Lookahead(str(path), 1, 1, "unreadable", f"cannot be decoded: {error}", "save it as UTF-8")]
    return lint_source(text, path)


def _of_notebook(path: Path) -> list[Lookahead]:
    """Findings named by cell: ``notebook.ipynb#3`` is the third one, lines counted inside of it."""
    try:
        notebook = read_notebook(path)
    except (ValueError, OSError) as error:
        return [Lookahead(str(path), 1, 1, "unreadable", f"is no notebook: {error}", "save it again as .ipynb")]
    found = [
        Lookahead(f"{path}#{cell}", line, 1, "unreadable", reason, "mend the cell; nothing in it was looked at")
        for cell, line, reason in notebook.unread
    ]
    for finding in lint_source(notebook.text, path):
        cell, line = notebook.places[min(finding.line, len(notebook.places)) - 1] if notebook.places else (1, 1)
        found.append(replace(finding, path=f"{path}#{cell}", line=line))
    return found


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    seen = set()
    for given in map(Path, paths):
        if not given.exists():
            raise ConfigError(f"{given}: there is no such file or folder to lint")
        for path in sorted(_modules_of(given)) if given.is_dir() else [given]:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _modules_of(folder: Path) -> Iterator[Path]:
    for path in (*folder.rglob("*.py"), *folder.rglob("*.ipynb")):
        inner = path.relative_to(folder).parts[:-1]
        if not any(part in _SKIPPED or part.startswith(".") for part in inner):
            yield path


def _acceptances(text: str) -> dict[int, str]:
    """Reasons by line number, from comments alone: a string that looks like one does not count."""
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    marks = ((token.start[0], _ACCEPTED.search(token.string)) for token in tokens if token.type == tokenize.COMMENT)
    return {line: mark.group(1).strip() for line, mark in marks if mark}


def _bad_acceptances(path: str, accepted: dict[int, str], used: set[int]) -> Iterator[Lookahead]:
    for line, reason in accepted.items():
        if not reason:
            yield Lookahead(
                path, line, 1, "acceptance", "lookahead-ok without a reason accepts nothing", "write # lookahead-ok: why it is right"
            )
        elif line not in used:
            yield Lookahead(path, line, 1, "acceptance", "lookahead-ok where there is nothing to accept", "remove the comment")
