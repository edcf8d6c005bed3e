"""Plot of positions by trader group."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from hydra_assets.plots.plot import Plot, date_axis, figure_of, synthetic_note

_LABELS = {"mm": "managed money", "prod": "producers", "swap": "swap dealers"}
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c")
_NEWEST = 6  # reports in the table


def positioning(market: str, known: pa.Table) -> Plot | None:
    """
    Net positions of managed money, producers and swap dealers, drawn from the instant at which each report became known.

    A shutdown shows as a long step, and the reports that came after it as many short ones.

    Args:
        market: symbol.
        known: rows of `cot_disaggregated` as known at one instant.

    Returns:
        The plot; None without a report.
    """
    reports = known.sort_by("as_of").to_pylist() if known.num_rows else []
    if not reports:
        return None
    nets = {group: [row[f"{group}_long"] - row[f"{group}_short"] for row in reports] for group in _LABELS}
    by_publication = _newest_known(reports)
    newest = [
        {"report": f"{row['as_of']:%Y-%m-%d}", **{f"{group} net": nets[group][i] for group in nets}}
        for i, row in list(enumerate(reports))[-_NEWEST:]
    ]

    def draw(axes: Any) -> None:
        for (group, label), colour in zip(_LABELS.items(), _COLOURS, strict=True):
            known_from = [reports[i]["available_at"] for i in by_publication]
            axes.plot(known_from, [nets[group][i] for i in by_publication], label=label, drawstyle="steps-post", color=colour, lw=2)
            axes.plot([row["as_of"] for row in reports], nets[group], ":", color=colour, lw=1)
        axes.plot([], [], ":", color="grey", lw=1, label="dotted: by the day described, not yet known")
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_title(f"{market}: net positions by the instant at which they became known{synthetic_note(reports)}")
        axes.set_ylabel("contracts, long less short")
        date_axis(axes)
        axes.legend(loc="best")

    kinds = {"report": "string", **{f"{group} net": "int" for group in nets}}
    return Plot("positioning", newest, kinds, figure_of(draw))


def _newest_known(reports: Sequence[Mapping[str, Any]]) -> list[int]:
    """Positions of *reports* in the order of publication, without those that came after a later report."""
    order = sorted(range(len(reports)), key=lambda i: (reports[i]["available_at"], reports[i]["as_of"]))
    kept: list[int] = []
    for i in order:
        if not kept or reports[i]["as_of"] > reports[kept[-1]]["as_of"]:
            kept.append(i)
    return kept
