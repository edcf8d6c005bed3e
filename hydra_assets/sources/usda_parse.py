"""Rows of LM_HG201 as the lake keeps them; a row that cannot be read is set aside alone, with its reason."""

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from hydra_assets.core.hog_reports import CHICAGO, IsBusinessDay, published_at
from hydra_assets.core.instants import day_us, to_us
from hydra_assets.core.tables.cash import CASH_HOGS, PURCHASE_TYPES

_NULLS = ("", "null", "n/a")
_DATES = (
    re.compile(r"(?P<month>\d\d?)[/-](?P<day>\d\d?)[/-](?P<year>\d{4})"),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)"),
)
_CLOCK = re.compile(r"(?P<hour>\d\d?):(?P<minute>\d\d)(:(?P<second>\d\d))?( ?(?P<half>[AaPp][Mm]))?")
_PRICE, _WEIGHT = (5.0, 400.0), (50.0, 600.0)  # cents per lb: 14 in 1998 and 134 in 2014 are the extremes so far; lb of a hog
_RANGES = {
    "base_price": _PRICE,
    "avg_net_price": _PRICE,
    "lowest_net_price": _PRICE,
    "highest_net_price": _PRICE,
    "avg_live_weight": _WEIGHT,
    "avg_carcass_weight": _WEIGHT,
    "avg_lean_percent": (1.0, 100.0),
}
_MOST_HEAD = 5_000_000  # ten days of all hogs slaughtered
_LATEST_REPORT = dt.timedelta(days=14)  # after the slaughter day; a report over the longest run of holidays comes sooner


@dataclass
class ParsedHogs:
    """
    Rows of one answer.

    Attributes:
        table: of CASH_HOGS.
        quarantined: rows that cannot be used, each with its reason.
        duplicates: rows that say what another one says.
        stamped: rows that carry the vendor's own instant of publication.
    """

    table: pa.Table
    quarantined: list[str] = field(default_factory=list)
    duplicates: int = 0
    stamped: int = 0


def parse_hogs(results: Sequence[object], is_business_day: IsBusinessDay, place: str) -> ParsedHogs:
    """
    The rows of an answer.

    ``available_at`` is the vendor's ``published_date`` where the row has one with a time of day, not before its report date: read as
    Chicago's, the later of the zones that it may be in. Else it is the publication rule's instant, and the row ``partial``.

    Args:
        results: rows as they came.
        is_business_day: whether federal offices are open on a day.
        place: of the answer, for messages.
    """
    parsed = ParsedHogs(CASH_HOGS.schema.empty_table())
    rows: dict[tuple[object, object], dict[str, Any]] = {}
    contradicted: set[tuple[object, object]] = set()
    for number, result in enumerate(results, start=1):
        try:
            row = _row(result, is_business_day)
        except ValueError as error:
            parsed.quarantined.append(f"{place} row {number}: {error}")
            continue
        key = row["as_of"], row["purchase_type"]
        held = rows.get(key)
        if held is None or (row["stamped"] and row["available_at"] > held["available_at"] and held["stamped"]):
            rows[key] = row
        elif row == held:
            parsed.duplicates += 1
        elif not (held["stamped"] and row["stamped"] and row["available_at"] < held["available_at"]):
            contradicted.add(key)
            parsed.quarantined.append(f"{place} row {number}: contradicts another row of {result!r}"[:300])
    kept = [row for key, row in rows.items() if key not in contradicted]
    parsed.stamped = sum(row["stamped"] for row in kept)
    columns = {each.name: pa.array([row[each.name] for row in kept], _plain(each.type)).cast(each.type) for each in CASH_HOGS.schema}
    parsed.table = pa.table(columns, CASH_HOGS.schema)
    return parsed


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def _row(result: object, is_business_day: IsBusinessDay) -> dict[str, Any]:
    """One row by column name, instants in microseconds; ValueError with the reason where it cannot be used."""
    if not isinstance(result, Mapping):
        raise ValueError(f"no object but {result!r}")
    kind = str(result.get("purchase_type", "")).strip()
    if kind not in PURCHASE_TYPES:
        raise ValueError(f"purchase_type {kind!r} is none of the report's")
    day, report_date = _date(result, "for_date_begin"), _date(result, "report_date")
    if day.weekday() > 4:
        raise ValueError(f"for_date_begin {day} is no weekday")
    if not day < report_date <= day + _LATEST_REPORT:
        raise ValueError(f"report_date {report_date} does not follow for_date_begin {day}")
    numbers = {name: _number(result, name) for name in _RANGES}
    for name, (low, high) in _RANGES.items():
        value = numbers[name]
        if value is not None and not low <= value <= high:
            raise ValueError(f"{name} of {day}, {kind}, is {value}, outside {low:g} to {high:g}")
    _refuse_disorder(numbers, f"of {day}, {kind}")
    head = _number(result, "head_count")
    if head is not None and (not 0 <= head <= _MOST_HEAD or head != int(head)):
        raise ValueError(f"head_count of {day}, {kind}, is {head}")
    stamp = _stamp(result.get("published_date"), report_date)
    return {
        "purchase_type": kind,
        "as_of": day_us(day),
        "available_at": to_us(stamp or published_at(report_date, is_business_day)),
        "report_date": day_us(report_date),
        "head_count": None if head is None else int(head),
        **numbers,
        "quality": "normal" if stamp else "partial",
        "synthetic": str(result.get("synthetic", "0")) == "1",
        "stamped": stamp is not None,
    }


def _refuse_disorder(numbers: Mapping[str, float | None], place: str) -> None:
    """Refuse an average price that does not lie between the lowest and the highest."""
    low, mean, high = (numbers[name] for name in ("lowest_net_price", "avg_net_price", "highest_net_price"))
    if mean is not None and ((low is not None and mean < low) or (high is not None and mean > high)):
        raise ValueError(f"avg_net_price {place}, is {mean}, not between the lowest, {low}, and the highest, {high}")


def _date(result: Mapping[object, object], name: str) -> dt.date:
    text = str(result.get(name)).strip()
    found = _day(text)
    if found is None:
        raise ValueError(f"{name} {text!r} is no date")
    return found


def _day(text: str) -> dt.date | None:
    for form in _DATES:
        if match := form.fullmatch(text):
            try:
                return dt.date(*(int(match[part]) for part in ("year", "month", "day")))
            except ValueError:
                return None
    return None


def _number(result: Mapping[object, object], name: str) -> float | None:
    """A number with or without commas; None for a missing key, null, or the word."""
    value = result.get(name)
    text = "" if value is None else str(value).strip().replace(",", "")
    if text.lower() in _NULLS:
        return None
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} {value!r} is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} {value!r} is no number")
    return number


def _stamp(value: object, report_date: dt.date) -> dt.datetime | None:
    """The vendor's instant of publication; None where it has no time of day, cannot be read, or lies before the report's own date."""
    date, _, clock = str(value or "").strip().replace("T", " ").partition(" ")
    day, match = _day(date), _CLOCK.fullmatch(clock.strip())
    if day is None or match is None or day < report_date:
        return None
    hour, afternoon = int(match["hour"]), match["half"]
    if afternoon:
        hour = hour % 12 + (12 if afternoon.upper() == "PM" else 0)
    try:
        return dt.datetime.combine(day, dt.time(hour, int(match["minute"]), int(match["second"] or 0)), CHICAGO).astimezone(dt.UTC)
    except ValueError:
        return None
