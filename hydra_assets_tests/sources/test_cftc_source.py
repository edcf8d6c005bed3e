"""The real `cot_reports`, in its child process, against a vendor with every fault: right class, nothing half, nothing twice."""

import datetime as dt
import io
import json
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hydra_assets.errors import (
    CorruptionError,
    NotPublishedError,
    VendorContentError,
    VendorError,
    VendorRefusedError,
    VendorUnavailableError,
)
from hydra_assets.sources import cftc_child
from hydra_assets.sources.cftc import CftcSource
from hydra_assets.sources.http import retry_after_seconds, wait_before_retry, with_retries
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cftc_files import CALENDAR, NOW, archive, text_of, zipped

GOOD = archive()
FORKED = pytest.mark.usefixtures("forked_library")  # the tests above the faults of the server start the real command


@contextmanager
def vendor(answer, method="GET"):
    """A server whose every request of *method* is ``answer(handler)``; gives its address and the paths asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    def do(handler):
        asked.append(handler.path)
        with suppress(ConnectionError):  # the client hung up
            answer(handler)

    setattr(Handler, f"do_{method}", do)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def sends(status=200, body=GOOD, length=None, **headers):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def source(tmp_path, url, **more):
    limits = {"connect_timeout_s": 2.0, "read_timeout_s": 2.0, "deadline_s": 10.0, "now": lambda: NOW, **more}
    return CftcSource(tmp_path / "archives", CALENDAR, base_url=url, **limits)


def left_behind(tmp_path):
    return [p.name for p in (tmp_path / "archives").rglob("*") if p.is_file()]


# ---------------------------------------------------------------- the good path


def test_the_real_archive_of_2025_through_the_real_library(tmp_path, real_2025):
    with vendor(sends(body=real_2025.read_bytes(), Last_Modified="Mon, 05 Jan 2026 20:30:00 GMT")) as (url, asked):
        got = source(tmp_path, url, deadline_s=60.0).fetch(2025)
    assert asked == ["/files/dea/history/fut_disagg_txt_2025.zip"]
    assert got.rows == 13_630
    assert got.sha256.startswith("17ac2fef1b53303d")
    assert got.read() == real_2025.read_bytes()
    assert got.last_modified == "Mon, 05 Jan 2026 20:30:00 GMT"


def test_a_closed_year_is_downloaded_once_ever(tmp_path):
    with vendor(sends()) as (url, asked):
        first = source(tmp_path, url).fetch(2025)
        again = source(tmp_path, url).fetch(2025)
    assert len(asked) == 1
    assert again == first


def test_a_changed_archive_is_downloaded_again_at_no_charge(tmp_path):
    with vendor(sends()) as (url, asked):
        first = source(tmp_path, url).fetch(2025)
        first.path.write_bytes(b"x" + first.path.read_bytes()[1:])
        again = source(tmp_path, url).fetch(2025)
    assert len(asked) == 2
    assert (again.sha256, again.read()) == (first.sha256, GOOD)


def test_an_open_year_is_asked_for_conditionally_and_not_modified_is_a_look(tmp_path):
    def answer(handler):
        if handler.headers.get("If-Modified-Since") == "Mon, 05 Jan 2026 20:30:00 GMT":
            handler.send_response(304)
            handler.end_headers()
        else:
            sends(Last_Modified="Mon, 05 Jan 2026 20:30:00 GMT")(handler)

    times = iter([at("2026-01-06"), at("2026-01-07")])
    with vendor(answer) as (url, asked):
        first = source(tmp_path, url, now=lambda: next(times)).fetch(2025)
        again = source(tmp_path, url, now=lambda: next(times)).fetch(2025)
    assert len(asked) == 2
    assert (first.sha256, first.seen_at, again.seen_at) == (again.sha256, at("2026-01-06"), at("2026-01-07"))
    assert sorted(left_behind(tmp_path)) == sorted([f"{first.sha256}.zip", "ledger.jsonl"])


def test_years_before_2017_share_one_archive_and_2005_has_none(tmp_path):
    body = zipped(text_of(archive(2014)), member="F_Disagg06_16.txt")
    with vendor(sends(body=body)) as (url, asked):
        got = source(tmp_path, url).fetch(2014)
        source(tmp_path, url).fetch(2009)
    assert asked == ["/files/dea/history/fut_disagg_txt_hist_2006_2016.zip"]
    assert list(got.years) == list(range(2006, 2017))
    with pytest.raises(VendorRefusedError, match="begin in 2006"):
        source(tmp_path, url).fetch(2005)


def test_the_library_runs_in_an_empty_folder_of_its_own_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f_year.txt").write_text("an older file that the bare library would read back")
    before = sorted(p.name for p in tmp_path.iterdir())
    with vendor(sends()) as (url, _):
        source(tmp_path / "home", url).fetch(2025)
    assert sorted({p.name for p in tmp_path.iterdir()} - {"home"}) == before
    assert not list((tmp_path / "home").rglob("f_year.txt"))


def test_no_secret_reaches_the_librarys_process(tmp_path, monkeypatch):
    key = "db-" + "x" * 29
    monkeypatch.setenv("DATABENTO_API_KEY", key)
    seen = {}

    def run(*args, **kwargs):
        seen.update(kwargs["env"])
        return real_run(*args, **kwargs)

    real_run = subprocess.run
    monkeypatch.setattr("hydra_assets.sources.cftc.subprocess.run", run)
    with vendor(sends()) as (url, _):
        source(tmp_path, url).fetch(2025)
    assert "PATH" in seen
    assert key not in seen.values()


# ---------------------------------------------------------------- faults of the server


def hangs(handler):
    time.sleep(6)


def drips(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"P")
        time.sleep(0.05)


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"P" * 2**16)


def resets(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(GOOD)))
    handler.end_headers()
    handler.wfile.write(GOOD[:1000])
    handler.connection.close()


def lies_about_gzip(handler):
    sends(Content_Encoding="gzip")(handler)


FAULTS = [
    ("hang", hangs, VendorUnavailableError, "Timeout"),
    ("drip", drips, VendorUnavailableError, "no answer within|not finished"),
    ("endless", endless, VendorContentError, "max_zip_mb"),
    ("reset", resets, VendorUnavailableError, "IncompleteRead|Connection|of 9|bytes"),
    ("short", sends(body=GOOD[:1000], length=len(GOOD)), VendorUnavailableError, "bytes|IncompleteRead"),
    ("gzip lie", lies_about_gzip, VendorContentError, "encoded"),
    *((str(s), sends(s, b"busy"), VendorUnavailableError, f"HTTP {s}") for s in (408, 500, 502, 503, 504)),
    ("500 with a good zip", sends(500), VendorUnavailableError, "HTTP 500"),
    ("206", sends(206), VendorUnavailableError, "206"),
    ("429", sends(429, b"", Retry_After="7"), VendorUnavailableError, "429"),
    *((str(s), sends(s, b"no"), VendorRefusedError, f"HTTP {s}") for s in (400, 401, 402, 403, 422)),
    ("404 of a past year", sends(404, b""), VendorRefusedError, "should be there"),
    ("other host", sends(302, b"", Location="http://example.com/x.zip"), VendorRefusedError, "not the vendor's own"),
    ("other port", sends(302, b"", Location="http://127.0.0.1:1/x.zip"), VendorRefusedError, "not the vendor's own"),
    ("redirect loop", sends(302, b"", Location="/again"), VendorRefusedError, "redirects"),
]  # fmt: skip


@FORKED
@pytest.mark.parametrize(("answer", "kind", "words"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_of_the_server_is_of_its_class_and_nothing_is_kept(tmp_path, answer, kind, words):
    more = {"max_zip_mb": 1} if answer is endless else {"deadline_s": 3.0} if answer is drips else {}
    begun = time.monotonic()
    with vendor(answer) as (url, _), pytest.raises(kind, match=words) as caught:
        source(tmp_path, url, **more).fetch_once(2025)
    assert caught.type is kind
    assert "2025" in str(caught.value)
    assert time.monotonic() - begun < 10.0 + 5.0
    assert left_behind(tmp_path) == []


@FORKED
def test_nobody_listening_is_transient(tmp_path):
    with pytest.raises(VendorUnavailableError):
        source(tmp_path, "http://127.0.0.1:9").fetch_once(2025)


@FORKED
def test_a_year_not_yet_published_is_a_gap(tmp_path):
    with vendor(sends(404, b"")) as (url, _):
        for year in (2026, 2027):
            with pytest.raises(NotPublishedError, match=f"{year}.*not published it yet"):
                source(tmp_path, url).fetch(year)


@FORKED
def test_before_a_years_first_report_is_due_whatever_is_no_zip_is_a_gap_and_from_then_on_a_fault(tmp_path):
    due = CALENDAR.release(CALENDAR.report_dates(dt.date(2026, 1, 1), dt.date(2026, 12, 31))[0]).available_at
    for page in (b"<!DOCTYPE html><html>Page not found</html>", b"", b'{"error": "no"}'):
        with vendor(sends(body=page)) as (url, asked):
            with pytest.raises(NotPublishedError, match=f"2026.*its first report is due at {due:%Y-%m-%d %H:%M}Z"):
                source(tmp_path, url, now=lambda: due - dt.timedelta(microseconds=1)).fetch(2026)
            assert len(asked) == 1
            with pytest.raises(VendorContentError, match="not a zip"):
                source(tmp_path, url, now=lambda: due).fetch_once(2026)
            with pytest.raises(VendorContentError, match="not a zip"):
                source(tmp_path, url).fetch_once(2014)
    assert left_behind(tmp_path) == []


@FORKED
def test_the_embedded_vendors_january_is_a_gap(tmp_path, rude_vendor):
    january = at("2026-01-05 12:00")
    with pytest.raises(NotPublishedError, match=r"2026.*not a zip archive"):
        source(tmp_path, rude_vendor("html_january", now=january).url, now=lambda: january).fetch(2026)


@FORKED
def test_a_refusal_of_our_name_says_how_to_give_another_one(tmp_path):
    names = []

    def answer(handler):
        names.append(handler.headers["User-Agent"])
        sends()(handler) if names[-1] == "Mozilla/5.0" else sends(403, b"no")(handler)

    with vendor(answer) as (url, _):
        with pytest.raises(VendorRefusedError, match=r"HTTP 403.*'hydra-assets'.*set cftc.user_agent"):
            source(tmp_path, url).fetch(2025)
        assert source(tmp_path, url, user_agent="Mozilla/5.0").fetch(2025).rows == 104
    assert names == ["hydra-assets", "Mozilla/5.0"]


# ---------------------------------------------------------------- what the library cannot read


@FORKED
def test_the_history_is_read_however_its_member_is_spelt(tmp_path):
    for name in ("F_DisAgg06_16.txt", "f_disagg06_16.TXT"):
        body = zipped(text_of(archive(2014)), member=name)
        with vendor(sends(body=body)) as (url, _):
            got = source(tmp_path / name, url).fetch(2014)
        assert (got.read(), got.rows) == (body, 104)


@FORKED
def test_a_bad_byte_or_a_stray_comma_of_another_market_leaves_the_archive_readable(tmp_path):
    for name, damage in (("byte", b"LIVE\xc9CATTLE"), ("comma", b"LIVE,CATTLE")):
        body = zipped(text_of(archive()).encode().replace(b"LIVE CATTLE", damage))
        with vendor(sends(body=body)) as (url, _):
            got = source(tmp_path / name, url).fetch(2025)
        assert (got.read(), got.rows) == (body, 104)
        (line,) = (tmp_path / name / "archives" / "cftc" / "ledger.jsonl").read_text().splitlines()
        assert "cot_reports could not read the file" in json.loads(line)["note"]


def test_the_library_is_imported_in_its_own_process_alone():
    program = (
        "import sys, hydra_assets.definitions, hydra_assets.cli.main, hydra_assets.sources.cftc_child\n"
        "print([name for name in sys.modules if name.startswith('cot_reports')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip().splitlines()[-1] == "[]"


# ---------------------------------------------------------------- faults of the content


def encrypted() -> bytes:
    body = bytearray(GOOD)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(signature) + offset] |= 1
    return bytes(body)


def flipped() -> bytes:
    body = bytearray(GOOD)
    body[len(body) // 2] ^= 0xFF
    return bytes(body)


CONTENT = {
    "html": (b"<!DOCTYPE html><html><body>Access denied</body></html>", "begin '<!DOCTYPE html>"),
    "json": (b'{"error": "no"}', "not a zip"),
    "empty": (b"", "0 bytes"),
    "cut zip": (GOOD[: len(GOOD) // 2], "broken zip"),
    "flipped bytes": (flipped(), "broken zip|checksum"),
    "encrypted": (encrypted(), "encrypted"),
    "two members": (zipped("x", more=["other.txt"]), "exactly 'f_year.txt'"),
    "another member": (zipped("x", member="annual.txt"), "exactly 'f_year.txt'"),
    "a path outside": (zipped("x", member="../f_year.txt"), "exactly 'f_year.txt'"),
    "no member": (zipped("x", member="f_year.txt")[-22:], "broken zip|exactly|not a zip"),
    "bomb": (zipped("0" * 50_000_000), "no CFTC file"),
    "nested": (zipped(GOOD, member="f_year.zip"), "exactly 'f_year.txt'"),
    "binary": (zipped(bytes(range(256)) * 20), "could not read"),
    "ragged": (zipped("a,b\n1,2\n3,4,5,6\n"), "could not read"),
}


@FORKED
@pytest.mark.parametrize("name", CONTENT)
def test_a_body_that_is_no_whole_cftc_file_is_refused_and_nothing_is_kept(tmp_path, name):
    body, words = CONTENT[name]
    with vendor(sends(body=body)) as (url, _), pytest.raises(VendorContentError, match=words):
        source(tmp_path, url).fetch_once(2025)
    assert left_behind(tmp_path) == []


@FORKED
def test_a_damaged_archive_on_disk_is_noticed_before_it_is_used(tmp_path):
    with vendor(sends()) as (url, _):
        got = source(tmp_path, url).fetch(2025)
        got.path.write_bytes(b"PK rotten")
        with pytest.raises(CorruptionError, match=got.sha256):
            got.read()


@FORKED
def test_a_torn_line_of_the_ledger_is_passed_over(tmp_path):
    with vendor(sends()) as (url, asked):
        source(tmp_path, url).fetch(2025)
        with (tmp_path / "archives" / "cftc" / "ledger.jsonl").open("a") as ledger:
            ledger.write('{"name": "2025", "sha')
        source(tmp_path, url).fetch(2025)
    assert len(asked) == 1


# ---------------------------------------------------------------- asking again


@FORKED
def test_transient_faults_are_retried_to_the_count_and_final_ones_never(tmp_path):
    for answer, times, kind in (
        (sends(503, b""), 5, VendorUnavailableError),
        (sends(body=b"<html>"), 2, VendorContentError),
        (sends(403, b""), 1, VendorRefusedError),
    ):
        waits = []
        with vendor(answer) as (url, asked):
            asking = source(tmp_path, url)
            with pytest.raises(kind):
                with_retries(lambda asking=asking: asking.fetch_once(2025), max_attempts=5, sleep=waits.append)
        assert (len(asked), len(waits)) == (times, times - 1)


@FORKED
def test_a_vendor_that_recovers_is_served(tmp_path):
    for faults in ([sends(503, b""), sends(429, b"")], [sends(body=b"<html>")]):
        answers = iter([*faults, sends()])
        with vendor(lambda handler, answers=answers: next(answers)(handler)) as (url, asked):
            asking = source(tmp_path / str(len(faults)), url)
            got = with_retries(lambda asking=asking: asking.fetch_once(2025), max_attempts=5, sleep=lambda _s: None)
        assert (len(asked), got.read()) == (len(faults) + 1, GOOD)


def test_waits_double_to_a_minute_and_retry_after_is_honoured_to_a_quarter_of_an_hour():
    busy = VendorUnavailableError("busy")
    for attempt, least in ((1, 2), (2, 4), (3, 8), (4, 16), (9, 60)):
        assert least <= wait_before_retry(busy, attempt, 20) <= least * 1.25
    assert wait_before_retry(busy, 5, 5) is None
    assert wait_before_retry(VendorRefusedError("no"), 1, 5) is None
    assert wait_before_retry(VendorError("?"), 1, 5) is None
    asked = VendorUnavailableError("busy", retry_after=dt.timedelta(seconds=100))
    assert wait_before_retry(asked, 1, 5) == 100
    for_ever = VendorUnavailableError("busy", retry_after=dt.timedelta(days=9))
    assert wait_before_retry(for_ever, 1, 5) == 900


@FORKED
def test_retry_after_is_read_as_seconds_or_a_date(tmp_path):
    now = at("2026-01-05 20:30")
    assert retry_after_seconds("120", now) == 120
    assert retry_after_seconds("Mon, 05 Jan 2026 20:31:30 GMT", now) == 90
    assert retry_after_seconds("Mon, 05 Jan 2026 20:00:00 GMT", now) == 0
    assert retry_after_seconds("soon", now) is None
    assert retry_after_seconds(None, now) is None
    with vendor(sends(429, b"", Retry_After="7")) as (url, _), pytest.raises(VendorUnavailableError) as caught:
        source(tmp_path, url).fetch_once(2025)
    assert caught.value.retry_after == dt.timedelta(seconds=7)


def test_a_redirect_to_the_vendors_own_www_is_followed_and_no_other():
    assert cftc_child.allowed_redirect("https://cftc.gov/a", "https://www.cftc.gov/a") == "https://www.cftc.gov/a"
    assert cftc_child.allowed_redirect("https://cftc.gov/a", "/b") == "https://cftc.gov/b"
    for target in ("http://cftc.gov/a", "https://cftc.gov.evil.example/a", "https://evil.example/cftc.gov", "ftp://cftc.gov/a"):
        with pytest.raises(cftc_child.Refusal):
            cftc_child.allowed_redirect("https://cftc.gov/a", target)


def test_the_archives_are_zips_as_the_cftc_makes_them():
    with zipfile.ZipFile(io.BytesIO(GOOD)) as opened:
        assert opened.namelist() == ["f_year.txt"]
