from __future__ import annotations

import pytest

from adapterkit.comparing.statistics.spread import Spread, spread


def test_the_standard_deviation_is_that_of_a_sample():
    assert spread([1.0, 2.0, 4.0]) == Spread(
        pytest.approx(7 / 3), pytest.approx(1.5275252316519), 3
    )


def test_one_value_has_no_spread():
    assert spread([0.5]) == Spread(0.5, None, 1)


def test_no_values():
    with pytest.raises(ValueError, match="no values"):
        spread([])
