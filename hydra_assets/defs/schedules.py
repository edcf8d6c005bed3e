"""Schedules, shipped stopped: start them under Automation."""

import datetime as dt

import dagster as dg

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.defs.in_flight import in_flight
from hydra_assets.defs.jobs import COT_TABLES, MARKET_FEEDS, MARKET_TABLES, cot_refresh, market_refresh
from hydra_assets.defs.partitions import MARKET_MONTH, key_of
from hydra_assets.defs.resources import LakeResource
from hydra_assets.defs.run_requests import request, source_opener, summarise, without_in_flight
from hydra_assets.flow.due import find_due, reports_due

NEW_YORK, CHICAGO = "America/New_York", "America/Chicago"
CATCH_UP = dt.timedelta(7)  # look back one week; older gaps are left to backfill
STOPPED = dg.DefaultScheduleStatus.STOPPED


def market_schedule(name: str, cron: str, description: str) -> dg.ScheduleDefinition:
    """A schedule that requests the months of the last week in which the vendors have days that are not held."""

    @dg.schedule(
        name=name,
        job=market_refresh,
        cron_schedule=cron,
        execution_timezone=CHICAGO,
        default_status=STOPPED,
        required_resource_keys={"lake", *MARKET_FEEDS},
        description=f"{description} Asks for every market and month of the last {CATCH_UP.days} days with something due (early in"
        " January that includes December), and says why when nothing is: a holiday, not yet published, all held.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, **_: object) -> list[dg.RunRequest] | dg.SkipReason:
        config, now, lake = load_config(), context.scheduled_execution_time.astimezone(dt.UTC), context.resources.lake.open()
        months = {Month.of(now.date() - CATCH_UP), Month.of(now.date())}
        opener = source_opener(context.resources, run=name)
        due = find_due(opener, MARKET_FEEDS, lake, config.markets.values(), lambda *_: months, config, now)
        for message in due.unanswered:
            context.log.warning(message)
        free, busy = without_in_flight(due.months, in_flight(context.instance, market_refresh.name, MARKET_TABLES))
        if free:
            return [request(m.market, m.month, run_key=f"{name}-{m.fingerprint}", tags={"hydra/due": str(m)}) for m in free]
        day = context.scheduled_execution_time.date()
        traded = any(market.calendar.is_session(day) for market in config.markets.values())
        holiday = [] if traded else [f"{day} is no session"]
        waiting = [due.waiting[max(due.waiting)]] if due.waiting else []
        return dg.SkipReason(summarise([*due.unanswered, *busy, *holiday, *waiting]) or "every day that is out is held")

    return schedule


after_settlement = market_schedule(
    "after_settlement",
    "30 19 * * 1-5",
    "The evening run, 19:30 Chicago: the UTC day has ended in winter and in summer, so the session's bar and definitions are whole;"
    " the session's statistics follow the next noon, when its open interest is out.",
)
after_open_interest = market_schedule(
    "after_open_interest",
    "15 12 * * 1-5",
    "The midday run, 12:15 Chicago: the morning has brought the open interest of the session before, which completes its statistics.",
)


@dg.schedule(
    job=cot_refresh,
    cron_schedule="45 15 * * 1-5",
    execution_timezone=NEW_YORK,
    default_status=STOPPED,
    description="A quarter of an hour after 15:30 New York: asks, for every market, for the month of each COT report that the calendar"
    f" has come out in the last {CATCH_UP.days} days and that is not held. The last December report comes out in January, and is asked"
    " for in its own month.",
)
def after_cot_release(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> list[dg.RunRequest] | dg.SkipReason:
    """The month of every report that is out and not held, for every market."""
    calendar, now, opened = load_release_calendar(), context.scheduled_execution_time.astimezone(dt.UTC), lake.open()
    busy = in_flight(context.instance, cot_refresh.name, COT_TABLES)
    requests, messages = [], []
    for market in sorted(load_config().markets):
        due = reports_due(calendar, opened, load_config().market(market), now - CATCH_UP, now)
        newest_of = {Month.of(day): day for day in due}
        for month, newest in newest_of.items():
            if on := busy.on(market, month):
                messages.append(f"{on} is on {market} {month}")
            elif MARKET_MONTH.has_partition_key(key_of(market, month)):
                requests.append(request(market, month, run_key=f"cot-{newest}", tags={"hydra/report": str(newest)}))
    today = context.scheduled_execution_time.date()
    return requests or dg.SkipReason(
        summarise(messages) or f"{today}: every COT report that the calendar has come out in the last week is held"
    )
