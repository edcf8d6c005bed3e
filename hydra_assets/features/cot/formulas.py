"""
Positioning features of the disaggregated COT report.

Every function takes the columns of ``cot_disaggregated`` over the feature's weeks, oldest first, the report's own week last;
a week without a report is NaN (windows are weeks, not numbers of reports, so that a lost report cannot stretch one).
Positions are contracts. Source of the columns: CFTC, Disaggregated Commitments of Traders, Explanatory Notes.
"""

from collections.abc import Callable, Mapping

import numpy as np

from hydra_assets.core.feature import Answer, Feature, Window

Columns = Mapping[str, np.ndarray]
NULL = float("nan")
RELEASE = "release: at 15:30 New York on the third federal business day after the report date, or the calendar's exception"
YEAR, MIN_YEAR = 52, 40
THREE_YEARS, MIN_THREE_YEARS = 156, 104


def _per(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Ratio, NaN where the denominator is not positive."""
    return np.asarray(np.divide(numerator, denominator, out=np.full(len(numerator), NULL), where=denominator > 0))


def _net_share(cot: Columns, group: str) -> np.ndarray:
    return _per(cot[f"{group}_long"] - cot[f"{group}_short"], cot["open_interest"])


def _midrank(current: float, previous: np.ndarray, minimum: int, full: int) -> Answer:
    """Share of *previous* below *current*, ties counted half."""
    seen = previous[~np.isnan(previous)]
    if np.isnan(current) or len(seen) < minimum:
        return Answer(NULL, len(seen), full)
    return Answer(float((np.sum(seen < current) + 0.5 * np.sum(seen == current)) / len(seen)), len(seen), full)


def managed_money_net(cot: Columns) -> Answer:
    """
    Managed money, long minus short, in contracts.

    >>> managed_money_net({"mm_long": np.array([30.0]), "mm_short": np.array([10.0])}).value
    20.0
    """
    return Answer(float(cot["mm_long"][-1] - cot["mm_short"][-1]))


def net_share(group: str) -> Callable[[Columns], Answer]:
    """
    (long - short) / open interest of *group*, a decimal in [-1, 1].

    >>> net_share("mm")({"mm_long": np.array([30.0]), "mm_short": np.array([10.0]), "open_interest": np.array([100.0])}).value
    0.2
    """
    return lambda cot: Answer(float(_net_share(cot, group)[-1]))


def hedge_pressure(cot: Columns) -> Answer:
    """Short / (long + short) of producers and swap dealers together. Source: De Roon, Nijman & Veld (2000); Basu & Miffre (2013)."""
    long, short = cot["prod_long"] + cot["swap_long"], cot["prod_short"] + cot["swap_short"]
    return Answer(float(_per(short, long + short)[-1]))


def managed_money_percentile(cot: Columns) -> Answer:
    """Mid-rank of this week's managed-money net share among the 52 weeks before it; in [0, 1]."""
    share = _net_share(cot, "mm")
    return _midrank(share[-1], share[:-1], MIN_YEAR, YEAR)


def sentiment(cot: Columns) -> Answer:
    """2 x percentile - 1: symmetric about 0, safe under ties."""
    rank = managed_money_percentile(cot)
    return Answer(2 * rank.value - 1, rank.n, rank.full)


def commercial_index(cot: Columns) -> Answer:
    """Place of the net of producers and swap dealers (contracts) in its three-year range; 0 to 100. Source: Williams; Briese (2008)."""
    net = cot["prod_long"] + cot["swap_long"] - cot["prod_short"] - cot["swap_short"]
    seen = net[~np.isnan(net)]
    if np.isnan(net[-1]) or len(seen) < MIN_THREE_YEARS or seen.max() == seen.min():
        return Answer(NULL, len(seen), THREE_YEARS)
    return Answer(float(100 * (net[-1] - seen.min()) / (seen.max() - seen.min())), len(seen), THREE_YEARS)


def managed_money_z(cot: Columns) -> Answer:
    """z-score of the managed-money net share within three years, its own week included (sample standard deviation)."""
    share = _net_share(cot, "mm")
    seen = share[~np.isnan(share)]
    if np.isnan(share[-1]) or len(seen) < MIN_THREE_YEARS or seen.max() == seen.min():
        return Answer(NULL, len(seen), THREE_YEARS)
    return Answer(float((share[-1] - seen.mean()) / seen.std(ddof=1)), len(seen), THREE_YEARS)


def change(weeks: int) -> Callable[[Columns], Answer]:
    """
    Change of the managed-money net share over *weeks*, in standard deviations of its weekly change over a year.

    The same weekly deviation for every horizon, without a square root of time. Source: Kang, Rouwenhorst & Tang (2020).
    """

    def scaled(cot: Columns) -> Answer:
        share = _net_share(cot, "mm")
        moves = np.diff(share)
        moves = moves[~np.isnan(moves)]
        moved = share[-1] - share[-1 - weeks]
        if np.isnan(moved) or len(moves) < MIN_YEAR or moves.max() == moves.min():
            return Answer(NULL, len(moves), YEAR)
        return Answer(float(moved / moves.std(ddof=1)), len(moves), YEAR)

    return scaled


def crowding(cot: Columns) -> Answer:
    """Sign of the managed-money net x mid-rank of its larger side's share of open interest among the 156 weeks before; [-1, 1]."""
    side = _per(np.maximum(cot["mm_long"], cot["mm_short"]), cot["open_interest"])
    rank = _midrank(side[-1], side[:-1], MIN_THREE_YEARS, THREE_YEARS)
    return Answer(float(np.sign(cot["mm_long"][-1] - cot["mm_short"][-1]) * rank.value), rank.n, rank.full)


def top4_net(cot: Columns) -> Answer:
    """Net share of the four largest traders, long minus short; the CFTC prints percent of open interest, this is a decimal."""
    return Answer(float((cot["net_top4_long"][-1] - cot["net_top4_short"][-1]) / 100))


def _row(
    name: str,
    function: Callable[[Columns], Answer],
    unit: str,
    formula: str,
    *,
    back: int = 0,
    required: tuple[int, ...] = (0,),
    at_least: int = 1,
    source: str = "CFTC",
) -> Feature:
    return Feature(
        name=name,
        family="cot",
        unit=unit,
        function=function,
        windows=(Window("cot_disaggregated", -back, required=required, at_least=at_least),),
        formula=formula,
        source=source,
        availability=RELEASE,
    )


FEATURES = (
    _row("cot_mm_net", managed_money_net, "contracts", "long - short, managed money"),
    _row("cot_mm_net_oi", net_share("mm"), "ratio", "(long - short) / open interest, managed money"),
    _row("cot_prod_net_oi", net_share("prod"), "ratio", "(long - short) / open interest, producer/merchant"),
    _row("cot_swap_net_oi", net_share("swap"), "ratio", "(long - short) / open interest, swap dealers"),
    _row(
        "cot_hedge_pressure",
        hedge_pressure,
        "0..1",
        "short / (long + short) of producer + swap",
        source="Basu & Miffre 2013; De Roon, Nijman & Veld 2000",
    ),
    _row(
        "cot_mm_pct_52",
        managed_money_percentile,
        "0..1",
        "mid-rank of cot_mm_net_oi among the previous 52 weeks, min 40",
        back=YEAR,
        at_least=MIN_YEAR + 1,
    ),
    _row("cot_sentiment", sentiment, "-1..1", "2 cot_mm_pct_52 - 1", back=YEAR, at_least=MIN_YEAR + 1),
    _row(
        "cot_index_156",
        commercial_index,
        "0..100",
        "100 (net - min) / (max - min) of commercials over 156 weeks, min 104",
        back=THREE_YEARS - 1,
        at_least=MIN_THREE_YEARS,
        source="Williams; Briese 2008",
    ),
    _row(
        "cot_mm_z_156",
        managed_money_z,
        "z",
        "z-score of cot_mm_net_oi over 156 weeks, min 104",
        back=THREE_YEARS - 1,
        at_least=MIN_THREE_YEARS,
    ),
    _row(
        "cot_chg_1w",
        change(1),
        "z",
        "1-week change of cot_mm_net_oi / sd of its weekly changes over 52 weeks, min 40",
        back=YEAR,
        required=(0, -1),
        at_least=MIN_YEAR + 1,
        source="Kang, Rouwenhorst & Tang 2020",
    ),
    _row(
        "cot_chg_4w",
        change(4),
        "z",
        "4-week change of cot_mm_net_oi / sd of its weekly changes over 52 weeks, min 40",
        back=YEAR,
        required=(0, -4),
        at_least=MIN_YEAR + 1,
        source="Kang, Rouwenhorst & Tang 2020",
    ),
    _row(
        "cot_crowding",
        crowding,
        "-1..1",
        "sign(net) x mid-rank of max(long, short) / open interest among the previous 156 weeks, min 104",
        back=THREE_YEARS,
        at_least=MIN_THREE_YEARS + 1,
    ),
    _row("cot_top4_net", top4_net, "ratio", "net concentration of the four largest traders, long - short"),
)
