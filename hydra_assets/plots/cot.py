"""Plot of positions by trader group."""

from typing import Any

import pyarrow as pa

from hydra_assets.plots.plot import Plot, date_axis, figure_of, synthetic_note

_LABELS = {"mm": "managed money", "prod": "producers", "swap": "swap dealers"}
_NEWEST = 6  # reports in the table


def positioning(market: str, known: pa.Table) -> Plot | None:
    """
    Net positions of managed money, producers and swap dealers.

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
    newest = [
        {"report": f"{row['as_of']:%Y-%m-%d}", **{f"{group} net": nets[group][i] for group in nets}}
        for i, row in list(enumerate(reports))[-_NEWEST:]
    ]

    def draw(axes: Any) -> None:
        for group, label in _LABELS.items():
            axes.plot([row["as_of"] for row in reports], nets[group], label=label, drawstyle="steps-post")
        axes.axhline(0, color="grey", linewidth=0.6)
        axes.set_title(f"{market}: net positions by report date{synthetic_note(reports)}", fontsize=10)
        axes.set_ylabel("contracts", fontsize=8)
        date_axis(axes)
        axes.legend(fontsize=7, loc="best")

    kinds = {"report": "string", **{f"{group} net": "int" for group in nets}}
    return Plot("positioning", newest, kinds, figure_of(draw))
