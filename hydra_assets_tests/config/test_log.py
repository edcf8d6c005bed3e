"""No key leaves the process."""

import json

import pytest
import structlog

from hydra_assets import log

KEY = "db-" + "a1B2c" * 6


@pytest.fixture(autouse=True)
def _restore():
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "text",
    [f"request with {KEY} refused", f"api_key={KEY}", "Authorization: Basic ZGItYWFhYWFhYWE6", "token: abcdefgh", "password='hunter22'"],
)
def test_masks_every_kind_of_secret(text):
    assert not any(secret in log.mask(text) for secret in (KEY, "ZGItYWFhYWFhYWE6", "abcdefgh", "hunter22"))
    assert log.MASK in log.mask(text)


def test_leaves_ordinary_text_alone():
    text = "HE 2025-10: 4 rows, available 2025-11-19T20:30Z, sha256 17ac2fef1b53303d"
    assert log.mask(text) == text


def test_json_events_carry_no_key_even_in_exceptions_and_nested_values(capsys):
    log.configure(json=True, level="info")
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        log.get("test").exception("failed", headers={"Authorization": "anything", "x": [KEY]}, api_key="short")
    line = capsys.readouterr().err
    event = json.loads(line)
    assert KEY not in line
    assert event["headers"]["Authorization"] == log.MASK
    assert event["api_key"] == log.MASK
    assert "ValueError" in event["exception"]


def test_console_is_the_default_and_the_level_is_a_setting(capsys, monkeypatch):
    monkeypatch.delenv("HYDRA_LOG_FORMAT", raising=False)
    log.configure(level="warning")
    log.get("test").info("unseen")
    log.get("test").warning("seen", market="HE")
    printed = capsys.readouterr().err
    assert "unseen" not in printed
    assert "seen" in printed
    assert "market" in printed
