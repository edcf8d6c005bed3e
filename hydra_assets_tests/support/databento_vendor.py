"""Databento for tests: the embedded vendor's own answers, and a server in front of them with every fault."""

import datetime as dt
import itertools
import os
import signal
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.databento_client import Limits
from hydra_assets.sources.databento_request import Request
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets.sources.sample.databento import SAMPLE_KEY, FakeDatabento
from hydra_assets.sources.sample.side import Reply, Served
from hydra_assets.sources.sample.side import Request as Asked

HE = load_config().market("HE")
NOW = dt.datetime(2025, 12, 10, 15, tzinfo=dt.UTC)


def day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def request(schema="statistics", start="2025-10-01", end="2025-10-08", symbols="HE.FUT") -> Request:
    return Request("GLBX.MDP3", schema, symbols, day(start), day(end))


class Vendor:
    """A running server; ``fault(handler, reply)`` answers in the place of the reply where it returns True."""

    def __init__(self, now=NOW, markets=None):
        self.now, self.asked, self.fault = now, [], None
        markets = markets or {"HE": HE, "LE": load_config().market("LE")}
        self.desk = FakeDatabento(Served(markets, load_release_calendar(), now=lambda: self.now))
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply = vendor.desk.answer(Asked(self.command, self.path, self.headers, body))
                what = self.path.partition("?")[0].removeprefix("/v0/")
                vendor.asked.append(what)
                if not (vendor.fault and what == "timeseries.get_range" and vendor.fault(self, reply)):
                    send(self, reply)

            do_GET = do_POST  # noqa: N815  the server looks for these names

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def paid(self) -> int:
        return self.asked.count("timeseries.get_range")


@contextmanager
def vendor(now=NOW, markets=None):
    made = Vendor(now, markets)
    threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


@contextmanager
def source(url, folder, *, budget=None, limits=None, key=SAMPLE_KEY, now=NOW, **more):
    with Ledger(folder / "ledger.sqlite") as ledger:
        limits = limits or Limits(connect_timeout_s=1.0, read_timeout_s=1.0, deadline_s=3.0)
        yield DatabentoSource(key, url, folder, ledger, budget=budget or Budget("test"), limits=limits, now=lambda: now, **more)


def patient_source(url, folder, **more):
    """A source that gives the vendor time to think: a chain is worked out when it is first asked for."""
    return source(url, folder, limits=Limits(connect_timeout_s=2.0, read_timeout_s=60.0, deadline_s=120.0), **more)


def kill_before_capture(ledger, number):
    """Kill this process when the *number*-th batch is in the lake and its days are not yet in *ledger*."""
    write, batches = ledger.capture, itertools.count(1)

    def capture(*arguments, **more):
        if next(batches) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        write(*arguments, **more)

    ledger.capture = capture


def send(handler, reply: Reply, *, length=None):
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(reply.body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(reply.body)
    return True


def answers(status=200, body=b"", **headers):
    """A fault: this status and body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, reply: send(handler, Reply(status, named, body))


def instead(change):
    """A fault: the whole reply with its body changed."""
    return lambda handler, reply: send(handler, Reply(reply.status, reply.headers, change(reply.body)))


def drips(seconds=20.0):
    """A fault: a byte at a time, each within the read timeout."""

    def answer(handler, reply):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        end = time.monotonic() + seconds
        for i in range(len(reply.body)):
            if time.monotonic() > end:
                break
            try:
                handler.wfile.write(reply.body[i : i + 1])
                handler.wfile.flush()
            except OSError:
                break
            time.sleep(0.1)
        handler.close_connection = True
        return True

    return answer


def hangs(seconds=2.0):
    """A fault: silence."""

    def answer(handler, reply):
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return answer


def breaks_off(handler, reply):
    """A fault: half of the body, then the connection is closed."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(reply.body)))
    handler.end_headers()
    handler.wfile.write(reply.body[: len(reply.body) // 2])
    handler.wfile.flush()
    handler.connection.close()
    handler.close_connection = True
    return True
