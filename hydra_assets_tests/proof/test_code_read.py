"""The code of a feature that the lint reads: its author's own files, never those of others, and what it could not read is said."""

import functools
import importlib
import sys
from dataclasses import replace

import pytest

from hydra_assets.features import of_family
from hydra_assets.proof.lint.code import read_code

LEAKING = "def leaks(cot):\n    return cot['mm_long'].shift(-1)\n"
HONEST = "def honest(cot):\n    return cot['mm_long']\n"


def mine(function):
    return replace(of_family("cot")[0], name="mine", function=function)


def made(text, name, filename):
    room = {"__name__": "made"}
    exec(compile(text, str(filename), "exec"), room)  # noqa: S102  what is tested
    return room[name]


@pytest.fixture
def neighbour(tmp_path):
    """A file of another author, with a leak in it."""
    path = tmp_path / "neighbour.py"
    path.write_text(LEAKING)
    return path


@pytest.mark.parametrize("filename", ["<string>", "neighbour"])
def test_a_function_made_by_exec_is_not_read_and_not_accused_of_code_of_another_file(neighbour, filename):
    honest = made(HONEST, "honest", neighbour if filename == "neighbour" else filename)
    read = read_code(mine(honest))
    assert (read.findings, read.files) == ((), ())
    assert [text.partition(" ")[0] for text in read.unread] == ["honest"]


def test_a_leak_in_the_file_that_defines_the_function_is_found(neighbour, monkeypatch):
    """Through a decorator, a partial and a lambda too, whose first lines are their own."""
    neighbour.write_text(
        f"import functools\n\n\n{LEAKING}\n\n@functools.cache\n@functools.cache\ndef decorated(cot):\n    return leaks(cot)\n\n\n"
        "LAMBDA = lambda cot: leaks(cot)\nPARTIAL = functools.partial(leaks)\n"
    )
    monkeypatch.syspath_prepend(str(neighbour.parent))
    module = importlib.import_module("neighbour")
    try:
        for function in (
            module.leaks,
            module.decorated.__wrapped__.__wrapped__,
            module.LAMBDA,
            module.PARTIAL,
            functools.partial(module.LAMBDA),
        ):
            read = read_code(mine(function))
            assert (read.unread, read.files) == ((), (neighbour.resolve(),))
            assert [(found.rule, found.line) for found in read.findings] == [("negative-shift", 5)]
    finally:
        del sys.modules["neighbour"]


def test_our_own_features_are_read():
    for family in ("cot", "cash", "futures", "options", "divergence"):
        for feature in of_family(family):
            read = read_code(feature)
            assert read.files, feature.name
            assert not read.unread, feature.name


def test_a_file_that_was_changed_since_is_not_taken_for_the_code_that_runs(neighbour, monkeypatch):
    monkeypatch.syspath_prepend(str(neighbour.parent))
    module = importlib.import_module("neighbour")
    try:
        neighbour.write_text("# a line more\n" + LEAKING)
        assert read_code(mine(module.leaks)).unread
    finally:
        del sys.modules["neighbour"]
