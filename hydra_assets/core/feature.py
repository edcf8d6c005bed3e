"""A feature's declaration: its inputs' windows, unit and source, beside the pure function that computes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hydra_assets.core.arrays import Floats, Ints


@dataclass(frozen=True)
class Window:
    """
    The rows of an input that a value may use, counted from the value's own ``as_of``.

    Attributes:
        dataset: the input's data type.
        first: earliest offset, included; 0 is the period of ``as_of`` itself, negative before it.
        last: latest offset, included.
        unit: ``weeks`` are ISO weeks; ``sessions`` are exchange days; ``weekdays`` are Mondays to Fridays, holidays too.
        required: offsets without which there is no value. A row needs offset 0 in any case, also for a null.
        at_least: periods of the window that a value needs.
        where: column and value of the rows that count, all of them; without it every row does.
    """

    dataset: str
    first: int
    last: int = 0
    unit: Literal["weeks", "sessions", "weekdays"] = "weeks"
    required: tuple[int, ...] = (0,)
    at_least: int = 1
    where: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Answer:
    """
    One computed value of a feature of the families ``cot`` and ``cash``.

    Attributes:
        value: finite, or NaN where the window is too thin or the formula has no answer.
        n: observations found; fewer than *full* make the value ``partial``.
        full: observations of a full window.
    """

    value: float
    n: int = 1
    full: int = 1


@dataclass(frozen=True)
class Values:
    """
    Computed values of a daily feature, one a row asked for.

    Attributes:
        value: shape (k,); NaN where the window is too thin or the formula has no answer.
        quality: the worst that the values earned, as positions in QUALITIES, shape (k,) or one for all; a NaN is ``missing``
            whatever stands here.
    """

    value: Floats
    quality: Ints | int = 0


@dataclass(frozen=True)
class Feature:
    """
    One feature.

    Attributes:
        name: as stored, for example ``cot_mm_net``.
        family: name of its family in `features.registry`.
        unit: unit of its values.
        function: its formula; what it is given and gives depends on the family.
            cot: input columns over the window, oldest first, NaN where a period has no row, to an `Answer`;
            cash: the same of the columns of ``cash_index``, one row a weekday;
            futures: a `features.futures.panel.Panel` and sessions to `Values`;
            options: `features.options.surface_states.SurfaceStates` to `Values`;
            divergence: inputs, the feature itself and a `features.family.Request` to its rows.
        windows: every input that the function may see; what lies outside cannot change a value.
        formula: for the catalogue.
        source: for the catalogue: who proposed or defines it.
        availability: for the catalogue: what decides ``available_at``.
        needs: futures: the `features.futures.readiness.Readiness` that says which inputs of the last day must be known;
            options: the futures feature that the row waits for.
    """

    name: str
    family: str
    unit: str
    function: Callable[..., Any]
    windows: tuple[Window, ...]
    formula: str
    source: str
    availability: str
    needs: Any = None
