"""One attempt at a vendor for each Dagster try, so that waiting for another one holds no slot."""

from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from hydra_assets.errors import VendorContentError, VendorError, VendorUnavailableError
from hydra_assets.sources.http import wait_before_retry

Answer = TypeVar("Answer")


def one_attempt(context: dg.AssetExecutionContext, ask: Callable[[], Answer], max_attempts: int) -> Answer:
    """*ask*'s answer; a transient fault asks Dagster for another try later, a final one fails the step with its reason."""
    try:
        return ask()
    except (VendorUnavailableError, VendorContentError) as error:
        attempt = context.retry_number + 1
        wait = wait_before_retry(error, attempt, max_attempts)
        if wait is None:
            raise dg.Failure(f"{error}; given up after {attempt} attempt(s)", metadata={"gap": True}, allow_retries=False) from error
        raise dg.RetryRequested(max_retries=max_attempts - 1, seconds_to_wait=wait) from error
    except VendorError as error:
        raise dg.Failure(str(error), metadata={"gap": True}, allow_retries=False) from error
