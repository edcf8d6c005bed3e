"""The desk page: one self-contained HTML file of a market as known at an instant."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2

from hydra_assets.desk import Desk
from hydra_assets.report.pictures import pictures
from hydra_assets.report.state import state_at
from hydra_assets.version import __version__

TEMPLATE = "page.html.j2"


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
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "utc": utc}
    template = environment.from_string(files("hydra_assets.report").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        state=state_at(desk, market, at), pictures=pictures(desk, market, at), verdicts=verdicts, version=__version__, home=desk.home.root
    )


def number(value: float | None) -> str:
    """A value as text: large ones whole, others to six significant digits; null as a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.6g}"


def utc(when: dt.datetime) -> str:
    """An instant in UTC to the second, rounded up, so that it never shows too early."""
    exact = when.astimezone(dt.UTC)
    whole = exact.replace(microsecond=0)
    return f"{whole if whole == exact else whole + dt.timedelta(seconds=1):%Y-%m-%d %H:%M:%S}Z"
