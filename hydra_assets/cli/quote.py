"""`hydra-assets quote`: what a backfill would cost, before anything is asked for that costs."""

import datetime as dt
import re
from typing import Annotated

import typer
from rich.table import Table

from hydra_assets.cli.console import JsonOption, WorldOption, console, print_json
from hydra_assets.config.home import resolve_home
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month, months_between
from hydra_assets.errors import InvalidTimeError

_RANGE = re.compile(r"(\d{4}-\d{2})(?:\.\.(\d{4}-\d{2}))?")


def quote(
    market: Annotated[str, typer.Argument(help="A configured market, for example HE.")],
    months: Annotated[str, typer.Argument(help="A month, or a first and a last one: 2016-01..2026-02.")],
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Print the price of a backfill of MARKET before it is run.

    Only what is not captured yet is priced; what the archive holds is free. Quotes cost nothing. In the sample world the prices
    are as synthetic as the data, and nothing is ever charged.
    """
    from hydra_assets.definitions import databento_key_of  # Dagster takes a second to load; --help needs none of it
    from hydra_assets.flow.databento import SCHEMAS, open_databento, plan_of, quote_plan
    from hydra_assets.storage.lake import ParquetLake

    config, home, wanted = load_config(), resolve_home(world), _months(months)
    config.market(market)
    home.create()
    rows = []
    with (
        console.status(f"asking for the price of {market} {months} ..."),
        open_databento(home, config, key=databento_key_of(home)) as source,
    ):
        lake, today, cut = ParquetLake(home.lake, world=home.world), dt.datetime.now(dt.UTC).date(), config.option_rules.cut_time
        for data_type in SCHEMAS:
            plan = plan_of(source, lake, data_type, config.market(market), wanted, today, cut=cut)
            answers = [answer for _, answer in quote_plan(source, plan)]
            rows.append(
                {
                    "table": data_type,
                    "days_missing": sum(len(run.days) for run in plan.runs),
                    "days_held": plan.held,
                    "days_not_out": len(plan.gaps),
                    "requests": len(answers),
                    "records": sum(answer.records for answer in answers),
                    "bytes": sum(answer.size for answer in answers),
                    "usd": sum(answer.usd for answer in answers),
                }
            )
        spent = source.ledger.spent()
    total = sum(float(str(row["usd"])) for row in rows)
    if as_json:
        print_json({"world": home.world, "market": market, "months": months, "tables": rows, "usd": total, "spent_usd": spent})
        return
    prices = ", synthetic prices" if home.world == "sample" else ""
    table = Table(title=f"{market} {months} from Databento ({home.world} world{prices})", title_justify="left")
    for heading in ("table", "days", "requests", "records", "MB", "$"):
        table.add_column(heading, justify="left" if heading == "table" else "right", no_wrap=True)
    for row in rows:
        counts = [f"{row[name]:,}" for name in ("days_missing", "requests", "records")]
        table.add_row(str(row["table"]), *counts, f"{float(str(row['bytes'])) / 1e6:,.1f}", f"{row['usd']:,.4f}")
    console.print(table)
    held, early = (sum(int(str(row[name])) for row in rows) for name in ("days_held", "days_not_out"))
    if held or early:
        console.print(f"Left out: {held:,} table-days that are held already, {early:,} whose last record is not out yet.")
    limits = config.databento
    if home.world == "sample":
        console.print(f"Together ${total:,.4f}, were it not the embedded vendor: nothing is charged in the sample world.")
    else:
        console.print(
            f"Together ${total:,.4f}; a run may spend ${limits.run_budget_usd:,.2f}, a day ${limits.day_budget_usd:,.2f}, of it unattended"
            f" ${limits.unattended_day_budget_usd:,.2f} (databento: in config.yaml). Spent so far: ${spent:,.4f}."
        )


def _months(text: str) -> list[Month]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InvalidTimeError(f"{text!r} is not a range of months; write 2016-01..2026-02, or one month")
    found = months_between(match[1], match[2] or match[1])
    if not found:
        raise InvalidTimeError(f"{text!r} ends before it begins")
    return found
