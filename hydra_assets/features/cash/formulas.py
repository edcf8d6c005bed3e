"""
Features of the cash price of hogs.

Every function takes the numbers of ``cash_index`` over its weekdays, oldest first, NaN where a weekday has none, and gives an `Answer`:
over those whose index lies in its windows, and without the index where its windows hold the day alone. Prices are cents per lb of carcass.
"""

from collections.abc import Callable, Mapping

from hydra_assets.core.arrays import Floats
from hydra_assets.core.feature import Answer, Feature, Window
from hydra_assets.core.tables.cash import MARKET_FORMULA, NEGOTIATED
from hydra_assets.features.cash.index import CASH_HOGS, STEPS_BACK

Columns = Mapping[str, Floats]


def index(days: Columns) -> Answer:
    """The exchange's index of the day and the weekday before. Source: CME rule 15203.A."""
    return Answer(float(days["index"][-1]))


def index_change(days: Columns) -> Answer:
    """Change of the index from the same weekday a week before."""
    return Answer(round(float(days["index"][-1] - days["index"][0]), 2))


def negotiated_less_formula(days: Columns) -> Answer:
    """Net price of negotiated hogs minus that by swine or pork market formula, of the day alone."""
    return Answer(round(float(days["negotiated"][-1] - days["market_formula"][-1]), 2))


_REPORTED = "report: the USDA's report of the day, on the next federal business day in the morning, 11:00 Chicago where it carries no stamp"


def _row(name: str, function: Callable[[Columns], Answer], formula: str, *, back: int = 0, days_before: int = STEPS_BACK) -> Feature:
    """
    One feature of the table.

    Args:
        name: as stored.
        function: its formula.
        formula: for the catalogue.
        back: weekdays between the first and the last index that it uses.
        days_before: weekdays that one number reaches back.
    """
    at_least = 1 if not days_before else 2 if not back else 4
    windows = tuple(
        Window(CASH_HOGS, -back - days_before, unit="weekdays", at_least=at_least, where=(("purchase_type", kind),))
        for kind in (NEGOTIATED, MARKET_FORMULA)
    )
    return Feature(name, "cash", "cents/lb", function, windows, formula, "CME rule 15203.A; USDA LM_HG201", _REPORTED)


FEATURES = (
    _row(
        "cash_index",
        index,
        "sum(head w p) / sum(head w) of two consecutive weekdays, negotiated and swine or pork market formula, to 0.01; w carcass weight,"
        " p net price",
    ),
    _row("cash_index_chg_5d", index_change, "cash_index_t - cash_index_{t-5 weekdays}", back=5),
    _row("cash_neg_formula", negotiated_less_formula, "p_negotiated - p_market formula, of day t", days_before=0),
)
