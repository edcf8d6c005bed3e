"""Every number of the settings has a range, and none outside it comes through."""

import pytest

from hydra_assets.config import load
from hydra_assets.config.ranges import numbers_of, range_of
from hydra_assets.errors import ConfigError

SHIPPED = dict(numbers_of(load._merged(None)[0]))


@pytest.fixture
def own(tmp_path):
    def loaded(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load.load_config(path)

    return loaded


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_number_has_a_range_and_lies_in_it(name):
    limits = range_of(name)
    assert limits is not None, f"{name}: give it a range in config/ranges.py"
    assert limits[0] <= SHIPPED[name] <= limits[1]


@pytest.mark.parametrize(
    "text",
    [
        "databento: {day_budget_usd: .nan}",
        "databento: {run_budget_usd: .inf}",
        "databento: {unattended_day_budget_usd: -1.0}",
        "cftc: {max_attempts: 0}",
        "cftc: {read_timeout_s: 0.0}",
        "cftc: {deadline_s: -.inf}",
        "treasury: {deadline_s: 0.0}",
        "usda: {max_range_days: 0}",
        "thresholds: {futures_stale_days: -1}",
        "storage: {busy_timeout_s: .inf}",
        "thresholds: {max_spread_pct: .nan}",
        "checks: {parity_share: 1.5}",
        "options: {rate: .nan}",
        "markets: {HE: {tick: .nan}}",
        "markets: {HE: {contract_multiplier: .inf}}",
        "markets: {HE: {tick: 0.0}}",
    ],
)
def test_a_number_out_of_its_range_is_refused_by_name(own, text):
    *_, key = (part.strip(" {}") for part in text.split(":")[:-1])
    with pytest.raises(ConfigError, match=rf"config\.yaml: .*{key}"):
        own(text)
