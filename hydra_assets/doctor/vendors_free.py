"""Readings of the vendors that cost nothing: key, ranges, conditions, counts, prices, and the free vendors' newest rows."""

import datetime as dt
from collections.abc import Iterator

from hydra_assets.config.load import Config, load_release_calendar
from hydra_assets.core.market import Market
from hydra_assets.doctor.reading import Reading
from hydra_assets.doctor.vendor_day import VendorDay
from hydra_assets.errors import VendorError, VendorUnavailableError
from hydra_assets.flow.feeds.cot import COT
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import SCHEMAS
from hydra_assets.sources.cftc import CftcSettings
from hydra_assets.sources.cftc_reach import reach_archive
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.databento_request import Request
from hydra_assets.sources.treasury import TreasurySource
from hydra_assets.sources.treasury_parse import parse_rates
from hydra_assets.sources.usda import UsdaSource, results_of
from hydra_assets.sources.usda_parse import parse_hogs

CFTC, USDA, TREASURY, DATASET = "The CFTC", "The USDA", "The US Treasury", "Databento, free of charge"
_WEEK = dt.timedelta(7)
_LATE = dt.timedelta(2)  # the range usually ends hours ago; a session so old should be in it


def read_cftc(base_url: str, config: Config, now: dt.datetime) -> Reading:
    """Whether this year's archive is served at *base_url*, to our name."""
    settings, year = config.vendor(COT.name, CftcSettings), now.year
    try:
        found = reach_archive(
            base_url,
            year,
            user_agent=settings.user_agent,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
        )
    except VendorUnavailableError as error:
        return Reading(CFTC, "archive", "wrong", str(error), "check the network, a proxy, and cftc.base_url in the settings")
    facts = {"url": found.url, "status": found.status, "last_modified": found.last_modified}
    if found.is_archive:
        message = f"{found.url} answers, last modified {found.last_modified or 'at an unknown time'}"
        return Reading(CFTC, "archive", "ok", message, "", facts)
    calendar = load_release_calendar()
    first = calendar.release(calendar.report_dates(dt.date(year, 1, 1), dt.date(year, 12, 31))[0]).available_at
    if found.status in (200, 404) and first > now:
        message = f"{found.url} is not there yet; its first report is due at {first:%Y-%m-%d %H:%M}Z: a gap until then"
        return Reading(CFTC, "archive", "ok", message, "", facts)
    if found.status == 403:
        remedy = f"it may refuse the name {settings.user_agent!r}: set cftc.user_agent in the settings"
        return Reading(CFTC, "archive", "wrong", f"{found.url}: HTTP 403", remedy, facts)
    start = bytes(byte for byte in found.head[:60] if 32 <= byte < 127).decode()
    message = f"{found.url}: HTTP {found.status}, and no archive but {start!r}"
    return Reading(CFTC, "archive", "wrong", message, "look at the address in a browser; cftc.base_url in the settings", facts)


def read_usda(source: UsdaSource, report: str, now: dt.datetime) -> Reading:
    """Whether the newest rows of *report* come as they should, and whether they carry the vendor's own instant of publication."""
    remedy = "check the network, a proxy, and usda.base_url in the settings"
    try:
        answer = source.fetch(report, (now - 2 * _WEEK).date(), now.date(), once=True)
        parsed = parse_hogs(results_of(answer.read(), answer.place), load_release_calendar().is_business_day, answer.place)
    except VendorUnavailableError as error:  # slow, and at times down: it costs the features of the cash price alone
        return Reading(USDA, report, "look", str(error), remedy)
    except VendorError as error:
        return Reading(USDA, report, "wrong", str(error), remedy)
    facts = {"rows": answer.rows, "quarantined": len(parsed.quarantined), "stamped": parsed.stamped}
    if parsed.quarantined:
        message = f"{len(parsed.quarantined)} of {answer.rows} rows cannot be used: {parsed.quarantined[0]}"
        return Reading(USDA, report, "look", message, "look whether the report's layout has changed", facts)
    if not parsed.table.num_rows:
        return Reading(USDA, report, "wrong", f"{answer.place}: no rows in two weeks", remedy, facts)
    message = f"{answer.rows} rows of the last two weeks, {parsed.stamped or 'none'} with an instant of publication"
    return Reading(USDA, report, "ok", message, "", facts)


def read_treasury(source: TreasurySource, now: dt.datetime) -> Reading:
    """Whether the par yields of this year are served, and their newest day."""
    remedy = "check the network, a proxy, and treasury.base_url in the settings"
    try:
        parsed = parse_rates(source.fetch_once(now.year).read(), year=now.year, place=source.base_url)
    except VendorError as error:
        return Reading(TREASURY, "par yields", "wrong", str(error), remedy)
    days = parsed.table["as_of"].to_pylist()
    facts = {"days": len(days), "quarantined": len(parsed.quarantined), "unknown_columns": list(parsed.unknown_columns)}
    message = f"{len(days)} day(s) of {now.year}" + (f", the newest {days[-1]:%Y-%m-%d}" if days else "")
    if parsed.quarantined or parsed.unknown_columns:
        strange = ", ".join([*map(str, parsed.quarantined[:1]), *parsed.unknown_columns])
        return Reading(
            TREASURY, "par yields", "look", f"{message}; not understood: {strange}", "look whether its columns have changed", facts
        )
    return Reading(TREASURY, "par yields", "ok", message, "", facts)


def read_ranges(source: DatabentoSource, market: Market, now: dt.datetime) -> Iterator[Reading]:
    """Key and ranges; the first question to the vendor."""
    ranges = {schema: source.available(market.dataset, schema) for schema in dict.fromkeys(SCHEMAS.values())}
    yield Reading(DATASET, "key", "ok", "accepted")
    facts = {schema: [begin.isoformat(), end.isoformat()] for schema, (begin, end) in ranges.items()}
    spans = {span: [schema for schema in ranges if ranges[schema] == span] for span in ranges.values()}
    message = "; ".join(
        f"{', '.join(schemas) if len(spans) > 1 else 'all schemas'} {begin:%Y-%m-%d}..{end:%Y-%m-%d %H:%MZ}"
        for (begin, end), schemas in spans.items()
    )
    end = min(end for _, end in ranges.values())
    missing = market.calendar.session_days(end.date(), (now - _LATE).date())
    if missing:
        remedy = "see the vendor's status page; until then these days are gaps, and later runs fetch them"
        yield Reading(DATASET, "range", "look", f"{message}: {len(missing)} session(s) since {missing[0]} are not in it", remedy, facts)
    else:
        yield Reading(DATASET, "range", "ok", message, "", facts)


def read_condition(source: DatabentoSource, market: Market, now: dt.datetime) -> Reading:
    """The vendor's account of the sessions of the last week."""
    begins, end = source.available(market.dataset, SCHEMAS["futures_bars"])
    last = min(now, end - dt.timedelta(microseconds=1)).date()
    first = max(last - _WEEK, begins.date())
    conditions = source.conditions(market.dataset, first, last) if first <= last else {}
    facts = {str(day): conditions[day].status if day in conditions else "not listed" for day in market.calendar.session_days(first, last)}
    other = {day: status for day, status in facts.items() if status != "available"}
    if other:
        message = ", ".join(f"{day} {status}" for day, status in other.items())
        remedy = "degraded days are kept as such and fetched again when the vendor mends them; the others are gaps until they are there"
        return Reading(DATASET, "last week", "look", message, remedy, facts)
    return Reading(DATASET, "last week", "ok", f"{len(facts)} session(s) {first}..{last}, all available", "", facts)


def read_counts(source: DatabentoSource, chosen: VendorDay) -> Reading:
    """Whether record counts are exact away from marks of ten minutes."""
    mark = chosen.market.calendar.settlement(chosen.day).replace(second=0, microsecond=0)
    mark -= dt.timedelta(minutes=mark.minute % 10)
    half, whole = dt.timedelta(minutes=5), dt.timedelta(minutes=10)

    def count(start: dt.datetime, end: dt.datetime) -> int:
        about = next(each.request for each in chosen.tables if SCHEMAS[each.table.name] == "statistics")
        return source.quote(Request(about.dataset, about.schema, about.symbols, start, end)).records

    together, parts = count(mark, mark + whole), count(mark, mark + half) + count(mark + half, mark + whole)
    facts = {"from": mark.isoformat(), "ten_minutes": together, "two_halves": parts}
    span = f"{together:,} record(s) in ten minutes from {mark:%Y-%m-%d %H:%MZ}, {parts:,} in its two halves"
    if parts == together:
        return Reading(DATASET, "counts", "ok", f"exact: {span}", "", facts)
    return Reading(DATASET, "counts", "ok", f"rounded outwards to ten minutes: {span}; requests begin and end on such marks", "", facts)


def read_prices(chosen: VendorDay) -> Reading:
    """The price of one day of each table."""
    facts = {
        each.table.name: {
            "schema": each.request.schema,
            "symbols": each.request.symbols,
            "records": each.quote.records,
            "bytes": each.quote.size,
            "usd": each.quote.usd,
        }
        for each in chosen.tables
    }
    lacking = [table.name for table in DATABENTO.tables if table.name not in facts]
    more = f"; {chosen.market.symbol} has no option_roots on that day, so {', '.join(lacking)} stay empty" if lacking else ""
    message = f"{chosen.market.symbol} {chosen.day}: ${chosen.usd:,.4f} for {len(facts)} tables{more}"
    return Reading(DATASET, "one day", "ok", message, "", facts)
