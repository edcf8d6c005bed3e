"""Features of third parties, by entry point: each is accepted, or refused by name with the reason and the remedy."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.label import is_label
from hydra_assets.core.sealed.seal import sealed_import
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.features.family import Family
from hydra_assets.features.futures.events import KINDS, STATISTICS
from hydra_assets.features.futures.panel import PAD
from hydra_assets.features.futures.readiness import Readiness

FARTHEST = 5_000  # periods, a century of weeks: every table is read as far back as the widest window of the family reaches
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class PluginFault:
    """
    One entry point, or one feature of it, that is left out.

    Attributes:
        origin: the entry point, and its package where that is known.
        detail: the fault.
        remedy: the action that mends it.
    """

    origin: str
    detail: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.detail}; {self.remedy}"


def load_plugins(
    entries: Iterable[Any], families: Mapping[str, Family], *, group: str
) -> tuple[tuple[Feature, ...], tuple[PluginFault, ...]]:
    """
    The features that *entries* give, and what is wrong with the others.

    Args:
        entries: entry points; each gives a Feature, or an iterable of them.
        families: name to the family, with the features shipped.
        group: of the entry points, for messages.
    """
    found: list[Feature] = []
    faults: list[PluginFault] = []
    taken = {feature.name for family in families.values() for feature in family.features}
    for entry in sorted(entries, key=lambda entry: str(entry.name)):
        origin = _origin(entry, group)
        try:
            with sealed_import(origin):
                loaded = entry.load()
                given = [loaded] if isinstance(loaded, Feature) else list(loaded)
        except Exception as error:
            faults.append(PluginFault(origin, _shown(error), "mend or uninstall that package; its features are left out until then"))
            continue
        for feature in given:
            problem = _problem(feature, families, taken)
            if problem is None:
                taken.add(feature.name)
                found.append(feature)
            else:
                faults.append(PluginFault(origin, *problem))
    return tuple(found), tuple(faults)


def _origin(entry: Any, group: str) -> str:
    value, package = getattr(entry, "value", ""), getattr(getattr(entry, "dist", None), "name", "")
    return f"{group}: {entry.name}{f' = {value}' if value else ''}{f' of {package}' if package else ''}"


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _problem(feature: object, families: Mapping[str, Family], taken: Collection[str]) -> tuple[str, str] | None:
    """The fault of a declaration and its remedy; None where it is sound."""
    if not isinstance(feature, Feature):
        return f"{feature!r} is no Feature", "let it give a Feature, or several"
    if not isinstance(feature.name, str) or not _NAME.fullmatch(feature.name):
        return (
            f"the name {feature.name!r} has other characters than letters, digits, '_', '.' and '-', or is too long",
            "choose another name",
        )
    if is_label(feature.name):
        return f"{feature.name} is no Feature but a label, known only after the fact", "choose another name, or join it as a label"
    if feature.name in taken:
        return f"duplicate declaration: {feature.name}", "rename one of each"
    if feature.family not in families:
        remedy = f"choose one of {', '.join(families)}; a family of its own is a package and a row in hydra_assets/features/registry.py"
        return f"{feature.name}: there is no family {feature.family!r}", remedy
    family = families[feature.family]
    detail = next(_nonsense(feature, family), None)
    return None if detail is None else (f"{feature.name}: {detail}", "mend the declaration; the feature is left out until then")


def _nonsense(feature: Feature, family: Family) -> Iterator[str]:
    if not callable(feature.function):
        yield f"its function {feature.function!r} cannot be called"
    texts = {name: getattr(feature, name) for name in ("unit", "formula", "source", "availability")}
    yield from (f"its {name} {text!r} is no text" for name, text in texts.items() if not isinstance(text, str))
    if family.name == "futures" and not isinstance(feature.needs, Readiness):
        yield f"needs is {feature.needs!r}, no Readiness of hydra_assets.features.futures.readiness"
    if family.name == "options" and not (feature.needs is None or isinstance(feature.needs, Feature)):
        yield f"needs is {feature.needs!r}, neither None nor a futures feature"
    if not isinstance(feature.windows, tuple) or not all(isinstance(window, Window) for window in feature.windows):
        yield "its windows are no tuple of Window"
        return
    if family.name == "cot" and len(feature.windows) > 1:
        yield "a cot feature has one window"
    for window in feature.windows:
        yield from (f"its window on {window.dataset!r} {fault}" for fault in _window_faults(window, family))


def _window_faults(window: Window, family: Family) -> Iterator[str]:
    known = {*family.inputs, *(each.dataset for feature in family.features for each in feature.windows)}
    if window.dataset not in known:
        yield f"is on no input of the family, which reads {', '.join(sorted(known))}"
        return
    offsets = (window.first, window.last, window.at_least, *window.required)
    if not all(isinstance(offset, int) and not isinstance(offset, bool) for offset in offsets):
        yield "has offsets that are no whole numbers"
        return
    if window.last > 0:
        yield f"ends {window.last} {window.unit} after the row's own, which nobody knows yet"
    if window.first > window.last:
        yield f"begins ({window.first}) after its end ({window.last})"
    units = {each.unit for feature in family.features for each in feature.windows}
    if window.unit not in units:
        yield f"counts {window.unit}; the family counts {', '.join(sorted(units))}"
    farthest = PAD if family.name == "futures" else FARTHEST
    if window.first < -farthest:
        yield f"reaches back {-window.first} {window.unit}; the engine keeps {farthest}"
    if any(not window.first <= offset <= window.last for offset in window.required if window.required != (0,)):
        yield f"requires offsets {window.required} outside of itself"
    if window.at_least > window.last - window.first + 1:
        yield f"needs {window.at_least} periods of {window.last - window.first + 1}"
    where = dict(window.where)
    absent = [column for column in where if column not in TABLES[window.dataset].schema.names]
    if absent:
        yield f"names columns {absent} that the table does not have"
    if window.dataset == STATISTICS and where.get("stat") not in KINDS:
        yield f"names no statistic: where must hold ('stat', one of {sorted(KINDS)})"
