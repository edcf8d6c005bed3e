"""The right of an option as the tables write it and as the functions compute with it."""

import numpy as np
import pandas as pd
import pytest

from hydra_assets.errors import InvalidValueError
from hydra_assets.options.american import american_price, exercise_premium
from hydra_assets.options.black76 import price
from hydra_assets.options.greeks import greeks
from hydra_assets.options.implied_vol import implied_vol
from hydra_assets.options.right import right_sign
from hydra_assets.options.surface import strike_of_delta
from hydra_assets.options.svi import RawSvi

AT = {"strike": 100.0, "tau": 0.5, "rate": 0.05}
FUNCTIONS = {
    "price": lambda right: price(101.0, **AT, vol=0.3, right=right),
    "greeks": lambda right: greeks(101.0, **AT, vol=0.3, right=right).delta,
    "implied_vol": lambda right: implied_vol(9.0, forward=101.0, **AT, right=right).vol,
    "american_price": lambda right: american_price(101.0, **AT, vol=0.3, right=right),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_letters_are_signs_at_every_entry(name):
    function = FUNCTIONS[name]
    for call, put in (("C", "P"), ("call", "put"), ("c", "PUT")):
        assert function([call, put]).tolist() == function([1, -1]).tolist()
    assert function(pd.Series(["C", "P"], dtype="category")).tolist() == function([1, -1]).tolist()
    for wrong in ("X", ["C", None], True, b"C"):
        with pytest.raises(InvalidValueError, match="right"):
            function(wrong)


def test_a_number_is_plus_or_minus_one_or_unknown():
    assert right_sign(np.int8(-1)) == -1.0
    assert np.isnan(right_sign([np.nan, 1.0])[0])
    for number in (0, 2, 0.5, -2, np.inf):
        assert np.isnan(right_sign(number))
        assert np.isnan(exercise_premium(101.0, **AT, vol=0.3, right=number))


@pytest.mark.parametrize(("delta", "right"), [(0.25, 0), (0.25, ["C", "P"]), (0, "C"), (0.6, "C"), (-0.25, "P"), (np.nan, "C"), ("x", "C")])
def test_a_strike_of_a_delta_that_is_none_is_refused(delta, right):
    smile = RawSvi.of(a=[0.04], b=[0.1], rho=[0.0], m=[0.0], sigma=[0.1])
    with pytest.raises(InvalidValueError, match=r"right|delta"):
        strike_of_delta(smile, delta=delta, right=right)
    assert np.isfinite(strike_of_delta(smile, delta=0.5, right="P")).all()
