"""The guard before Dagster's web application: what other pages, names and addresses can send does not reach it."""

import asyncio

import pytest

from hydra_assets.host.guard import LoopbackGuard

HERE = "127.0.0.1:3000"


def sent(kind="http", method="POST", path="/graphql", **headers):
    """The request that the application saw (None without one), and the response."""
    seen, back = [], []

    async def app(scope, receive, send):
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        back.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, values in headers.items() for value in values.split("|")]
    scope = {"type": kind, "path": path, "headers": named, **({"method": method} if kind == "http" else {})}
    asyncio.run(LoopbackGuard(app, port=3000)(scope, receive, send))
    return bool(seen), back


@pytest.mark.parametrize("host", [HERE, "localhost:3000", "LOCALHOST:3000"])
@pytest.mark.parametrize("origin", [{}, {"origin": "http://127.0.0.1:3000"}, {"origin": "http://localhost:3000"}])
def test_its_own_pages_and_programs_of_this_machine_pass(host, origin):
    for kind in ("http", "websocket"):
        passed, _ = sent(kind, host=host, **origin)
        assert passed
    assert sent(method="GET", path="/assets", host=host, **origin)[0]


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"host": "evil.example"}, "evil.example"),
        ({"host": "evil.example:3000"}, "evil.example"),
        ({"host": "127.0.0.1:3001"}, "3001"),
        ({"host": "127.0.0.1:3000.evil.example"}, "evil"),
        ({"host": f"{HERE}|evil.example"}, "evil"),
        ({}, "no host"),
        ({"host": HERE, "origin": "http://evil.example"}, "evil.example"),
        ({"host": HERE, "origin": "http://127.0.0.1:3001"}, "3001"),
        ({"host": HERE, "origin": "https://127.0.0.1:3000"}, "https"),
        ({"host": HERE, "origin": "null"}, "null"),
        ({"host": HERE, "origin": f"http://{HERE}|http://evil.example"}, "evil"),
    ],
)
def test_other_names_and_other_pages_are_refused_by_http_and_by_websocket(headers, word):
    passed, back = sent(**headers)
    assert not passed
    assert back[0]["status"] == 403
    assert word in back[1]["body"].decode()
    passed, back = sent("websocket", **headers)
    assert not passed
    assert back == [{"type": "websocket.close", "code": 1008, "reason": back[0]["reason"]}]
    for path in ("/", "/report_asset_materialization/x"):
        assert not sent(method="GET", path=path, **headers)[0]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
def test_graphql_is_executed_by_post_alone(method, path):
    passed, back = sent(method=method, path=path, host=HERE)
    assert not passed
    assert back[0]["status"] == 405
    assert sent(method=method, path=path, host=HERE, accept="text/html,*/*")[0]  # the playground, which executes nothing by itself
    assert not sent(method=method, path=path, host=HERE, accept="image/avif,*/*|text/html")[0]  # Dagster reads the first alone


def test_no_other_page_may_frame_it():
    _, back = sent(method="GET", path="/", host=HERE)
    assert back[0]["headers"] == [(b"x", b"y"), (b"x-frame-options", b"DENY")]


def test_what_is_neither_http_nor_websocket_passes():
    assert sent("lifespan")[0]
