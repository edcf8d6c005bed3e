"""Desk pages beside Dagster's web application: ``/desk`` lists the markets, ``/desk/HE?at=2025-12-03T18:30-06:00`` shows one."""

import asyncio
import datetime as dt

import dagster as dg
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hydra_assets.config.load import load_config
from hydra_assets.desk import open as open_desk
from hydra_assets.errors import ConfigError, HydraError, InvalidTimeError
from hydra_assets.host.guard import App, Receive, Scope, Send
from hydra_assets.host.verdicts import newest_verdicts
from hydra_assets.report.page import render, render_index

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
            return HTMLResponse(render_index(PATH, load_config().markets), headers=HEADERS)
        try:
            when = dt.datetime.fromisoformat(at) if at else dt.datetime.now(dt.UTC)
            with open_desk() as desk:
                return HTMLResponse(render(desk, market, when, newest_verdicts(self._instance, market)), headers=HEADERS)
        except (ConfigError, InvalidTimeError, ValueError) as error:
            return HTMLResponse(render_index(PATH, {}, str(error)), status_code=400, headers=HEADERS)
        except HydraError as error:
            return HTMLResponse(render_index(PATH, {}, str(error)), status_code=500, headers=HEADERS)
