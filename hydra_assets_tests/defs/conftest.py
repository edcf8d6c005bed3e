"""Fixtures of the tests of the assets."""

import pytest


@pytest.fixture(autouse=True)
def library(forked_library):
    """`cot_reports` runs forked: how its process is started is held in sources/test_cftc_source.py."""
