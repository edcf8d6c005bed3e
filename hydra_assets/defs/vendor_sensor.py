"""The sensor of the exchange data's vendor, shipped stopped: start it under Automation."""

import datetime as dt
import json
from typing import Any

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.defs.in_flight import in_flight
from hydra_assets.defs.jobs import MARKET_FEEDS, MARKET_TABLES, market_refresh
from hydra_assets.defs.run_requests import request, source_opener, summarise, without_in_flight
from hydra_assets.flow.due import DueMonth, find_due
from hydra_assets.flow.feed import AnyFeed

EVERY_S = 900
MAX_ATTEMPTS = 3  # of the same work, on different days
AT_ONCE = 12


@dg.sensor(
    job=market_refresh,
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.STOPPED,
    required_resource_keys={"lake", *MARKET_FEEDS},
    description="Looks at the vendors' ranges and accounts of every day (free of charge), for each market that is held: a day that"
    " has become available, or that the vendor changed after it was fetched, is asked for by its month; a pending one is waited for;"
    " a degraded one is kept as it is, marked so, and fetched again when the vendor mends it.",
)
def vendor_update_sensor(context: dg.SensorEvaluationContext, **_: object) -> dg.SensorResult | dg.SkipReason:
    """One request a market and month whose days are due, once for the same days; at most three times, a day apart, if they stay due."""
    config, now, lake = load_config(), dt.datetime.now(dt.UTC), context.resources.lake.open()
    today = now.date()

    def months_of(feed: AnyFeed, source: Any, market: str) -> set[Month]:
        held = feed.months_held(source, lake, market)
        return {*held, Month.of(today)} if held else set()

    opener = source_opener(context.resources, run="vendor_update_sensor")
    due = find_due(opener, MARKET_FEEDS, lake, config.markets.values(), months_of, config, now)
    for message in due.unanswered:
        context.log.warning(message)
    cursor: dict[str, list[object]] = json.loads(context.cursor) if context.cursor else {}
    due_places = {_place(month) for month in due.months}  # the rest is done, unless a vendor that would know gave no answer
    requested = {place: attempts for place, attempts in cursor.items() if place in due_places or due.unanswered}
    free, messages = without_in_flight(due.months, in_flight(context.instance, market_refresh.name, MARKET_TABLES))
    requests: list[dg.RunRequest] = []
    for month in free:
        fingerprint, attempts, day = requested.get(_place(month), ["", 0, ""])
        count = int(str(attempts)) + 1 if fingerprint == month.fingerprint else 1
        if fingerprint == month.fingerprint and (day == today.isoformat() or count > MAX_ATTEMPTS):
            messages.append(f"{month} has been asked for {attempts} time(s)")
        elif len(requests) < AT_ONCE:
            requested[_place(month)] = [month.fingerprint, count, today.isoformat()]
            run_key = f"vendor-{month.fingerprint}-{count}"
            requests.append(request(month.market, month.month, run_key=run_key, tags={"hydra/due": str(month)}))
    if not requests:
        messages = [*due.unanswered, *messages]
        degraded = ", ".join(map(str, sorted(due.degraded)[-3:]))
        messages += [f"degraded, kept until the vendor mends them: {degraded}"] if degraded else []
        messages += [due.waiting[max(due.waiting)]] if due.waiting else []
        why = summarise(messages) or ("every day that is out is held" if due.looked_at else "no market is held yet: begin with a backfill")
        return dg.SensorResult(skip_reason=dg.SkipReason(why), cursor=json.dumps(requested, sort_keys=True))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(requested, sort_keys=True))


def _place(due: DueMonth) -> str:
    return f"{due.market} {due.month}"
