"""The feature catalogue as a page, made from what each feature declares."""

from collections.abc import Iterable

from hydra_assets.core.feature import Feature, Window

_FAMILIES = {
    "futures": "Futures: the curve of a market, by session. Settlements are final ones alone; open interest is the day before's.",
    "cot": "COT: disaggregated, futures only, by week of the report.",
    "options": "Options: smiles at constant maturities and Greeks, by session. Volatilities are decimals a year; every fit stands in"
    " `option_smiles`.",
    "divergence": "Divergence: options beside positioning, and what the 30-day smile rests on.",
}
_HEADINGS = "| feature | formula | unit | looks back | known from | source |"


def catalogue(features: Iterable[Feature]) -> str:
    """Markdown: one table a family; formula, unit, how far a value looks back, when it is known, source."""
    found = list(features)
    lines = [
        "# Feature catalogue",
        "",
        "Made by `hydra-assets catalogue`. Every value is a vintage: it uses only what had arrived at its `available_at`, and a later",
        "arrival inside its window gives a further vintage. Null values have the quality `missing`, and nothing else does.",
        "",
        "`fut_basis_cash` needs the CME Lean Hog Index, which has no source here yet: it is null, `missing`, on every session.",
    ]
    for family in dict.fromkeys(feature.family for feature in found):
        lines += [
            "",
            f"## {_FAMILIES.get(family, family)}",
            "",
            "| feature | formula | unit | looks back | known from | source |",
            "|" + "---|" * 6,
        ]
        for feature in found:
            if feature.family == family:
                cells = (f"`{feature.name}`", feature.formula, feature.unit, _reach(feature.windows), feature.availability, feature.source)
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _reach(windows: tuple[Window, ...]) -> str:
    first = min(window.first for window in windows)
    (unit, *_) = (window.unit for window in windows)
    return f"{-first} {unit if first < -1 else unit.removesuffix('s')}" if first else f"its own {unit.removesuffix('s')}"
