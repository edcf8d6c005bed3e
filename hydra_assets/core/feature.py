"""What a feature declares: its inputs' windows, its unit and its source, beside the pure function that computes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Family = Literal["futures", "cot", "options", "divergence"]


@dataclass(frozen=True)
class Window:
    """
    Which rows of an input a value may use, counted from the value's own ``as_of``.

    Attributes:
        dataset: the input's data type.
        first, last: inclusive offsets, 0 the period of ``as_of`` itself, negative before it.
        unit: ``weeks`` are ISO weeks; ``sessions`` are exchange days.
        required: offsets without which there is no value. A row needs offset 0 in any case, also for a null.
        at_least: periods of the window that a value needs.
        where: column and value of the rows that count, all of them; without it every row does.
    """

    dataset: str
    first: int
    last: int = 0
    unit: Literal["weeks", "sessions"] = "weeks"
    required: tuple[int, ...] = (0,)
    at_least: int = 1
    where: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Answer:
    """
    One computed value.

    Attributes:
        value: finite, or NaN where the window is too thin or the formula has no answer.
        n, full: observations found and observations of a full window; fewer makes the value ``partial``.
    """

    value: float
    n: int = 1
    full: int = 1


@dataclass(frozen=True)
class Feature:
    """
    One feature.

    Attributes:
        name: as stored, for example ``cot_mm_net``.
        function: weekly families: input columns over the window, oldest first, NaN where a period has no row, to an `Answer`;
            the futures family: a `features.panel.Panel` and sessions to a `features.futures.Daily`; the options family: a
            `features.board.Board` to a `features.options.Reading`; the divergence family: inputs, the feature itself, start and end
            to its rows.
        windows: every input that the function may see; what lies outside cannot change a value.
        formula: for the catalogue.
        availability: for the catalogue: what decides ``available_at``.
        needs: futures: the rule of `features.needs.NEEDS` that says which inputs of the last day must be known; options: the
            futures feature that the row waits for.
    """

    name: str
    family: Family
    unit: str
    function: Callable[..., Any]
    windows: tuple[Window, ...]
    formula: str
    source: str
    availability: str
    bounds: tuple[float, float] | None = None
    needs: str = ""
