"""
Guard of Dagster's web application on loopback: only the UI's own pages may drive it.

Dagster has no password and answers ``GET /graphql?query=mutation{...}``, which any page open in the same browser can send, even
as the address of an image. Three rules close that: the Host header names this server (a name rebound to 127.0.0.1 fails), the
Origin is this server or absent, and GraphQL runs by POST or by the UI's own websocket only.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class LoopbackGuard:
    """
    ASGI application that passes to *app* only requests of its own pages or of programs on this machine.

    Args:
        app: the guarded application.
        port: of the server on 127.0.0.1.
    """

    def __init__(self, app: App, *, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        if port == 80:
            self._hosts |= {"127.0.0.1", "localhost"}
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on with framing by other pages forbidden."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            await _answer(send, *refusal)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason of a refused request; None if it may pass."""
        headers = scope["headers"]
        hosts, origins = (
            [value.decode("latin-1").lower() for name, value in headers if name.lower() == header] for header in (b"host", b"origin")
        )
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 403, f"this server is {' or '.join(sorted(self._hosts))}; the request names {', '.join(hosts) or 'no host'}"
        if any(origin not in self._origins for origin in origins) or len(origins) > 1:
            return 403, f"a page of {', '.join(origins)} may not drive this server"
        if scope["type"] == "http" and scope["method"] != "POST" and scope["path"].rstrip("/") == "/graphql" and not _wants_page(headers):
            return 405, "GraphQL runs by POST; GET only shows the playground"
        return None


def _wants_page(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the request accepts HTML: Dagster then sends the playground page and executes nothing."""
    accepted = [value for name, value in headers if name.lower() == b"accept"]
    return bool(accepted) and b"text/html" in accepted[0]


def _unframed(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-frame-options", b"DENY")]
        await send(message)

    return sending


async def _answer(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"errors": [{"message": reason}]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
