"""The right of an option as the tables write it and as the functions compute with it."""

import numpy as np
import pandas as pd
import pytest

from hydra_assets.errors import InvalidValueError
from hydra_assets.options.american import american_price
from hydra_assets.options.black76 import price
from hydra_assets.options.greeks import greeks
from hydra_assets.options.implied_vol import implied_vol
from hydra_assets.options.right import right_sign

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


def test_numbers_stay_as_they_are():
    assert right_sign(np.int8(-1)) == -1.0
    assert np.isnan(right_sign([np.nan, 1.0])[0])
