"""Readings of a day's numbers: unit of prices and strikes, flags of settlements, and the clocks of settlements and open interest."""

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.market import Market
from hydra_assets.doctor.reading import Reading
from hydra_assets.doctor.vendor_day import TableDay, VendorDay

VALUES = "The day's numbers"
_ON_TICK = 0.99  # share of settlements that are whole ticks
_FAR = dt.timedelta(365)  # contracts so far away often get no final settlement
_UNIT = "mend tick, contract_multiplier or price_unit of the market in the settings before anything is kept"


def read_values(chosen: VendorDay, strike_factor: float) -> Iterator[Reading]:
    """All readings of the day's numbers; *strike_factor* is ``checks.strike_scale_factor``."""
    definitions, statistics = chosen.named("futures_definitions"), chosen.named("futures_statistics")
    if definitions is not None and statistics is not None:
        yield read_price_scale(chosen.market, rows_of(definitions), settlements(statistics, chosen.day))
        yield read_flags(rows_of(definitions), settlements(statistics, chosen.day), chosen.day)
    options = chosen.named("option_definitions")
    if options is not None and statistics is not None:
        yield read_strikes(rows_of(options), settlements(statistics, chosen.day), strike_factor)
    for each in (statistics, chosen.named("option_statistics")):
        if each is not None:
            yield from read_clocks(each, chosen.market, chosen.day)


def rows_of(each: TableDay) -> pa.Table:
    """The table's rows."""
    assert each.rows is not None  # noqa: S101  `named` gives tables with rows alone
    return each.rows


def settlements(statistics: TableDay, day: dt.date) -> pa.Table:
    """The settlement prints of *day*."""
    rows = rows_of(statistics)
    return rows.filter(pc.and_(pc.equal(rows["stat"], "settlement"), _is_of(rows, day)))


def read_price_scale(market: Market, definitions: pa.Table, settled: pa.Table) -> Reading:
    """The vendor's tick against the configured one, and settlements against ticks."""
    ticks = sorted(set(definitions["tick"].to_pylist()))
    prices = np.array([value for value in settled["value"].to_pylist() if value is not None])
    if not len(prices):
        remedy = "look at another day with --day; a day without settlements gives no feature"
        return Reading(VALUES, "price scale", "wrong", f"ticks {_numbers(ticks)}, and no settlement at all", remedy)
    steps = prices / market.tick
    whole = float(np.mean(np.isclose(steps, np.round(steps), atol=1e-6)))
    facts = {"ticks": ticks, "configured": market.tick, "lowest": prices.min(), "highest": prices.max(), "whole_ticks": whole}
    message = (
        f"tick {_numbers(ticks)} x {market.contract_multiplier:g} = ${ticks[0] * market.contract_multiplier:g} a tick, as configured;"
        f" settlements {prices.min():g}..{prices.max():g} ({market.price_unit}), {whole:.0%} of them whole ticks"
    )
    return Reading(VALUES, "price scale", "ok" if whole >= _ON_TICK else "wrong", message, "" if whole >= _ON_TICK else _UNIT, facts)


def read_strikes(options: pa.Table, settled: pa.Table, factor: float) -> Reading:
    """Strikes against the settlement of their underlying: the median of their ratio."""
    usual = _usual_settlements(settled)
    pairs = zip(options["underlying"].to_pylist(), options["strike"].to_pylist(), strict=True)
    ratios = np.array([strike / usual[underlying] for underlying, strike in pairs if usual.get(underlying, 0) > 0])
    lost = options.num_rows - len(ratios)
    if not len(ratios):
        remedy = "names of underlyings and of futures differ: compare option_definitions with futures_statistics"
        return Reading(VALUES, "strikes", "wrong", f"none of {options.num_rows} options has an underlying with a settlement", remedy)
    median = float(np.median(ratios))
    message = f"median strike is {median:.2f} of the underlying's settlement, over {len(ratios):,} options"
    message += f"; {lost:,} others have an underlying without a settlement" if lost else ""
    facts = {"median_ratio": median, "options": len(ratios), "without_settlement": lost}
    good = 1 / factor <= median <= factor
    return Reading(VALUES, "strikes", "ok" if good else "wrong", message, "" if good else f"strikes are in another unit: {_UNIT}", facts)


def read_flags(definitions: pa.Table, settled: pa.Table, day: dt.date) -> Reading:
    """Whether settlements carry a final flag, and which contracts have none that is final."""
    expirations = dict(zip(definitions["instrument"].to_pylist(), definitions["expiration"].to_pylist(), strict=True))
    final: dict[str, list[bool | None]] = {}
    for name, flag in zip(settled["instrument"].to_pylist(), settled["is_final"].to_pylist(), strict=True):
        final.setdefault(name, []).append(flag)
    prints = [flag for flags in final.values() for flag in flags]
    unsettled = sorted(set(expirations) - set(final))
    provisional = sorted(name for name, flags in final.items() if True not in flags)
    facts = {
        "final": prints.count(True),
        "preliminary": prints.count(False),
        "unknown": prints.count(None),
        "contracts": len(expirations),
        "without_settlement": unsettled,
        "never_final": provisional,
    }
    message = f"{facts['final']} final, {facts['preliminary']} preliminary, {facts['unknown']} unknown print(s) of {len(final)} contracts"
    if prints and set(prints) == {None}:
        remedy = "nothing to mend: in such an era each print counts from its own time on, is_final null"
        return Reading(VALUES, "final flags", "look", f"{message}: the feed carries no final flag", remedy, facts)
    missing = [*unsettled, *provisional]
    near = [name for name in missing if name not in expirations or expirations[name].date() - day < _FAR]
    if near:
        remedy = "an actual print stands from noon of the next session on, partial; a contract without any print is absent from the day"
        return Reading(VALUES, "final flags", "look", f"{message}; no final one of {', '.join(near)}", remedy, facts)
    far = f"; no final one of {', '.join(missing)}, a year or more away: their actual print stands, partial" if missing else ""
    return Reading(VALUES, "final flags", "ok", f"{message}{far}", "", facts)


def read_clocks(each: TableDay, market: Market, day: dt.date) -> Iterator[Reading]:
    """First and last receipt of each statistic of *day*, on the market's clock."""
    rows = rows_of(each)
    rows = rows.filter(_is_of(rows, day))
    settles = market.calendar.settlement(day)
    for stat in ("settlement", "cleared_volume", "open_interest"):
        of_stat = rows.filter(pc.equal(rows["stat"], stat))
        aspect = f"clock of {stat}"
        if not of_stat.num_rows:
            if each.table.needs_options and stat == "settlement":
                continue
            remedy = "look at another day with --day; without open interest there is no roll by it, and no option is liquid"
            yield Reading(VALUES, each.table.name, "look", f"no {stat} of {day}", remedy, {}, aspect)
            continue
        stamps = sorted(stamp.to_pydatetime(warn=False) for stamp in of_stat["stamped_at"].to_pandas())
        first, last = (f"{stamp.astimezone(market.calendar.zone):%a %H:%M:%S}" for stamp in (stamps[0], stamps[-1]))
        facts = {"first": stamps[0].isoformat(), "last": stamps[-1].isoformat(), "prints": len(stamps)}
        message = f"{stat}: {len(stamps):,} print(s), the first {first}, the last {last} ({market.calendar.timezone})"
        if stat == "settlement" and stamps[0] < settles:
            remedy = f"the exchange settles at {market.calendar.settles_at.on(day):%H:%M} by the calendar {market.calendar.name}: compare"
            yield Reading(VALUES, each.table.name, "look", f"{message}: before the settlement", remedy, facts, aspect)
        else:
            yield Reading(VALUES, each.table.name, "ok", message, "", facts, aspect)


def _is_of(rows: pa.Table, day: dt.date) -> pa.ChunkedArray:
    return pc.equal(rows["as_of"], pa.scalar(dt.datetime.combine(day, dt.time(), dt.UTC), rows["as_of"].type))


def _usual_settlements(settled: pa.Table) -> dict[str, float]:
    """Median settlement of each contract."""
    prices: dict[str, list[float]] = {}
    for name, value in zip(settled["instrument"].to_pylist(), settled["value"].to_pylist(), strict=True):
        if value is not None:
            prices.setdefault(name, []).append(value)
    return {name: float(np.median(values)) for name, values in prices.items()}


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"
