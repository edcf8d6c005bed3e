"""First page of the UI: the graph of all tables, where Dagster would show runs under way, of which there mostly are none."""

from starlette.responses import RedirectResponse

from hydra_assets.host.guard import App, Receive, Scope, Send

GRAPH = "/asset-groups"


class Landing:
    """
    ASGI application that sends ``/`` to the graph of all tables, and passes all other requests to *app*.

    Args:
        app: Dagster's web application.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send on, or pass the request to the application."""
        is_first = scope["type"] == "http" and scope["path"] in ("", "/") and scope["method"] in ("GET", "HEAD")
        await (RedirectResponse(GRAPH) if is_first else self._app)(scope, receive, send)
