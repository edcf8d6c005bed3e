"""The forward that put-call parity implies: each state by itself, whatever stands beside it."""

import numpy as np
import pytest

from hydra_assets.features.options.slice_fits import parity_gap


def three_states(spread_of_the_first):
    """Three strikes with both rights in each of three states; the first state's spreads are given."""
    state = np.repeat([0, 1, 2], 6)
    strike = np.tile(np.repeat([98.0, 100.0, 102.0], 2), 3)
    gap = np.tile(np.repeat([0.1, 0.2, 0.4], 2), 3)
    spread = np.r_[np.full(6, spread_of_the_first), np.full(12, 0.5)]
    return parity_gap(state, strike, np.zeros(18), gap, spread, np.tile(["C", "P"], 9), 3)


@pytest.mark.parametrize("absurd", [1e-30, 1e-200, 0.0, 1e30, np.nan])
def test_an_absurd_spread_in_one_state_moves_no_other(absurd):
    with np.errstate(all="ignore"):
        median, error = three_states(absurd)
    honest, honest_error = three_states(0.5)
    assert median[1:].tolist() == honest[1:].tolist() == [0.2, 0.2]
    assert error[1:].tolist() == honest_error[1:].tolist()
