"""Errors of Databento's client as ours."""

import datetime as dt
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra_assets.errors import (
    LiveLicenceError,
    RequestRefusedError,
    VendorContentError,
    VendorError,
    VendorRefusedError,
    VendorUnavailableError,
)
from hydra_assets.lazy import lazy
from hydra_assets.sources.http import TRANSIENT, retry_after_seconds

requests = lazy("requests")


_AFTER = re.compile(r"\bafter '?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)\d*(?:Z|\+00:00)")
_OF_THE_REQUEST = (400, 404, 413, 422)


def load_package() -> None:
    """Load Databento's package, half a second, without the filter by which it shows the deprecation warnings of all packages."""
    if "databento" not in sys.modules:
        with warnings.catch_warnings():
            import databento  # noqa: F401


@contextmanager
def mapped_errors(what: str) -> Iterator[list[str]]:
    """Databento's errors as ours, each naming *what* was asked; yields the warnings that came with the answer."""
    load_package()
    from databento.common.error import BentoClientError, BentoError, BentoServerError, BentoWarning

    messages: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BentoWarning)
            yield messages
            messages += [str(w.message) for w in caught if issubclass(w.category, BentoWarning)]
    except (BentoClientError, BentoServerError) as error:
        raise _of_status(error, what) from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise VendorUnavailableError(f"{what}: {type(error).__name__}, no answer") from None
    except requests.exceptions.JSONDecodeError:
        raise VendorContentError(f"{what}: the answer is not JSON") from None
    except requests.RequestException as error:
        raise VendorUnavailableError(f"{what}: {type(error).__name__}") from None
    except BentoError as error:
        raise VendorContentError(f"{what}: {error}") from None


def _of_status(error: Any, what: str) -> VendorError:
    status = int(error.http_status)
    detail = (error.json_body or {}).get("detail") if isinstance(error.json_body, dict) else None
    reason = detail.get("message") if isinstance(detail, dict) else detail if isinstance(detail, str) else None
    message = f"{what}: HTTP {status}{f', {reason}' if reason else ''}"
    if status in TRANSIENT:
        seconds = retry_after_seconds((error.headers or {}).get("Retry-After"), dt.datetime.now(dt.UTC))
        return VendorUnavailableError(message, retry_after=None if seconds is None else dt.timedelta(seconds=seconds))
    after = _AFTER.search(str(reason)) if status == requests.codes.forbidden and "live" in str(reason) else None
    if after:
        return LiveLicenceError(message, after=dt.datetime.fromisoformat(after[1]).replace(tzinfo=dt.UTC))
    remedy = {
        401: "; the key was refused: check DATABENTO_API_KEY",
        402: "; the account has no means for it: see the portal's billing page",
        403: "; the account has no licence for it: see the portal",
    }
    return (RequestRefusedError if status in _OF_THE_REQUEST else VendorRefusedError)(message + remedy.get(status, ""))
