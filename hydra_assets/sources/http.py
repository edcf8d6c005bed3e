"""The clock of the sources, and their retries: which faults are worth another try, and how long to wait before it."""

import datetime as dt
import email.utils
import random
import time
from collections.abc import Callable
from typing import TypeVar

from hydra_assets.errors import VendorContentError, VendorUnavailableError

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
LONGEST_RETRY_AFTER_S = 900.0
CONTENT_ATTEMPTS = 2  # a body that arrived whole and wrong is asked for once more, not five times
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
