"""
The options' chain, smiles and features once more, one instant and one number at a time, in plain Python from the page.

Only what is proven elsewhere is shared with the product: Black-76, the European volatility of a quote and the fit of one slice. What
was known is found by looking at every row; deltas by a root finder, moments by an even grid, probabilities by the slope of puts.
"""

import datetime as dt
import itertools
import math
from collections import defaultdict

import numpy as np
from scipy.optimize import brentq

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.rates import TENORS
from hydra_assets.options.american import european_vol
from hydra_assets.options.black76 import price
from hydra_assets.options.greeks import greeks
from hydra_assets.options.smile import fit_smiles
from hydra_assets_tests.support.futures_history import ct
from hydra_assets_tests.support.option_history import midnight

RANK = ("normal", "partial", "degraded", "stale", "missing")


def worst(*words):
    return max(words, key=RANK.index)


def newest(rows, **where):
    """The row with these cells and the greatest stamp, the latest of equals; None without any."""
    found = [row for row in rows if all(row[name] == value for name, value in where.items())]
    return max(found, key=lambda row: (row.get("stamped_at") or row["available_at"], row["available_at"]), default=None)


class Day:
    """All that can be said of one day at one instant."""

    def __init__(self, tables, day, before, known_at, realised=(), rules=None):
        self.rules = rules or OptionRules()
        self.day = day
        rows = {name: [row for row in table if row["available_at"] <= known_at] for name, table in tables.items()}
        index = defaultdict(list)
        for row in rows["option_statistics"]:
            index[row["instrument_id"], row["as_of"], row["stat"]].append(row)
        quotes = defaultdict(list)
        for row in rows["option_quotes"]:
            quotes[row["instrument_id"], row["as_of"]].append(row)
        settled = [row for row in rows["futures_statistics"] if row["stat"] == "settlement" and row["is_final"]]
        self.curve = self._curve(rows["rates"]) if "rates" in rows else None
        self.flat = self.curve is None and "rates" in rows
        self.options, self.lost = [], set()
        for row in rows["option_definitions"]:
            if row["as_of"] != midnight(day) or row["expiration"] <= ct(day, "13:00"):
                continue
            future = newest(settled, instrument_id=row["underlying_id"], as_of=midnight(day))
            if future is None:
                self.lost.add(row["expiration"])
                continue
            interest = newest(index[row["instrument_id"], midnight(before), "open_interest"]) if before else None
            settlement = newest([r for r in index[row["instrument_id"], midnight(day), "settlement"] if r["is_final"]])
            quote = newest(quotes[row["instrument_id"], midnight(day)])
            self.options.append(self._option(row, future, interest, quote, settlement))
        for option in self.options:
            other = [o for o in self.options if o["slice"] == option["slice"] and o["strike"] == option["strike"] and o is not option]
            gap = None
            if other and None not in (option["mid"], other[0]["mid"], option["forward"]):
                sign = 1 if option["right"] == "C" else -1
                difference = sign * (option["mid"] - other[0]["mid"])
                gap = difference * math.exp(option["rate"] * option["tau"]) - (option["forward"] - option["strike"])
            option["parity_gap"] = gap
            option["partner"] = other[0] if other else None
        self.slices = {}
        for option in self.options:
            self.slices.setdefault(option["slice"], []).append(option)
        self.smiles = {key: self._smile(options) for key, options in self.slices.items()}
        self.realised = {row["feature_name"]: row for row in realised if row["available_at"] <= known_at and row["as_of"] == midnight(day)}

    def _curve(self, rows):
        """The newest curve of the five sessions before the day, in its newest version, as (months, per cent) pairs."""
        before = [midnight(day) for day in LIVESTOCK.session_days(self.day - dt.timedelta(20), self.day - dt.timedelta(1))[-5:]]
        found = max((r for r in rows if r["as_of"] in before), key=lambda row: (row["as_of"], row["available_at"]), default=None)
        return found and [(months, found[name]) for name, (_, months) in TENORS.items() if found[name] is not None]

    def _rate(self, tau):
        """Straight line between the tenors around *tau*, of rates compounded continuously; the nearest one outside of them."""
        if self.curve is None:
            return self.rules.rate
        points = [(months / 12, 2 * math.log(1 + percent / 200)) for months, percent in self.curve]
        if tau <= points[0][0] or tau >= points[-1][0]:
            return points[0][1] if tau <= points[0][0] else points[-1][1]
        (a, low), (b, high) = next((p, q) for p, q in itertools.pairwise(points) if p[0] <= tau <= q[0])
        return low + (high - low) * (tau - a) / (b - a)

    def _option(self, row, future, interest, quote, settlement):
        rules, forward = self.rules, future["value"]
        bid, ask = (quote["bid"], quote["ask"]) if quote else (None, None)
        usable = bid is not None and ask is not None and bid > 0 and ask > bid
        mid, spread = ((bid + ask) / 2, ask - bid) if usable else (None, None)
        oi = interest["value"] if interest else None
        tight = usable and (spread <= rules.max_spread_pct * mid or spread <= rules.max_spread_ticks * row["tick"] * (1 + 1e-9))
        tau = (row["expiration"] - ct(self.day, "13:00")).total_seconds() / (365 * 86_400)
        cp = 1 if row["right"] == "C" else -1
        rate = self._rate(tau)
        vol = error = None
        if usable and forward is not None and cp * (forward - row["strike"]) <= 0:
            got = european_vol(mid, forward=forward, strike=row["strike"], tau=tau, rate=rate, right=cp).vol.item()
            if math.isfinite(got):
                vega = greeks(forward, strike=row["strike"], tau=tau, rate=rate, vol=got, right=cp).vega.item()
                vol, error = got, spread / 4 / vega
        words = [r["quality"] for r in (row, future, interest, quote) if r is not None]
        return {
            **{"slice": (row["expiration"], row["underlying_id"]), "strike": row["strike"], "right": row["right"], "tau": tau},
            **{"mid": mid, "spread": spread, "forward": forward, "open_interest": oi, "vol": vol, "vol_error": error, "tick": row["tick"]},
            **{"liquid": bool(tight and oi is not None and oi >= rules.min_oi and forward is not None), "multiplier": row["multiplier"]},
            **{"settlement": settlement["value"] if settlement else None, "rate": rate},
            "word": worst("partial" if self.flat else "normal", *words),
        }

    def _smile(self, options):
        forward, tau = options[0]["forward"], options[0]["tau"]
        by_strike = {}
        for option in options:
            if option["liquid"] and option["vol"] is not None:
                held = by_strike.get(option["strike"])
                if held is None or option["vol_error"] < held["vol_error"]:
                    by_strike[option["strike"]] = option
        quoted = [by_strike[k] for k in sorted(by_strike)]
        smile = {"tau": tau, "forward": forward, "n": len(quoted), "fit": None, "word": "missing"}
        if forward is None:
            return {**smile, "status": "no_forward"}
        if not quoted:
            return {**smile, "status": "no_quotes"}
        k = np.log([o["strike"] / forward for o in quoted])
        vol, error = (np.array([o[name] for o in quoted]) for name in ("vol", "vol_error"))
        fit = fit_smiles(k[None, :], total_variance=(vol**2 * tau)[None, :], standard_error=(2 * vol * tau * error)[None, :])
        parity, parity_error = self._parity(options)
        below, above = sum(k < 0), sum(k > 0)
        limit = max(3 * options[0]["tick"], 3 * parity_error) if parity is not None else None
        if len(quoted) < self.rules.min_liquid_strikes:
            status = "thin"
        elif not below or not above:
            status = "one_sided"
        elif parity is not None and abs(parity) > limit:
            status = "parity"
        elif fit.chi2_dof.item() > 9:
            status = "misfit"
        else:
            status = "full"
        word = worst(*(o["word"] for o in quoted), "degraded" if status != "full" else "normal" if parity is not None else "partial")
        smile |= {"fit": fit.svi, "theta_error": math.sqrt(fit.covariance[0, 0, 0]), "lo": k[0], "hi": k[-1], "word": word}
        smile["tails"] = self._below(fit.svi, 0, k[0]) + 1 - self._below(fit.svi, 0, k[-1])
        return {**smile, "status": status}

    def _parity(self, options):
        pairs = []
        for option in options:
            if option["right"] == "C" and option["parity_gap"] is not None and abs(math.log(option["strike"] / option["forward"])) < 0.1:
                pairs.append((option["parity_gap"], 1 / ((option["spread"] + option["partner"]["spread"]) / 4) ** 2))
        if not pairs:
            return None, None
        pairs.sort()
        total, running = sum(w for _, w in pairs), 0.0
        for gap, weight in pairs:
            running += weight
            if running >= total / 2 * (1 - 1e-12):
                return gap, 1.2533 / math.sqrt(total)
        raise AssertionError

    @staticmethod
    def _below(svi, i, k, *, w=None):
        """Q(S < F e^k) by the slope of undiscounted puts in the strike."""

        def put(x):
            variance = w(x) if w else svi.total_variance([[x]])[i, 0]
            return price(1.0, strike=math.exp(x), tau=1.0, rate=0.0, vol=math.sqrt(variance), right=-1).item()

        h = 1e-4
        return (put(k + h) - put(k - h)) / (math.exp(k + h) - math.exp(k - h))

    # ------------------------------------------------------------ constant maturity

    def maturity(self, days, statuses):
        """Total variance as a function of log-moneyness at a horizon, its error at the money, tails and word; None without."""
        horizon = days / 365
        slices = sorted((s for s in self.smiles.values() if s["fit"] is not None and s["status"] in statuses), key=lambda s: s["tau"])
        around = [(a, b) for a, b in itertools.pairwise(slices) if a["tau"] <= horizon <= b["tau"]]
        if around:
            a, b = around[0]
            share = (horizon - a["tau"]) / (b["tau"] - a["tau"])
            parts, word = ((a, 1 - share), (b, share)), worst(a["word"], b["word"])
        else:
            near = [s for s in slices if abs(s["tau"] - horizon) * 365 <= 15]
            if not near:
                return None
            s = min(near, key=lambda s: abs(s["tau"] - horizon))
            parts, word = ((s, horizon / s["tau"]),), worst(s["word"], "partial")

        def w(x):
            return sum(share * s["fit"].total_variance([[x]])[0, 0] for s, share in parts)

        error = math.sqrt(sum((share * s["theta_error"]) ** 2 for s, share in parts))
        return {
            "w": w,
            "parts": parts,
            "tau": horizon,
            "error": error,
            "tails": max(s["tails"] for s, _ in parts),
            "word": word,
            "inside": bool(around),
        }

    def _level(self, days):
        whole = self.maturity(days, ("full",))
        if whole and whole["inside"]:
            return whole
        every = self.maturity(days, ("full", "thin", "one_sided", "parity", "misfit", "butterfly"))
        if whole and not (every and every["inside"]):
            return whole
        return {**every, "word": worst(every["word"], "degraded")} if every else None

    def _moments(self, whole):
        k = np.linspace(-12, 12, 240_001)
        w, first, second = (
            sum(share * part for part, share in zip(parts, (s for _, s in whole["parts"]), strict=True))
            for parts in zip(*(s["fit"].derivatives(k) for s, _ in whole["parts"]), strict=True)
        )
        w, first, second = w[0], first[0], second[0]
        g = (1 - k * first / (2 * w)) ** 2 - first**2 / 4 * (1 / w + 0.25) + second / 2
        p = g / np.sqrt(2 * np.pi * w) * np.exp(-((-k / np.sqrt(w) - np.sqrt(w) / 2) ** 2) / 2) * (k[1] - k[0])
        mean = (p * k).sum()
        variance = (p * (k - mean) ** 2).sum()
        squares = (np.expm1(k)) ** 2
        return {
            **{"mf": -2 * mean, "variance": variance, "skew": (p * (k - mean) ** 3).sum() / variance**1.5},
            **{"kurt": (p * (k - mean) ** 4).sum() / variance**2, "simple": (p * squares).sum()},
            **{"up": (p * squares)[k > 0].sum(), "down": (p * squares)[k < 0].sum()},
        }

    def features(self):
        """Name to (value, word) of everything that this day has at this instant; realised ones only where their input is known."""
        out = {}
        levels = {days: self._level(days) for days in (30, 60, 90)}
        for days, level in levels.items():
            out[f"opt_atm_iv_{days}"] = (math.sqrt(level["w"](0.0) / level["tau"]), level["word"]) if level else (None, "missing")
        level = levels[30]
        theta = level["w"](0.0) if level else None
        out["opt_atm_iv_se"] = (level["error"] / (2 * math.sqrt(theta * level["tau"])), level["word"]) if level else (None, "missing")
        whole, far = self.maturity(30, ("full",)), self.maturity(90, ("full",))
        names = ("rr25_30", "bf25_30", "iv_mf_30", "iv_simple_30", "updn_30", "convexity_30", "rn_var_30", "rn_skew_30", "rn_kurt_30")
        for name in (*names, "rn_median_gap", "p_dn10", "p_up10"):
            out[f"opt_{name}"] = (None, "missing")
        out["opt_ts_slope"] = (None, "missing")
        if whole and far:
            slope = math.sqrt(far["w"](0.0) / far["tau"]) - math.sqrt(whole["w"](0.0) / whole["tau"])
            out["opt_ts_slope"] = (slope, worst(whole["word"], far["word"]))
        if whole:
            self._whole(out, whole)
        self._joined(out, whole, level)
        self._flows(out)
        out["opt_synthetic_fwd"] = self._synthetic()
        return out

    def _whole(self, out, whole):
        w, tau, word = whole["w"], whole["tau"], whole["word"]
        atm = math.sqrt(w(0.0) / tau)

        def at_delta(right):
            def miss(x):
                s = math.sqrt(w(x))
                return 0.5 * math.erfc(-(right * (-x / s + s / 2)) / math.sqrt(2)) - 0.25

            return math.sqrt(w(brentq(miss, -1.0, 1.0, xtol=1e-14)) / tau)

        call, put = at_delta(1), at_delta(-1)
        out["opt_rr25_30"], out["opt_bf25_30"] = (call - put, word), ((call + put) / 2 - atm, word)
        m = self._moments(whole)
        of_variance = worst(word, "partial" if whole["tails"] > 0.2 else "normal")
        of_shape = worst(word, "partial" if whole["tails"] > 0.1 else "normal")
        out["opt_iv_mf_30"] = (math.sqrt(m["mf"] / tau), of_variance)
        out["opt_iv_simple_30"] = (math.sqrt(m["simple"] / tau), of_variance)
        out["opt_updn_30"] = (math.sqrt(2 * m["up"] / tau) - math.sqrt(2 * m["down"] / tau), of_variance)
        out["opt_convexity_30"] = (math.sqrt(m["simple"] / tau) / atm, of_variance)
        out["opt_rn_var_30"] = (m["variance"], of_variance)
        out["opt_rn_skew_30"] = (m["skew"], of_shape)
        out["opt_rn_kurt_30"] = (m["kurt"], worst(of_shape, "partial"))
        median = brentq(lambda x: self._below(None, 0, x, w=w) - 0.5, -0.5, 0.5, xtol=1e-12)
        out["opt_rn_median_gap"] = (math.exp(median) - 1, word)
        out["opt_p_dn10"] = (self._below(None, 0, math.log(0.9), w=w), word)
        out["opt_p_up10"] = (1 - self._below(None, 0, math.log(1.1), w=w), word)
        whole["mf"], whole["mf_word"] = m["mf"], of_variance

    def _joined(self, out, whole, level):
        rv21, rv252 = self.realised.get("fut_rv_21"), self.realised.get("fut_rv_252")
        if rv21:
            out["opt_vrp_30"] = (None, "missing")
            if whole:
                out["opt_vrp_30"] = (whole["mf"] / whole["tau"] - rv21["value"] ** 2, worst(whole["mf_word"], rv21["quality"]))
        if rv252:
            out["opt_iv_rv_ratio"] = (None, "missing")
            if level:
                value = math.log(math.sqrt(level["w"](0.0) / level["tau"]) / rv252["value"])
                out["opt_iv_rv_ratio"] = (value, worst(level["word"], rv252["quality"]))

    def _flows(self, out):
        sums, word = defaultdict(list), "normal"
        for option in self.options:
            if not option["liquid"]:
                continue
            word = worst(word, option["word"])
            smile = self.smiles[option["slice"]]
            if smile["fit"] is None:
                word = worst(word, "partial")
                continue
            forward, cp = option["forward"], 1 if option["right"] == "C" else -1
            vol = math.sqrt(smile["fit"].total_variance([[math.log(option["strike"] / forward)]])[0, 0] / option["tau"])
            asked = {"strike": option["strike"], "tau": option["tau"], "rate": option["rate"], "right": cp}

            def delta(f=forward, v=vol, asked=asked, ahead=0.0):
                up, down = (price(f * x, **{**asked, "tau": asked["tau"] - ahead}, vol=v).item() for x in (1 + 1e-5, 1 - 1e-5))
                return (up - down) / (2e-5 * f)

            size = option["open_interest"] * option["multiplier"] * forward
            gamma = (delta(f=forward * 1.0005) - delta(f=forward * 0.9995)) / (0.001 * forward)
            sums["call" if cp > 0 else "put"].append(gamma * size * forward / 100)
            sums["vanna"].append((delta(v=vol + 1e-4) - delta(v=vol - 1e-4)) / 2e-4 * size * 0.01)
            day = 1e-3 / 365
            sums["charm"].append((delta(ahead=day) - delta(ahead=-day)) / (2 * day) * size / 365)
        for name, key in (("opt_gex_call", "call"), ("opt_gex_put", "put"), ("opt_vanna", "vanna"), ("opt_charm", "charm")):
            out[name] = (sum(sums[key]), word) if sums[key] else (None, "missing")
        both = sums["call"] and sums["put"]
        out["opt_gex_net"] = (sum(sums["call"]) - sum(sums["put"]), word) if both else (None, "missing")

    def _synthetic(self):
        """Two strikes of the first expiration with both rights quoted, least |C - P| first; mids alone, and no settlement."""
        pairs = defaultdict(list)
        for call in self.options:
            put = call["partner"]
            if call["right"] == "C" and put is not None and None not in (call["mid"], put["mid"]):
                difference = call["mid"] - put["mid"]
                forward = call["strike"] + difference * math.exp(call["rate"] * call["tau"])
                words = [option["word"] if option["forward"] is not None else "missing" for option in (call, put)]
                pairs[call["tau"]].append((round(abs(difference), 9), call["strike"], forward, worst(*words)))
        if not pairs:
            return None, "missing"
        used = sorted(pairs[min(pairs)])[:2]
        whole = len(used) == 2 and all(word == "normal" for *_, word in used)
        return sum(forward for *_, forward, _ in used) / len(used), "normal" if whole else "partial"


def put_call(tables, day, before, before_that, known_at, listed):
    """Put over call open interest of the session before *day*, as known; None where it has no row yet."""
    rows = [r for r in tables["option_statistics"] if r["available_at"] <= known_at and r["stat"] == "open_interest"]
    by = defaultdict(list)
    for row in rows:
        by[row["instrument_id"], row["as_of"]].append(row)
    now = {o: newest(by[o, midnight(before)]) for o in listed}
    past = {o: newest(by[o, midnight(before_that)]) for o in listed}
    needed = [o for o in listed if past[o] and (past[o]["value"] or 0) > 0 and listed[o]["expiration"].date() > before]
    known = {o for o, row in now.items() if row and row["value"] is not None}
    if not needed:
        return None
    if not set(needed) <= known:
        return (None, "missing")
    sums = {right: sum(now[o]["value"] for o in known if listed[o]["right"] == right) for right in "CP"}
    if sums["C"] <= 0:
        return (None, "missing")
    return (sums["P"] / sums["C"], worst("normal", *(now[o]["quality"] for o in known)))
