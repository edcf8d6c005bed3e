"""
Alerts of failed runs: always a line in the log, and the notifier that the settings' block ``alerts`` names.

A notifier is a callable ``(alert: dict, target: str) -> None``; more of them come by the entry point group ``hydra_assets.notifiers``.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

from hydra_assets import log
from hydra_assets.config.home import Home
from hydra_assets.config.load import AlertSettings
from hydra_assets.errors import ConfigError
from hydra_assets.lazy import lazy
from hydra_assets.log import mask

requests = lazy("requests")

GROUP = "hydra_assets.notifiers"
TIMEOUT_S = 30
MAX_TEXT = 2000
_SECRET = re.compile(r"(?i)key|token|secret|password|webhook")
Notifier = Callable[[Mapping[str, str], str], None]


@dataclass(frozen=True)
class Alert:
    """A run that failed: which one, on what, and its first reason."""

    world: str
    job: str
    run_id: str
    partition: str
    failed_step: str
    reason: str
    at: str

    def masked(self) -> dict[str, str]:
        """The message as it is sent, without secrets and of bounded length."""
        return {name: mask(str(value))[:MAX_TEXT] for name, value in asdict(self).items()}


def notify(alert: Alert, settings: AlertSettings, *, home: Home, webhook: str = "") -> None:
    """
    Log *alert*, then hand it to the notifier of *settings*.

    Args:
        alert: the failed run.
        settings: the settings' block.
        home: the world's folders.
        webhook: the address for the notifier ``webhook``; a secret, hence from the environment and not from the settings.

    Raises:
        ConfigError: no such notifier, or it has no target. Errors of a notifier pass through, without secrets.
    """
    message = alert.masked()
    log.get("alerts").error("run failed", **message)
    if settings.notifier == "log":
        return
    target = webhook if settings.notifier == "webhook" else settings.target
    if settings.notifier == "file" and not target:
        target = str(home.root / "alerts.jsonl")
    _notifier(settings.notifier)(message, target)


def _notifier(name: str) -> Notifier:
    if name in BUILT_IN:
        return BUILT_IN[name]
    others = {point.name: point for point in entry_points(group=GROUP)}
    if name not in others:
        raise ConfigError(f"alerts: notifier {name!r} is unknown; known are {', '.join(['log', *BUILT_IN, *others])}")
    loaded: Notifier = others[name].load()
    return loaded


def to_file(alert: Mapping[str, str], target: str) -> None:
    """Append one JSON line."""
    descriptor = os.open(Path(target).expanduser(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(alert) + "\n")


def to_command(alert: Mapping[str, str], target: str) -> None:
    """Run a command with the alert as JSON on its standard input; no shell, no secret in its environment."""
    words = shlex.split(target)
    if not words:
        raise ConfigError("alerts: the notifier 'command' needs a target, the command to run")
    environment = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    subprocess.run(words, input=json.dumps(alert), text=True, env=environment, timeout=TIMEOUT_S, check=True, capture_output=True)


def to_webhook(alert: Mapping[str, str], target: str) -> None:
    """POST the alert as JSON, with a line of text as chat services expect it."""
    address = urlsplit(target)
    if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost"):
        raise ConfigError("alerts: the notifier 'webhook' needs an https address in the environment variable HYDRA_ALERT_WEBHOOK")
    text = f"{alert['job']} {alert['partition']} failed at {alert['failed_step']}: {alert['reason'][:300]}"
    try:
        answer = requests.post(target, json={"text": text, **alert}, timeout=TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        raise OSError(f"the alert's webhook did not answer: {type(error).__name__}") from None  # its text shows the address
    if not answer.ok:
        raise OSError(f"the alert's webhook answered HTTP {answer.status_code}")


BUILT_IN: Mapping[str, Notifier] = {"file": to_file, "command": to_command, "webhook": to_webhook}
