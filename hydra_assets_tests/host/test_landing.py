"""First page of the UI: the graph of all tables; every other request is Dagster's."""

import asyncio

import pytest

from hydra_assets.host.landing import Landing


def answered(path, method="GET", kind="http"):
    seen, back = [], []

    async def app(scope, receive, send):
        seen.append(scope["path"])

    async def send(message):
        back.append(message)

    asyncio.run(Landing(app)({"type": kind, "path": path, "headers": [], "method": method}, None, send))
    return seen, back


def test_the_first_page_is_the_graph():
    seen, back = answered("/")
    assert not seen
    assert back[0]["status"] == 307
    assert (b"location", b"/asset-groups") in back[0]["headers"]


@pytest.mark.parametrize(("path", "method", "kind"), [("/assets", "GET", "http"), ("/", "POST", "http"), ("/", "GET", "websocket")])
def test_all_else_is_passed_on(path, method, kind):
    assert answered(path, method, kind) == ([path], [])
