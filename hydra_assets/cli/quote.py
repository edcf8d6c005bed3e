"""`hydra-assets quote`: what a backfill would cost, before anything is asked for that costs."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from hydra_assets.cli.console import JsonOption, MarketArgument, MonthsArgument, WorldOption, console, parse_months, print_json
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.config.load import Config, load_config
from hydra_assets.core.months import Month


@dataclass(frozen=True)
class Price:
    """
    The price of a backfill before it is made.

    Attributes:
        rows: one a table: days missing, held and not out, requests, records, bytes, dollars.
        spent: dollars paid so far, ever.
    """

    rows: Sequence[dict[str, Any]]
    spent: float

    @property
    def usd(self) -> float:
        """Dollars for all tables together."""
        return sum(float(row["usd"]) for row in self.rows)


def quote(
    market: MarketArgument,
    months: MonthsArgument,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Print the price of a backfill of MARKET before it is run.

    Only what is not captured yet is priced; what the archive holds is free. Quotes cost nothing. In the sample world the prices
    are as synthetic as the data, and nothing is ever charged.
    """
    config, home, wanted = load_config(), resolve_home(world), parse_months(months)
    config.market(market)
    home.create()
    with console.status(f"asking for the price of {market} {months} ..."):
        price = price_of(home, config, market, wanted)
    if as_json:
        tables = {"tables": price.rows, "usd": price.usd, "spent_usd": price.spent}
        print_json({"world": home.world, "market": market, "months": months, **tables})
        return
    show_price(price, home, config, f"{market} {months}")


def price_of(home: Home, config: Config, market: str, months: Sequence[Month], tables: Sequence[str] | None = None) -> Price:
    """The price of what is missing of *months*, in *tables* that cost (default all of them); quotes are free."""
    from hydra_assets.definitions import key_of_feed  # Dagster takes a second to load; --help needs none of it
    from hydra_assets.flow.feeds.databento import open_databento
    from hydra_assets.flow.feeds.databento_plan import SCHEMAS, plan_of, quote_plan
    from hydra_assets.storage.lake import ParquetLake

    rows: list[dict[str, Any]] = []
    wanted = [name for name in SCHEMAS if tables is None or name in tables]
    if not wanted:
        return Price(rows, 0.0)
    with open_databento(home, config, key=key_of_feed("databento", home)) as source:
        lake, today = ParquetLake(home.lake, world=home.world), dt.datetime.now(dt.UTC).date()
        for data_type in wanted:
            plan = plan_of(source, lake, data_type, config.market(market), months, today, rules=config.option_rules)
            answers = [answer for _, answer in quote_plan(source, plan)]
            rows.append(
                {
                    "table": data_type,
                    "days_missing": sum(len(wanted.days) for wanted in plan.ranges),
                    "days_held": plan.held,
                    "days_not_out": len(plan.gaps),
                    "requests": len(plan.ranges),
                    "records": sum(answer.records for answer in answers),
                    "bytes": sum(answer.size for answer in answers),
                    "usd": sum(answer.usd for answer in answers),
                }
            )
        return Price(rows, source.ledger.spent())


def show_price(price: Price, home: Home, config: Config, what: str) -> None:
    """The price as a table, and what may be spent."""
    prices = ", synthetic prices" if home.world == "sample" else ""
    table = Table(title=f"{what} from Databento ({home.world} world{prices})", title_justify="left")
    for heading in ("table", "days", "requests", "records", "MB", "$"):
        table.add_column(heading, justify="left" if heading == "table" else "right", no_wrap=True)
    for row in price.rows:
        counts = [f"{row[name]:,}" for name in ("days_missing", "requests", "records")]
        table.add_row(row["table"], *counts, f"{row['bytes'] / 1e6:,.1f}", f"{row['usd']:,.4f}")
    console.print(table)
    held, early = (sum(row[name] for row in price.rows) for name in ("days_held", "days_not_out"))
    if held or early:
        console.print(f"Left out: {held:,} table-days that are held already, {early:,} whose last record is not out yet.")
    from hydra_assets.flow.feeds.databento import DatabentoSettings

    limits = config.vendor("databento", DatabentoSettings)
    if home.world == "sample":
        console.print(f"Together ${price.usd:,.4f}, were it not the embedded vendor: nothing is charged in the sample world.")
    else:
        console.print(
            f"Together ${price.usd:,.4f}; a run may spend ${limits.run_budget_usd:,.2f}, a day ${limits.day_budget_usd:,.2f}, of it"
            f" unattended ${limits.unattended_day_budget_usd:,.2f} (databento: in config.yaml). Spent so far: ${price.spent:,.4f}."
        )
