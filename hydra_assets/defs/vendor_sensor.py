"""The sensor of the exchange data's vendor, shipped stopped: start it under Automation."""

import datetime as dt
import json

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.defs.in_flight import under_way
from hydra_assets.defs.jobs import MARKET_TABLES, market_refresh
from hydra_assets.defs.resources import DatabentoResource, LakeResource
from hydra_assets.defs.run_requests import few, free_of, request
from hydra_assets.errors import ConfigError, VendorError
from hydra_assets.flow.due import Work, months_held, survey

EVERY_S = 900
MAX_ATTEMPTS = 3  # of the same work, on different days
AT_ONCE = 12


@dg.sensor(
    job=market_refresh,
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Looks at Databento's range and at its word on every day (free of charge), for each market that is held: a day that"
    " has become available, or that the vendor changed after it was fetched, is asked for by its month; a pending one is waited for;"
    " a degraded one is kept as it is, marked so, and fetched again when the vendor mends it.",
)
def vendor_update_sensor(
    context: dg.SensorEvaluationContext, databento: DatabentoResource, lake: LakeResource
) -> dg.SensorResult | dg.SkipReason:
    """One request a market and month whose days are due, once for the same days; at most three times, a day apart, if they stay due."""
    today = dt.datetime.now(dt.UTC).date()
    try:
        with databento.open(run="vendor_update_sensor", unattended=True) as source:
            markets = [market for market in load_config().markets.values() if months_held(source, market.symbol)]
            seen = survey(source, lake.open(), markets, lambda market: {*months_held(source, market), Month.of(today)}, today)
    except (VendorError, ConfigError) as error:
        return dg.SkipReason(f"Databento gave no answer: {error}")
    cursor: dict[str, list[object]] = json.loads(context.cursor) if context.cursor else {}
    asked = {_place(work): cursor[_place(work)] for work in seen.work if _place(work) in cursor}  # the rest is done
    free, told = free_of(seen.work, under_way(context.instance, market_refresh.name, MARKET_TABLES))
    requests: list[dg.RunRequest] = []
    for work in free:
        mark, attempts, day = asked.get(_place(work), ["", 0, ""])
        count = int(str(attempts)) + 1 if mark == work.mark else 1
        if mark == work.mark and (day == today.isoformat() or count > MAX_ATTEMPTS):
            told.append(f"{work} has been asked for {attempts} time(s)")
        elif len(requests) < AT_ONCE:
            asked[_place(work)] = [work.mark, count, today.isoformat()]
            run_key = f"vendor-{work.mark}-{count}"
            requests.append(request(work.market, work.month, run_key=run_key, tags={"hydra/due": str(work)}))
    if not requests:
        told += [f"degraded, kept until the vendor mends them: {', '.join(map(str, sorted(seen.degraded)[-3:]))}"] if seen.degraded else []
        told += [seen.waiting[max(seen.waiting)]] if seen.waiting else []
        why = few(told) or ("every day that is out is held" if markets else "no market is held yet: begin with a backfill")
        return dg.SensorResult(skip_reason=dg.SkipReason(why), cursor=json.dumps(asked, sort_keys=True))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(asked, sort_keys=True))


def _place(work: Work) -> str:
    return f"{work.market} {work.month}"
