"""Logging: structlog, configured once; readable on a console, JSON by setting; secrets are masked everywhere."""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any

# A Databento key, Basic credentials, and whatever stands behind a name that says it is secret.
_SECRETS = (
    re.compile(r"db-[A-Za-z0-9]{20,}"),
    re.compile(r"(?i)(?<=basic )[A-Za-z0-9+/=]{8,}"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)((?:api[_-]?key|token|password|secret)[\"']?\s*[=:]\s*[\"']?)([^\s\"',&}]{4,})"),
)
_SECRET_NAMES = re.compile(r"(?i)(api[_-]?key|token|password|secret|authorization)")
MASK = "***"


def mask(text: str) -> str:
    """
    *text* with every secret in it replaced by ``***``.

    >>> mask("key=db-aaaaaaaaaaaaaaaaaaaaaaaaaaaaa refused")
    'key=*** refused'
    """
    for pattern in _SECRETS:
        text = pattern.sub(lambda m: f"{m.group(1)}{MASK}" if m.re.groups else MASK, text)
    return text


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {k: MASK if _SECRET_NAMES.search(str(k)) else _masked(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(v) for v in value]
    return mask(repr(value)) if isinstance(value, BaseException) else value


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: no event leaves the process with a key in it."""
    masked: dict[str, Any] = _masked(dict(event))
    return masked


def configure(*, json: bool | None = None, level: str | None = None) -> None:
    """
    Set up structlog for this process.

    Args:
        json: one JSON object a line instead of console text; default from ``HYDRA_LOG_FORMAT=json``.
        level: ``debug``, ``info``, ``warning`` or ``error``; default from ``HYDRA_LOG_LEVEL``, else ``warning``.
    """
    import structlog  # a tenth of a second, for what few commands say

    as_json = os.environ.get("HYDRA_LOG_FORMAT", "console").lower() == "json" if json is None else json
    wanted = (level or os.environ.get("HYDRA_LOG_LEVEL", "warning")).upper()
    threshold = logging.getLevelNamesMapping().get(wanted, logging.WARNING)
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask_secrets,  # after exceptions became text, before anything is rendered
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # of the moment: it may have been replaced since
        cache_logger_on_first_use=False,
    )


def get(name: str) -> Any:
    """A logger whose events carry *name* as ``logger``."""
    import structlog

    if not structlog.is_configured():
        configure()
    return structlog.get_logger().bind(logger=name)
