"""
Features of the options, read off states of the volatility surface.

A function takes `SurfaceStates` and gives `Values` of shape (states,), NaN where there is no answer. Volatilities are decimals a
year, horizons calendar days, dollars those of one contract times open interest.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hydra_assets.core.arrays import Ints
from hydra_assets.core.feature import Feature, Values, Window
from hydra_assets.features.futures import formulas as futures
from hydra_assets.features.options.curves import CURVE_SESSIONS
from hydra_assets.features.options.surface_states import Maturity, SurfaceStates
from hydra_assets.features.quality import PARTIAL
from hydra_assets.options.density import cumulative, quantile
from hydra_assets.options.surface import risk_reversal_and_butterfly

MAX_TAIL_OF_VARIANCE, MAX_TAIL_OF_SHAPE = 0.20, 0.10  # beyond the quoted strikes; more makes the value partial


Function = Callable[[SurfaceStates], Values]


def atm_vol(days: int) -> Function:
    """Volatility at the forward, total variance linear in time between the slices around the horizon."""

    def feature(states: SurfaceStates) -> Values:
        level = states.level[days]
        return Values(np.sqrt(level.theta / level.tau), level.quality)

    return feature


def atm_error(states: SurfaceStates) -> Values:
    """Standard error of the 30-day volatility at the forward, by the delta method."""
    level = states.level[30]
    return Values(level.theta_error / (2 * np.sqrt(level.theta * level.tau)), level.quality)


def term_slope(states: SurfaceStates) -> Values:
    """90-day less 30-day volatility at the forward; of whole smiles alone."""
    near, far = states.whole[30], states.whole[90]
    value = np.sqrt(far.theta / far.tau) - np.sqrt(near.theta / near.tau)
    return Values(value, np.maximum(near.quality, far.quality))


def _wings(states: SurfaceStates, which: int) -> Values:
    whole = states.whole[30]
    value = states.read(lambda smile: risk_reversal_and_butterfly(smile, tau=whole.tau)[which])
    return Values(value, whole.quality)


def risk_reversal(states: SurfaceStates) -> Values:
    """Volatility of the 25-delta call less that of the put, 30 days."""
    return _wings(states, 0)


def butterfly(states: SurfaceStates) -> Values:
    """Mean volatility of the 25-delta call and put less that at the forward, 30 days."""
    return _wings(states, 1)


def _tailed(whole: Maturity, limit: float) -> Ints:
    """Quality of a number that the unquoted tails enter."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.maximum(whole.quality, np.where(whole.tails > limit, PARTIAL, 0)))


def model_free_vol(states: SurfaceStates) -> Values:
    """sqrt(E[-2 ln(S/F)] / tau), 30 days."""
    whole = states.whole[30]
    return Values(np.sqrt(states.moments.model_free / whole.tau), _tailed(whole, MAX_TAIL_OF_VARIANCE))


def simple_vol(states: SurfaceStates) -> Values:
    """sqrt(Var[S/F] / tau), 30 days."""
    whole = states.whole[30]
    return Values(np.sqrt(states.moments.simple / whole.tau), _tailed(whole, MAX_TAIL_OF_VARIANCE))


def up_less_down(states: SurfaceStates) -> Values:
    """Simple variance above the forward less that below, each doubled and as a volatility, 30 days."""
    whole, moments = states.whole[30], states.moments
    value = np.sqrt(2 * moments.up / whole.tau) - np.sqrt(2 * moments.down / whole.tau)
    return Values(value, _tailed(whole, MAX_TAIL_OF_VARIANCE))


def convexity(states: SurfaceStates) -> Values:
    """Simple volatility over that at the forward, 30 days."""
    whole = states.whole[30]
    return Values(np.sqrt(states.moments.simple / whole.theta), _tailed(whole, MAX_TAIL_OF_VARIANCE))


def variance(states: SurfaceStates) -> Values:
    """Variance of ln(S/F) under Q over 30 days, not annualised."""
    return Values(states.moments.variance, _tailed(states.whole[30], MAX_TAIL_OF_VARIANCE))


def skewness(states: SurfaceStates) -> Values:
    """Skewness of ln(S/F) under Q, 30 days."""
    return Values(states.moments.skewness, _tailed(states.whole[30], MAX_TAIL_OF_SHAPE))


def kurtosis(states: SurfaceStates) -> Values:
    """Kurtosis of ln(S/F) under Q, 3 for a normal, 30 days; at best ``partial``: few quotes say little about it."""
    return Values(states.moments.kurtosis, np.maximum(_tailed(states.whole[30], MAX_TAIL_OF_SHAPE), PARTIAL))


def median_gap(states: SurfaceStates) -> Values:
    """Median of S over F, less 1; the mean of S is F."""
    return Values(np.expm1(states.read(lambda smile: quantile(smile, 0.5))), states.whole[30].quality)


def below(share: float) -> Function:
    """Probability under Q that S ends below *share* of F in 30 days."""

    def feature(states: SurfaceStates) -> Values:
        return Values(states.read(lambda smile: cumulative(smile, np.log([share]))[:, 0]), states.whole[30].quality)

    return feature


def above(share: float) -> Function:
    """Probability under Q that S ends above *share* of F in 30 days."""

    def feature(states: SurfaceStates) -> Values:
        return Values(states.read(lambda smile: 1 - cumulative(smile, np.log([share]))[:, 0]), states.whole[30].quality)

    return feature


def variance_premium(states: SurfaceStates) -> Values:
    """Model-free variance of 30 days less the realised variance of 21 sessions, both a year."""
    whole = states.whole[30]
    realised, quality = states.realised["fut_rv_21"]
    value = states.moments.model_free / whole.tau - realised**2
    return Values(value, np.maximum(_tailed(whole, MAX_TAIL_OF_VARIANCE), quality))


def implied_to_realised(states: SurfaceStates) -> Values:
    """ln of 30-day volatility at the forward over the realised one of 252 sessions."""
    level = states.level[30]
    realised, quality = states.realised["fut_rv_252"]
    with np.errstate(invalid="ignore", divide="ignore"):
        return Values(np.log(np.sqrt(level.theta / level.tau) / realised), np.maximum(level.quality, quality))


def _flow(name: str) -> Function:
    return lambda states: Values(getattr(states.flows, name), states.flows.quality)


def gamma_net(states: SurfaceStates) -> Values:
    """Both legs with the signs of what dealers are taken to hold."""
    call, put = states.dealer_signs
    return Values(call * states.flows.gex_call + put * states.flows.gex_put, states.flows.quality)


def synthetic_forward(states: SurfaceStates) -> Values:
    """The future's price by put-call parity: where a settlement stands at its limit, the price at which the market would be."""
    return Values(states.synthetic.forward, states.synthetic.quality)


# ---------------------------------------------------------------- the table

_FINAL = (("stat", "settlement"),)
_INTEREST = (("stat", "open_interest"),)
_CHAIN = (
    Window("option_definitions", 0, unit="sessions"),
    Window("futures_statistics", 0, unit="sessions", where=_FINAL),
    Window("option_quotes", 0, unit="sessions", required=()),
    # Liquidity is judged by the open interest of the session before.
    Window("option_statistics", -1, -1, unit="sessions", required=(), where=_INTEREST),
    # Whether a settlement stands at its limit is judged by the one before.
    Window("futures_statistics", -1, -1, unit="sessions", required=(), at_least=0, where=_FINAL),
    Window("futures_definitions", 0, unit="sessions", required=(), at_least=0),
    Window("rates", -CURVE_SESSIONS, -1, unit="sessions", required=(), at_least=0),
)
# Parity asks for no open interest; where some is known, it is part of the chain's rows all the same.
_QUOTED = tuple(replace(window, at_least=0) if window.dataset == "option_statistics" else window for window in _CHAIN)
_EVENING = "evening: final settlement of every underlying contract, about 18:00 Chicago, on the quotes of 13:00"
_MORNING = "morning: open interest of t-1 of every option, on t"
_REALISED = {feature.name: feature for feature in futures.FEATURES if feature.name in ("fut_rv_21", "fut_rv_252")}


def _row(
    name: str,
    function: Function,
    unit: str,
    formula: str,
    source: str = "-",
    *,
    realised: Feature | None = None,
    chain: tuple[Window, ...] = _CHAIN,
) -> Feature:
    """One feature of the table; *realised* is the futures feature that the row waits for and is joined with, *chain* its other windows."""
    windows = (*chain, *(realised.windows if realised else ()))
    return Feature(name, "options", unit, function, windows, formula, source, _EVENING, needs=realised)


INTEREST = Feature(
    "opt_pc_oi",
    "options",
    "ratio",
    lambda put, call: put / call,
    (
        Window("option_statistics", -2, -1, unit="sessions", required=(-1,), where=_INTEREST),
        Window("option_definitions", -1, unit="sessions", required=()),
    ),
    "open interest of puts over that of calls, of t-1",
    "-",
    _MORNING,
)

FEATURES: tuple[Feature, ...] = (
    *(
        _row(f"opt_atm_iv_{days}", atm_vol(days), "vol ann", f"sqrt(w(0) / tau) at {days} days, w linear in T between slices")
        for days in (30, 60, 90)
    ),
    _row("opt_atm_iv_se", atm_error, "vol", "standard error of opt_atm_iv_30, delta method"),
    _row("opt_ts_slope", term_slope, "vol", "opt_atm_iv_90 - opt_atm_iv_30, of whole smiles"),
    _row("opt_rr25_30", risk_reversal, "vol", "IV(25-delta call) - IV(25-delta put), forward delta on the smile"),
    _row("opt_bf25_30", butterfly, "vol", "(IV of 25-delta call + put)/2 - ATM"),
    _row("opt_iv_mf_30", model_free_vol, "vol ann", "sqrt(E[-2 ln(S/F)] / tau)", "Carr & Madan 1998"),
    _row("opt_iv_simple_30", simple_vol, "vol ann", "sqrt(Var[S/F] / tau)", "CME CVOL; Martin 2017"),
    _row("opt_updn_30", up_less_down, "vol", "sqrt(2 UpVar / tau) - sqrt(2 DnVar / tau)", "CME CVOL skew"),
    _row("opt_convexity_30", convexity, "ratio", "opt_iv_simple_30 / ATM", "CME CVOL convexity"),
    _row("opt_rn_var_30", variance, "-", "variance of ln(S/F) under Q, per horizon", "Bakshi, Kapadia & Madan 2003"),
    _row("opt_rn_skew_30", skewness, "-", "skewness of ln(S/F) under Q", "Bakshi, Kapadia & Madan 2003; Fuertes, Liu & Tang 2022"),
    _row("opt_rn_kurt_30", kurtosis, "-", "kurtosis of ln(S/F) under Q; at best partial", "Bakshi, Kapadia & Madan 2003"),
    _row("opt_rn_median_gap", median_gap, "ratio", "median(S)/F - 1, 30 days"),
    _row("opt_p_dn10", below(0.9), "prob", "Q(S < 0.9 F), 30 days, closed form"),
    _row("opt_p_up10", above(1.1), "prob", "Q(S > 1.1 F), 30 days, closed form"),
    _row(
        "opt_vrp_30",
        variance_premium,
        "var ann",
        "opt_iv_mf_30^2 - fut_rv_21^2 (implied - realised)",
        "Xi, Hayes & Lence 2019, sign turned",
        realised=_REALISED["fut_rv_21"],
    ),
    _row(
        "opt_iv_rv_ratio",
        implied_to_realised,
        "log",
        "ln(opt_atm_iv_30 / fut_rv_252)",
        "Goyal & Saretto 2009",
        realised=_REALISED["fut_rv_252"],
    ),
    _row("opt_gex_call", _flow("gex_call"), "$Δ per 1 %", "sum of gamma x OI x multiplier x F^2 / 100, liquid calls", "gamma exposure"),
    _row("opt_gex_put", _flow("gex_put"), "$Δ per 1 %", "sum of gamma x OI x multiplier x F^2 / 100, liquid puts", "gamma exposure"),
    _row("opt_gex_net", gamma_net, "$Δ per 1 %", "sign_call x opt_gex_call + sign_put x opt_gex_put, signs from the settings"),
    _row("opt_vanna", _flow("vanna"), "$Δ per vol pt", "sum of d delta/d sigma x OI x multiplier x F x 0.01, liquid options"),
    _row("opt_charm", _flow("charm"), "$Δ per day", "sum of d delta/dt x OI x multiplier x F / 365, liquid options"),
    _row(
        "opt_synthetic_fwd",
        synthetic_forward,
        "price",
        "mean of K + (C - P) e^(rT), the two strikes of the nearest expiration with the least |C - P|, mids; no settlement enters",
        "put-call parity",
        chain=_QUOTED,
    ),
    INTEREST,
)
