"""The desk page: all of it as known at the instant, self-contained, with a reason beside each null."""

import asyncio
import datetime as dt
import re

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import hydra_assets
from hydra_assets.cli.main import app
from hydra_assets.core.calendar import DEFAULT_CALENDAR
from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import ConfigError, InvalidTimeError
from hydra_assets.features.missing import first_day, thin_windows, unread_smiles
from hydra_assets.host.desk_pages import DeskPages
from hydra_assets.plots.coverage import coverage_heat_map
from hydra_assets.plots.naive import naive_beside_honest
from hydra_assets.report.page import VerdictLine, render, view_of
from hydra_assets.report.pictures import _naive, pictures, save_pictures
from hydra_assets.report.state import state_at
from hydra_assets_tests.conftest import at

SHUTDOWN = at("2025-11-18 18:00")  # the report of 2025-09-30 came out a day later


def test_in_the_shutdown_the_page_shows_the_old_report_and_withholds_the_others(cot_home):
    with hydra_assets.open() as desk:
        state = state_at(desk, view_of(desk, "HE", SHUTDOWN))
        for line in state.features:
            served = desk.store.explain("HE", line.name, SHUTDOWN)["served"]
            assert (line.value, line.as_of) == ((served["value"], served["as_of"]) if served else (None, None))
            assert line.available_at is None or line.available_at <= SHUTDOWN
        (net,) = (line for line in state.features if line.name == "cot_mm_net")
        assert (net.value, net.age_days, net.synthetic) == (140103.0, 56, False)
        assert state.withheld[0].as_of.date() == dt.date(2025, 9, 30)
        assert all(row.available_at > SHUTDOWN for row in state.withheld)
        assert [row.available_at for row in state.withheld] == sorted(row.available_at for row in state.withheld)
        page = render(desk, "HE", SHUTDOWN)
    assert "140,103" in page
    assert "144,954" not in page  # of the report that came out later, the day is named and no value
    assert "2025-11-19 20:30:00Z" in page


def test_the_page_loads_nothing_and_escapes_what_it_is_given(cot_home):
    with hydra_assets.open() as desk:
        verdict = VerdictLine("cot_features", "replay", "<script>alert(1)</script>", "passed", "", "HE 2025-11", SHUTDOWN)
        page = render(desk, "HE", SHUTDOWN, [verdict])
    loaded = re.findall(r"""(?:src|href|action)=["']([^"']*)""", page)
    assert loaded
    assert all(address.startswith(("data:image/svg+xml;base64,", "#")) for address in loaded)
    assert not re.search(r"@import|url\(|<script", page)
    assert "&lt;script&gt;" in page


def test_nothing_that_came_after_the_instant_is_drawn(cot_home):
    with hydra_assets.open() as desk:
        early, late = (_naive(desk, view_of(desk, "HE", when)) for when in (SHUTDOWN, at("2026-01-31 00:00")))
        assert {picture.name for picture in pictures(desk, view_of(desk, "HE", SHUTDOWN))} == {"positioning", "naive", "coverage"}
    naive = {name: plot.figure.axes[0].lines[0].get_ydata() for name, plot in (("early", early), ("late", late))}
    assert 144954.0 not in naive["early"]
    assert 144954.0 in naive["late"]
    assert late.rows[0]["used before they existed"] > early.rows[0]["used before they existed"] > 0


def test_pictures_alone_are_files_and_the_same_each_time(cot_home, tmp_path):
    with hydra_assets.open() as desk:
        first, second = (save_pictures(desk, view_of(desk, "HE", SHUTDOWN), tmp_path / name) for name in ("a", "b"))
    assert [file.name for file in first] == ["HE-positioning.svg", "HE-naive.svg", "HE-coverage.svg"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_the_command_writes_one_file(cot_home, tmp_path):
    target = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", "HE", "--at", "2025-11-18T18:00Z", "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert "140,103" in target.read_text()
    assert "page.html" in done.output


def test_a_market_or_an_instant_that_cannot_be_is_refused(cot_home):
    with hydra_assets.open() as desk:
        with pytest.raises(ConfigError, match="QQ"):
            render(desk, "QQ", SHUTDOWN)
        with pytest.raises(InvalidTimeError):
            render(desk, "HE", SHUTDOWN.replace(tzinfo=None))


# ---------------------------------------------------------------- reasons


def rows(*days, value=1.0):
    return pa.table(
        {
            "as_of": pa.array([dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) for day in days], pa.timestamp("us", tz="UTC")),
            "stat": ["settlement"] * len(days),
            "value": pa.array([value] * len(days), pa.float64()),
        }
    )


def feature(**window):
    windows = (Window("futures_statistics", where=(("stat", "settlement"),), **window),)
    return Feature("own", "futures", "ratio", lambda *_: None, windows, "a formula", "here", "evening")


FRIDAY = dt.date(2025, 11, 7)
INPUT = "futures_statistics settlement"


@pytest.mark.parametrize(
    ("window", "known", "expected"),
    [
        (
            {"first": -4, "unit": "sessions", "at_least": 4},
            rows("2025-11-05", "2025-11-06", "2025-11-07"),
            [f"{INPUT}: 3 of the 4 sessions needed in 5 were known"],
        ),
        (
            {"first": -1, "unit": "sessions", "required": (0, -1)},
            rows("2025-11-07"),
            [f"{INPUT}: no row known for -1 sessions"],
        ),
        ({"first": -1, "unit": "sessions"}, rows("2025-11-06"), [f"{INPUT}: no row known for the day itself"]),
        (
            {"first": 0, "unit": "sessions"},
            rows("2025-11-07", value=None),
            [f"{INPUT}: no row known for the day itself"],
        ),
        (
            {"first": -4, "unit": "sessions"},
            rows("2025-11-07"),
            [f"{INPUT}: 1 of the 5 sessions of its window were known"],
        ),
        ({"first": -1, "unit": "sessions"}, rows("2025-11-06", "2025-11-07"), []),
        ({"first": -1, "unit": "weeks", "at_least": 2}, rows("2025-10-28", "2025-11-04"), []),
        (
            {"first": -1, "unit": "weeks", "at_least": 2},
            rows("2025-11-03", "2025-11-04"),
            [f"{INPUT}: 1 of the 2 weeks needed in 2 were known"],
        ),
    ],
)
def test_a_window_that_is_too_thin_is_named_with_what_it_needs(window, known, expected):
    assert thin_windows(feature(**window), FRIDAY, lambda _: known, DEFAULT_CALENDAR) == expected


def test_weekdays_of_a_window_are_counted_on_holidays_of_the_exchange_too():
    mlk_day = dt.date(2025, 1, 20)
    assert not DEFAULT_CALENDAR.is_session(mlk_day)
    window = {"first": -1, "unit": "weekdays", "required": (0, -1), "at_least": 2}
    tuesday = mlk_day + dt.timedelta(1)
    assert thin_windows(feature(**window), mlk_day, lambda _: rows("2025-01-17", "2025-01-20"), DEFAULT_CALENDAR) == []
    assert thin_windows(feature(**window), tuesday, lambda _: rows("2025-01-17", "2025-01-21"), DEFAULT_CALENDAR) == [
        f"{INPUT}: no row known for -1 weekdays"
    ]


def test_the_reach_of_a_window_covers_its_sessions():
    for first in (0, -21, -252, -2570):
        days = DEFAULT_CALENDAR.session_days(FRIDAY - dt.timedelta(5000), FRIDAY)
        assert first_day(Window("futures_statistics", first, unit="sessions"), FRIDAY) <= days[first - 1]


def test_smiles_that_cannot_be_read_are_named_with_their_status():
    day = dt.datetime(2025, 11, 7, tzinfo=dt.UTC)
    smiles = pa.table(
        {
            "as_of": pa.array([day, day, day - dt.timedelta(1)], pa.timestamp("us", tz="UTC")),
            "expiration": [2, 1, 1],
            "underlying": ["HEG6", "HEZ5", "HEZ5"],
            "tau": [72 / 365, 9 / 365, 10 / 365],
            "status": ["full", "thin", "full"],
        }
    )
    assert unread_smiles(smiles, FRIDAY) == "HEZ5 in 9 days thin, HEG6 in 72 days full"
    assert unread_smiles(smiles.slice(0, 0), FRIDAY) == ""


# ---------------------------------------------------------------- plots


def test_the_naive_plot_needs_a_value():
    times = [at("2025-11-07 18:00")]
    assert naive_beside_honest("HE", "f", times, np.array([1.0]), np.array([np.nan]), np.array([False])) is None


def test_the_heat_map_counts_the_days_of_each_state():
    days = [FRIDAY, FRIDAY + dt.timedelta(3)]
    plot = coverage_heat_map("HE", days, {"futures_bars": ["normal", "missing"], "option_quotes": ["not due", "partial"]})
    assert plot.rows[0] == {"table": "futures_bars", "missing": 1, "stale": 0, "degraded": 0, "partial": 0, "normal": 1}
    assert plot.rows[1]["partial"] == 1
    assert coverage_heat_map("HE", days, {}) is None
    for quality in QUALITIES:
        ((row),) = coverage_heat_map("HE", days, {"futures_bars": [quality, quality]}).rows
        assert row[quality] == 2


# ---------------------------------------------------------------- served beside Dagster


def answer(path, query="", method="GET"):
    """Status, headers and text of a request to the pages; the status 299 is Dagster's."""
    back = []

    async def dagster(scope, receive, send):
        await send({"type": "http.response.start", "status": 299, "headers": []})

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        back.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    with dg.DagsterInstance.ephemeral() as instance:
        asyncio.run(DeskPages(dagster, instance)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in back[0]["headers"]}
    return back[0]["status"], headers, b"".join(message.get("body", b"") for message in back).decode()


def test_the_ui_serves_the_page_of_any_market_and_instant(cot_home):
    status, headers, text = answer("/desk/HE", "at=2025-11-18T18:00Z")
    assert status == 200
    assert "140,103" in text
    assert "default-src 'none'" in headers["content-security-policy"]
    assert answer("/desk/")[0] == 200
    assert 'href="/desk/HE"' in answer("/desk")[2]


@pytest.mark.parametrize(
    ("path", "query", "word"),
    [("/desk/QQ", "", "QQ"), ("/desk/HE", "at=tomorrow", "tomorrow"), ("/desk/HE", "at=2025-11-18T18:00", "zone")],
)
def test_a_page_that_cannot_be_says_why(cot_home, path, query, word):
    status, _, text = answer(path, query)
    assert status == 400
    assert word in text


def test_only_desk_pages_are_answered_and_only_by_get(cot_home):
    assert answer("/desks")[0] == answer("/graphql", method="POST")[0] == 299
    assert answer("/desk/HE", method="POST")[0] == 405


def test_one_instant_has_one_page_whatever_its_zone(cot_home):
    with hydra_assets.open() as desk:
        utc, chicago = (render(desk, "HE", dt.datetime.fromisoformat(text)) for text in ("2025-11-21T00:30Z", "2025-11-20T18:30-06:00"))
    assert utc == chicago
