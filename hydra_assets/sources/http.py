"""The clock of the sources, the deadline of a body, and retries: which faults are worth another try, and how long to wait before it."""

import datetime as dt
import email.utils
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from hydra_assets.errors import BrokenOffError, HydraError, VendorContentError, VendorUnavailableError
from hydra_assets.lazy import lazy

if TYPE_CHECKING:
    import requests
else:
    requests = lazy("requests")


FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
LONGEST_RETRY_AFTER_S = 900.0
CONTENT_ATTEMPTS = 2  # a body that arrived whole and wrong is asked for once more, not five times
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})  # HTTP statuses of a server that may answer soon
_CHUNK = 2**16
Answer = TypeVar("Answer")


def utc_now() -> dt.datetime:
    """The wall clock, aware."""
    return dt.datetime.now(dt.UTC)


def wait_before_retry(error: Exception, attempt: int, max_attempts: int) -> float | None:
    """
    Seconds to wait after the failure of *attempt* (1 is the first), or None: give up.

    2, 4, 8 ... 60 s with up to a quarter of jitter; a vendor's own Retry-After is honoured up to 15 minutes.
    """
    transient, wrong = isinstance(error, VendorUnavailableError), isinstance(error, VendorContentError)
    if attempt >= (max_attempts if transient else CONTENT_ATTEMPTS if wrong else 1):
        return None
    wait: float = min(FIRST_WAIT_S * 2.0 ** (attempt - 1), LONGEST_WAIT_S) * (1 + random.random() / 4)  # noqa: S311  jitter is no secret
    asked: dt.timedelta | None = getattr(error, "retry_after", None)
    return max(wait, min(asked.total_seconds(), LONGEST_RETRY_AFTER_S)) if asked else wait


def whole(ask: Callable[[], Answer], report: Callable[[str], None] = lambda line: None) -> Answer:
    """*ask*'s answer; where it broke off, that of a second try at once: the tries of a step are few, and its requests many."""
    try:
        return ask()
    except BrokenOffError as broken:
        report(f"{broken}; asking again")
        return ask()


def with_retries(ask: Callable[[], Answer], *, max_attempts: int, sleep: Callable[[float], None] = time.sleep) -> Answer:
    """*ask*'s answer, asked again after transient faults; the last error where none came."""
    attempt = 1
    while True:
        try:
            return ask()
        except (VendorUnavailableError, VendorContentError) as error:
            wait = wait_before_retry(error, attempt, max_attempts)
            if wait is None:
                error.add_note(f"given up after {attempt} attempt(s)")
                raise
            sleep(wait)
            attempt += 1


def retry_after_seconds(header: str | None, now: dt.datetime) -> float | None:
    """A Retry-After header, seconds or an HTTP date, as seconds from *now*; None where there is none to read."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header.strip())
    try:
        when: dt.datetime = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return float(max(0.0, (when.astimezone(dt.UTC) - now).total_seconds()))


def refuse_transient(response: "requests.Response", place: str, now: dt.datetime, statuses: Collection[int] = TRANSIENT) -> None:
    """
    Refuse an answer whose status is one of *statuses*.

    Raises:
        VendorUnavailableError: it is, with the vendor's Retry-After.
    """
    if response.status_code in statuses:
        wait = retry_after_seconds(response.headers.get("Retry-After"), now)
        retry_after = None if wait is None else dt.timedelta(seconds=wait)
        raise VendorUnavailableError(f"{place}: HTTP {response.status_code}", retry_after=retry_after)


@contextmanager
def chunks_before(response: "requests.Response", ends_at: float) -> Iterator[Iterator[bytes]]:
    """
    The chunks of a body, for as long as the block runs; a body that drips below its read timeout is ended too.

    Args:
        response: an answer to a request with ``stream``.
        ends_at: reading of `time.monotonic` by which the body is to be whole.

    Raises:
        TimeoutError: it was not.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(RuntimeError, ValueError, OSError):  # the body ended meanwhile
            response.raw.shutdown()

    watch = threading.Timer(max(ends_at - time.monotonic(), 0.0), end)
    watch.start()
    try:
        yield response.iter_content(_CHUNK)
    except (requests.RequestException, OSError) as error:
        if isinstance(error, HydraError) or not late.is_set():
            raise
    finally:
        watch.cancel()
    if late.is_set() or time.monotonic() > ends_at:
        raise TimeoutError
