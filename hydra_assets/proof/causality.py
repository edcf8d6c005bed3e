"""
Whether a function of rows in time is causal: what it gives for a row must not change with rows that come later.

It is run on the whole, on copies cut at an instant, and on copies in which everything after the instant is absurd. What code's form
cannot tell, running it can.
"""

import datetime as dt
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hydra_assets.errors import SchemaError
from hydra_assets.proof.rows_in_time import Columns, RowsInTime, columns_of, differing, is_value, rows_in_time

CUTS = 40
FIRST = 12  # of the sampled cuts: the first instants, where little data makes a cut cheap
Function = Callable[[Any], Any]
Verdict = Literal["passed", "failed", "unproven"]


@dataclass(frozen=True)
class Moved:
    """
    A row whose value changed with rows that came later.

    Attributes:
        row: place in the data, from 0.
        time: of the row.
        column: of the answer.
        whole: the value on all rows.
        other: the value without the later rows (``how`` is ``cut``) or with absurd ones (``poison``).
        how: ``cut`` or ``poison``.
        reached: time of the last row that the value depends on, as cuts tell.
        rows_ahead: number of distinct times from the row's own to *reached*.
        ahead: from *time* to *reached*: a duration, or a number where times are numbers.
    """

    row: int
    time: Any
    column: str
    whole: Any
    other: Any
    how: Literal["cut", "poison"]
    reached: Any
    rows_ahead: int
    ahead: Any


@dataclass(frozen=True)
class Causality:
    """
    Result of `causal`.

    Attributes:
        verdict: ``failed`` where a row moved; ``unproven`` where nothing could be compared; else ``passed``.
        rows: of the data.
        times: number of distinct times.
        cuts: number of them at which the data was cut.
        poisoned: number of them at which the later rows were poisoned and the function had an answer.
        compared: number of rows compared, over all cuts.
        values: number of these with a value.
        seed: of the sample.
        moved: the first row that moved.
        reason: what kept it unproven; empty otherwise.
    """

    verdict: Verdict
    rows: int
    times: int
    cuts: int
    poisoned: int
    compared: int
    values: int
    seed: int
    moved: Moved | None = None
    reason: str = ""

    def __str__(self) -> str:
        looked = (
            f"looked at {self.compared:,} rows ({self.values:,} with a value) at {self.cuts:,} of {self.times:,} instants,"
            f" {self.poisoned:,} of them poisoned; seed {self.seed}"
        )
        if self.moved is None:
            return f"{self.verdict}: {self.reason or 'no row moved'}; {looked}"
        m = self.moved
        return (
            f"failed: row {m.row} ({m.time}) of {m.column} is {m.whole}, and {m.other} "
            f"{'without what came later' if m.how == 'cut' else 'where what came later is absurd'}; it reached {m.rows_ahead} row(s) ahead,"
            f" {m.ahead}, to {m.reached}; {looked}"
        )


def causal(
    function: Function,
    data: Any,
    time: Any = None,
    *,
    cuts: int | None = CUTS,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    whole: Columns | None = None,
) -> Causality:
    """
    Run *function* on cut and on poisoned copies of *data* and compare bit for bit.

    Args:
        function: rows to one value a row, in the rows' order: a frame, series, array, or a mapping of them.
        data: pandas, polars, Arrow or numpy; it is not changed.
        time: the column of times (of a 2-D array its number), or one time a row; None: a pandas index of instants, else the order.
        cuts: number of instants to cut at, the first ones and a random sample; None for all.
        seed: of the sample; default another one every time, which the answer names.
        progress: called with the cuts done and all cuts.
        whole: the answer on all rows, where it was computed elsewhere.

    Returns:
        The verdict, how much was looked at, and the first row that moved.

    Raises:
        SchemaError: data that cannot be used, or an answer with another number of rows.

    >>> causal(lambda x: np.cumsum(x), np.arange(9.0), seed=1).verdict
    'passed'
    >>> causal(lambda x: x - x.mean(), np.arange(9.0), seed=1).moved.reached
    8
    """
    rows = rows_in_time(data, time)
    seed = random.SystemRandom().randrange(1, 2**31) if seed is None else seed
    return _Run(function, rows, seed).look(cuts, progress, whole)


class _Run:
    """One function over one set of rows."""

    def __init__(self, function: Function, rows: RowsInTime, seed: int) -> None:
        self.function, self.rows, self.seed = function, rows, seed
        self.times = np.unique(rows.times)

    def look(self, cuts: int | None, progress: Callable[[int, int], None] | None, whole: Columns | None) -> Causality:
        n = len(self.rows.times)
        chosen = self._chosen(cuts)
        short = dict[int, Columns]()
        for done, cut in enumerate(chosen):  # ascending and before the whole: what the function keeps comes from fewer rows
            if (answer := self._cut(cut)) is not None:
                short[cut] = answer
            if progress is not None:
                progress(done + 1, 2 * len(chosen))
        once, again = (columns_of(self.function(self.rows.whole()), n) for _ in range(2))
        if any(name not in again or differing(once[name], again[name]).any() for name in once):
            return self._answer([], 0, 0, 0, reason="the function gives another answer to the same rows")
        whole = once if whole is None else whole
        found: list[tuple[int, str, Any, Literal["cut", "poison"]]] = []
        compared = values = poisoned = 0
        rng = np.random.default_rng(self.seed)
        for done, cut in enumerate(chosen):
            known = np.flatnonzero(self.rows.times <= self.times[cut])
            if cut in short:
                compared += len(known)
                values += sum(int(is_value(whole[name][known]).sum()) for name in whole)
                found += self._moved(whole, short[cut], known, None, "cut")
            corrupted = self._poisoned(cut, rng)
            if corrupted is not None:
                poisoned += 1
                found += self._moved(whole, corrupted, known, known, "poison")
            if progress is not None:
                progress(len(chosen) + done + 1, 2 * len(chosen))
        reason = "" if values else "there was no value to compare" if short else "the function has no answer to any cut copy"
        return self._answer(found, len(short), poisoned, compared, values, reason, whole)

    def _chosen(self, cuts: int | None) -> list[int]:
        """Places among the times, the last one left out: nothing comes after it."""
        every = range(max(len(self.times) - 1, 0))
        if cuts is None or cuts >= len(every):
            return list(every)
        first = min(FIRST, cuts // 3)
        rest = random.Random(self.seed).sample(every[first:], cuts - first)  # noqa: S311  a reproducible sample
        return sorted({*every[:first], *rest})

    def _cut(self, cut: int) -> Columns | None:
        given = self.rows.upto(self.times[cut])
        try:
            answer = self.function(given)
        except Exception:
            return None  # too few rows for it
        return columns_of(answer, len(given))

    def _poisoned(self, cut: int, rng: np.random.Generator) -> Columns | None:
        try:
            answer = self.function(self.rows.poisoned(self.times[cut], rng))
        except Exception:
            return None  # it objects to absurd rows
        return columns_of(answer, len(self.rows.times))

    @staticmethod
    def _moved(
        whole: Columns, other: Columns, known: np.ndarray, places: np.ndarray | None, how: Literal["cut", "poison"]
    ) -> Iterator[tuple[int, str, Any, Literal["cut", "poison"]]]:
        for name, values in whole.items():
            if name not in other:
                yield int(known[0]), name, "no such column", how
                continue
            there = other[name] if places is None else other[name][places]
            for place in np.flatnonzero(differing(values[known], there))[:1].tolist():
                yield int(known[place]), name, there[place], how

    def _answer(
        self, found: list[Any], cuts: int, poisoned: int, compared: int, values: int = 0, reason: str = "", whole: Columns | None = None
    ) -> Causality:
        n, times = len(self.rows.times), len(self.times)
        if not found or whole is None:
            verdict: Verdict = "unproven" if reason else "passed"
            return Causality(verdict, n, times, cuts, poisoned, compared, values, self.seed, None, reason)
        row, name, other, how = min(found, key=lambda each: (self.rows.times[each[0]], each[0], each[3]))
        own = int(np.searchsorted(self.times, self.rows.times[row]))
        reached = self._reached(row, name, whole, own)
        time, end = self.rows.times[row], self.times[reached]
        moved = Moved(
            row,
            _native(time),
            name,
            _native(whole[name][row]),
            _native(other),
            how,
            _native(end),
            reached - own,
            _span(time, end),
        )
        return Causality("failed", n, times, cuts, poisoned, compared, values, self.seed, moved)

    def _reached(self, row: int, name: str, whole: Columns, own: int) -> int:
        """Place of the first time from which on the cut copy gives the row's value, by bisection."""
        low, high = own, len(self.times) - 1
        while low < high:
            middle = (low + high) // 2
            place = int((self.rows.times[:row] <= self.times[middle]).sum())
            answer = self._cut(middle)
            same = (
                answer is not None and name in answer and not differing(whole[name][row : row + 1], answer[name][place : place + 1]).any()
            )
            low, high = (low, middle) if same else (middle + 1, high)
        return low


def _native(value: Any) -> Any:
    return (
        value.item()
        if isinstance(value, np.generic) and value.dtype.kind not in "mM"
        else str(value)
        if isinstance(value, np.generic)
        else value
    )


def _span(start: Any, end: Any) -> Any:
    span = end - start
    if isinstance(span, np.timedelta64):
        return dt.timedelta(microseconds=int(span / np.timedelta64(1, "us")))
    number = float(span)
    return int(number) if math.isfinite(number) and number == int(number) else number


def load_function(reference: str) -> Function:
    """
    The function of ``module:function``, or ``path/to/file.py:function``.

    Raises:
        SchemaError: there is none.
    """
    import importlib
    import importlib.util

    module, _, name = reference.rpartition(":")
    try:
        if module.endswith(".py"):
            spec = importlib.util.spec_from_file_location("causal_target", module)
            if spec is None or spec.loader is None:
                raise SchemaError(f"{module} cannot be imported")
            loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
        else:
            loaded = importlib.import_module(module)
        function = loaded
        for part in name.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise SchemaError(f"{reference}: {type(error).__name__}: {error}; give module:function, or file.py:function") from error
    if not callable(function):
        raise SchemaError(f"{reference} is {type(function).__name__}, no function")
    return function


def run_whole(reference: str, data: Any, library: str) -> Columns:
    """The answer of a function, by its reference, on all rows; see `hydra_assets.cli.causal`."""
    given = in_library(data, library)
    return dict(columns_of(load_function(reference)(given), len(given)))


def run_causal(reference: str, data: Any, library: str, step: Callable[[int], None] | None = None, **options: Any) -> Causality:
    """`causal` of a function by its reference."""
    progress = None if step is None else lambda done, _total: step(done)
    return causal(load_function(reference), in_library(data, library), progress=progress, **options)


def in_library(table: Any, library: str) -> Any:
    """An Arrow table as the frame of a library: ``pandas``, ``polars``, ``arrow`` or ``numpy`` (a structured array)."""
    if library == "arrow":
        return table
    if library == "polars":
        import polars

        return polars.from_arrow(table)
    frame = table.to_pandas()
    return frame if library == "pandas" else frame.to_records(index=False).view(np.ndarray)
