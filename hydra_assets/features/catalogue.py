"""The feature catalogue as a page, made from what each feature declares."""

from collections.abc import Iterable, Sequence

from hydra_assets.core.feature import Feature, Window
from hydra_assets.features.registry import FAMILIES

_TITLE = """# Feature catalogue

Made by `hydra-assets catalogue`. Every value is a vintage: it uses only what had arrived at its `available_at`, and a later
arrival inside its window gives a further vintage. Null values have the quality `missing`, and nothing else does.

Of markets without a cash price (`cash` in markets.yaml says why) `fut_basis_cash` is null, and the features of the cash price have
no rows."""
_COLUMNS = ("feature", "formula", "unit", "looks back", "known from", "source")


def catalogue(features: Iterable[Feature]) -> str:
    """Markdown: one table a family; formula, unit, how far a value looks back, when it is known, source."""
    found = list(features)
    lines = [_TITLE]
    for name in dict.fromkeys(feature.family for feature in found):
        heading = FAMILIES[name].heading if name in FAMILIES else name
        lines += ["", f"## {heading}", *_table([feature for feature in found if feature.family == name])]
    return "\n".join([*lines, ""])


def _table(features: Sequence[Feature]) -> list[str]:
    """The features' rows, below a legend of the times at which they are known."""
    times = [_time(feature.availability) for feature in features]
    legend = dict.fromkeys((short, rest) for short, rest in times if rest)
    lines = ["", "Known from:", "", *(f"- *{short}*: {rest}" for short, rest in legend)] if legend else []
    lines += ["", f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    for feature, (short, _) in zip(features, times, strict=True):
        cells = (f"`{feature.name}`", feature.formula, feature.unit, _reach(feature.windows), short, feature.source)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _time(availability: str) -> tuple[str, str]:
    """The name of a time and its explanation; of a text without a colon the whole, and nothing."""
    short, colon, rest = availability.partition(": ")
    return (short, rest) if colon else (availability, "")


def _reach(windows: tuple[Window, ...]) -> str:
    firsts: dict[str, int] = {}
    for window in windows:
        firsts[window.unit] = min(window.first, firsts.get(window.unit, 0))
    reached = [f"{-first} {unit if first < -1 else unit.removesuffix('s')}" for unit, first in firsts.items() if first]
    return ", ".join(reached) or f"its own {windows[0].unit.removesuffix('s')}"
