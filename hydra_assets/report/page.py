"""The desk page: one self-contained HTML file of a market as known at an instant."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2

from hydra_assets.core.instants import from_us, rounded_up, to_us
from hydra_assets.core.market import Market
from hydra_assets.desk import Desk
from hydra_assets.report.pictures import pictures
from hydra_assets.report.state import state_at
from hydra_assets.report.view import View
from hydra_assets.version import __version__

TEMPLATE = "page.html.j2"
INDEX = "index.html.j2"
REACH = dt.timedelta(380)  # a year of pictures, and the weeks before it that some of them look at


@dataclass(frozen=True)
class VerdictLine:
    """The newest verdict of one check or proof, as Dagster recorded it."""

    table: str
    check: str
    verdict: str
    kind: str
    looked_at: str
    partition: str
    when: dt.datetime


def render(desk: Desk, market: str, at: dt.datetime, verdicts: Sequence[VerdictLine] = ()) -> str:
    """
    Build the page.

    Args:
        desk: an open world.
        market: a configured symbol.
        at: aware; everything on the page but *verdicts* was known then.
        verdicts: newest results of checks and proofs; they speak of what is stored today.

    Returns:
        HTML that loads nothing: pictures are inline.

    Raises:
        ConfigError: no such market.
        InvalidTimeError: *at* is naive.
    """
    view = view_of(desk, market, at, reach=REACH)
    return _template(TEMPLATE).render(
        state=state_at(desk, view), pictures=pictures(desk, view), verdicts=verdicts, version=__version__, home=desk.home.root
    )


def render_index(path: str, markets: Mapping[str, Market], message: str = "") -> str:
    """
    Build the list of markets, each with a link to its page.

    Args:
        path: of the pages, without a slash at its end.
        markets: symbol to its settings.
        message: shown in the place of the list, for example the reason why a page cannot be shown.
    """
    return _template(INDEX).render(path=path, markets=markets, message=message)


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "utc": utc}
    return environment.from_string(files("hydra_assets.report").joinpath(name).read_text(encoding="utf-8"))


def view_of(desk: Desk, market: str, at: dt.datetime, *, reach: dt.timedelta = dt.timedelta(0)) -> View:
    """
    A view of *market* as known at *at*; `REACH` is the *reach* of a whole page.

    Raises:
        ConfigError: no such market.
        InvalidTimeError: *at* is naive.
    """
    calendar = desk.config.market(market).calendar
    when = from_us(to_us(at, what="at", rounding="floor"))  # one instant has one page, whatever the zone that it is told in
    return View(desk.lake, market, when, calendar, until=when.date(), reach=reach)


def number(value: float | None) -> str:
    """A value as text: large ones whole, others to six significant digits; null as a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.6g}"


def utc(when: dt.datetime) -> str:
    """An instant in UTC to the second, rounded up, so that it never shows too early."""
    return f"{rounded_up(when, dt.timedelta(seconds=1)):%Y-%m-%d %H:%M:%S}Z"
