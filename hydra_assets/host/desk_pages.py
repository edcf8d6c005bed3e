"""Desk pages beside Dagster's web application: ``/desk`` lists the markets, ``/desk/HE?at=2025-12-03T18:30-06:00`` shows one."""

import asyncio
import datetime as dt
import html

import dagster as dg
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hydra_assets.config.load import load_config
from hydra_assets.desk import open as open_desk
from hydra_assets.errors import ConfigError, HydraError, InvalidTimeError
from hydra_assets.host.guard import App, Receive, Scope, Send
from hydra_assets.host.verdicts import newest_verdicts
from hydra_assets.report.page import render

PATH = "/desk"
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'",
    "cache-control": "no-store",
}


class DeskPages:
    """
    ASGI application that answers requests below ``/desk`` itself, and passes all others to *app*.

    Args:
        app: Dagster's web application.
        instance: the instance that it shows.
    """

    def __init__(self, app: App, instance: dg.DagsterInstance) -> None:
        self._app, self._instance = app, instance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        path = scope.get("path", "").rstrip("/")
        if scope["type"] != "http" or not (path == PATH or path.startswith(f"{PATH}/")):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if request.method not in ("GET", "HEAD"):
            response: Response = HTMLResponse("desk pages are read by GET", status_code=405, headers=HEADERS)
        else:
            # A page takes seconds to draw; Dagster's own requests go on meanwhile.
            response = await asyncio.to_thread(self._answer, path.removeprefix(PATH).strip("/"), request.query_params.get("at"))
        await response(scope, receive, send)

    def _answer(self, market: str, at: str | None) -> Response:
        if not market:
            return HTMLResponse(_index(), headers=HEADERS)
        try:
            when = dt.datetime.fromisoformat(at) if at else dt.datetime.now(dt.UTC)
            with open_desk() as desk:
                return HTMLResponse(render(desk, market, when, newest_verdicts(self._instance, market)), headers=HEADERS)
        except (ConfigError, InvalidTimeError, ValueError) as error:
            return HTMLResponse(_message(str(error)), status_code=400, headers=HEADERS)
        except HydraError as error:
            return HTMLResponse(_message(str(error)), status_code=500, headers=HEADERS)


def _index() -> str:
    rows = "".join(
        f'<li><form action="{PATH}/{html.escape(symbol)}"><a href="{PATH}/{html.escape(symbol)}">{html.escape(symbol)}</a>'
        f' {html.escape(market.name)}, as known at <input name="at" placeholder="2025-12-03T18:30-06:00"> <button>show</button></form></li>'
        for symbol, market in load_config().markets.items()
    )
    return _page(f"<h1>Desk pages</h1><p>Everything about a market as it was known at an instant; now without one.</p><ul>{rows}</ul>")


def _message(text: str) -> str:
    return _page(f'<p>{html.escape(text)}</p><p><a href="{PATH}">all markets</a></p>')


def _page(body: str) -> str:
    style = "body{font:16px/1.6 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}li{margin:.5rem 0}"
    head = f'<meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Desk pages</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'
