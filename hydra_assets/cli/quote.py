"""`hydra-assets quote`: what a backfill would cost, before anything is asked for that costs."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hydra_assets.cli.console import JsonOption, MarketArgument, MonthsArgument, WorldOption, console, parse_months, print_json
from hydra_assets.cli.tables import show_table
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.core.months import Month

if TYPE_CHECKING:
    from hydra_assets.config.load import Config

AgainOption = Annotated[
    bool, typer.Option("--again", help="Days that are held too: asked for and paid again, unless they were seen today already.")
]


@dataclass(frozen=True)
class Price:
    """
    The price of a backfill before it is made.

    Attributes:
        rows: one a table: days missing, held, asked for again and not out; requests, records, bytes, dollars, of these for days held.
        spent: dollars paid so far, ever.
        spent_today: dollars paid on this UTC day.
    """

    rows: Sequence[dict[str, Any]]
    spent: float
    spent_today: float = 0.0

    @property
    def usd(self) -> float:
        """Dollars for all tables together."""
        return sum(float(row["usd"]) for row in self.rows)


def quote(
    market: MarketArgument,
    months: MonthsArgument,
    again: AgainOption = False,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Print the price of a backfill of MARKET before it is run, and the budgets that it needs.

    Only what is not captured yet is priced; what the archive holds is free. With --again, days that are held have a line of their
    own. Quotes cost nothing. In the sample world the prices are as synthetic as the data, and nothing is ever charged.
    """
    from hydra_assets.config.load import load_config  # numpy and Arrow take a while to load; --help needs neither

    config, home, wanted = load_config(), resolve_home(world), parse_months(months)
    config.market(market)
    home.create_to_write()
    with console.status(f"asking for the price of {market} {months} ..."):
        price = price_of(home, config, market, wanted, again=again)
    if as_json:
        tables = {"tables": price.rows, "usd": price.usd, "spent_usd": price.spent, "lacking": lacking(price, home, config)}
        print_json({"world": home.world, "market": market, "months": months, **tables})
        return
    show_price(price, home, config, f"{market} {months}")


def price_of(
    home: Home, config: "Config", market: str, months: Sequence[Month], tables: Sequence[str] | None = None, *, again: bool = False
) -> Price:
    """The price of what is missing of *months*, in *tables* that cost (default all of them), of all days if *again*; quotes are free."""
    from hydra_assets.flow.feeds.databento import open_databento  # Arrow takes a second to load; --help needs neither
    from hydra_assets.flow.feeds.databento_plan import SCHEMAS, plan_of, quote_plan
    from hydra_assets.storage.lake import ParquetLake

    rows: list[dict[str, Any]] = []
    wanted = [name for name in SCHEMAS if tables is None or name in tables]
    if not wanted:
        return Price(rows, 0.0)
    with open_databento(home, config, key=_key(home, config, wanted, f"{market} {months[0]}..{months[-1]}")) as source:
        lake, today = ParquetLake(home.lake, world=home.world), dt.datetime.now(dt.UTC).date()
        source.again_since = today if again else None
        for data_type in wanted:
            plan = plan_of(source, lake, data_type, config.market(market), months, today, rules=config.option_rules)
            parts = {held: [part for part in plan.ranges if part.again == held] for held in (False, True)}
            priced = {held: [answer for _, answer in quote_plan(source, replace(plan, ranges=ranges))] for held, ranges in parts.items()}
            answers = priced[False] + priced[True]
            rows.append(
                {
                    "table": data_type,
                    "days_missing": sum(len(part.days) for part in parts[False]),
                    "days_again": sum(len(part.days) for part in parts[True]),
                    "days_held": plan.held,
                    "days_not_out": len(plan.gaps),
                    "requests": len(plan.ranges),
                    "records": sum(answer.records for answer in answers),
                    "bytes": sum(answer.size for answer in answers),
                    "usd": sum(answer.usd for answer in answers),
                    "again_usd": sum(answer.usd for answer in priced[True]),
                }
            )
        return Price(rows, source.ledger.spent(), source.ledger.spent_on(today))


def _key(home: Home, config: "Config", tables: list[str], example: str) -> str:
    """The key in the live world, where the vendors of *tables* can be reached; the sample world needs none, nor the other feeds' code."""
    if home.world != "live":
        return ""
    from hydra_assets.cli.reach import refuse_without_network
    from hydra_assets.keys import key_of_feed, require_keys

    require_keys(tables, home, example)
    refuse_without_network(config, tables)
    return key_of_feed("databento", home)


def lacking(price: Price, home: Home, config: "Config") -> list[str]:
    """The budgets that do not hold *price*, each with its setting, the value that it needs and the file; none in the sample world."""
    from hydra_assets.config.load import user_config_path
    from hydra_assets.flow.feeds.databento import DatabentoSettings

    limits, file = config.vendor("databento", DatabentoSettings), user_config_path()
    needs = (
        ("run_budget_usd", limits.run_budget_usd, price.usd, "a run"),
        ("day_budget_usd", limits.day_budget_usd, price.usd + price.spent_today, "a day"),
    )
    return [
        f"{whose} may spend ${limit:,.2f} and needs ${need:,.4f}: set databento.{setting} to {math.ceil(need * 100) / 100:.2f} in {file}"
        for setting, limit, need, whose in needs
        if home.world == "live" and price.usd > 0 and need > limit + 1e-9
    ]


def show_price(price: Price, home: Home, config: "Config", what: str) -> None:
    """The price as a table, and what may be spent."""
    prices = ", synthetic prices" if home.world == "sample" else ""
    rows = []
    for row in price.rows:
        counts = [f"{row['days_missing'] + row['days_again']:,}", f"{row['requests']:,}", f"{row['records']:,}"]
        rows.append((row["table"], *counts, f"{row['bytes'] / 1e6:,.1f}", f"{row['usd']:,.4f}"))
    headings = ("table", "days", "requests", "records", "MB", "$")
    title = f"{what} from Databento ({home.world} world{prices})"
    show_table(title, headings, rows, left=["table"], least=["records", "requests", "MB", "days"])
    held, early = (sum(row[name] for row in price.rows) for name in ("days_held", "days_not_out"))
    if held or early:
        absent = f"{early:,} whose last record is not out yet, or that the vendor does not have"
        console.print(f"Left out: {held:,} table-days that are held already, {absent}.")
    again, again_usd = (sum(row[name] for row in price.rows) for name in ("days_again", "again_usd"))
    if again:
        console.print(f"Already held: {again:,} table-days that are asked for again, ${again_usd:,.4f} of the price.")
    if home.world == "sample":
        console.print(f"Together ${price.usd:,.4f}, were it not the embedded vendor: nothing is charged in the sample world.")
        return
    console.print(f"Together ${price.usd:,.4f}. Spent so far ${price.spent:,.4f}, of it today ${price.spent_today:,.4f}.")
    for line in lacking(price, home, config) or ["It is within the budgets of a run and a day (databento: in config.yaml)."]:
        console.print(line, highlight=False, soft_wrap=True)
