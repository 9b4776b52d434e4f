"""Rates and supplies multiply exactly, and a dollar coin is one only near a dollar."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.conversion import holds_peg, product_at

factors = st.lists(st.tuples(st.integers(0, 10**24), st.integers(0, 18)), min_size=1, max_size=3)


@given(scale=st.integers(0, 12), told=factors)
def test_a_product_is_the_exact_one_rounded_down(scale: int, told: list[tuple[int, int]]) -> None:
    exact = Fraction(10**scale)
    for value, places in told:
        exact *= Fraction(value, 10**places)
    assert product_at(scale, told) == exact.__floor__()


@pytest.mark.parametrize(
    ("text", "rate", "holds"),
    [
        ("a dollar", 100_000_000, True),
        ("half a cent less", 99_500_000, True),
        ("a hair less than that", 99_499_999, False),
        ("half a cent more", 100_500_000, True),
        ("a hair more than that", 100_500_001, False),
        ("97 cents", 97_000_000, False),
        ("nothing", 0, False),
    ],
)
def test_a_dollar_coin_holds_its_peg_within_half_a_cent(
    text: str, rate: int, *, holds: bool
) -> None:
    assert holds_peg(rate, 8) is holds, text
