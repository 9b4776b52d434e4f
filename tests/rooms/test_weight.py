"""Weights: the odds against a stake when it was made, in whole numbers."""

from math import erfc, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.room import Side
from rooms.units import Bps, Value
from rooms.weight import YEAR_MS, chance_bps, weight_bps

HOUR = 3_600_000


def chance(
    value: int, target: int, left_ms: int, side: Side = Side.YES, volatility: int = 5_000
) -> int:
    return chance_bps(
        value=Value(value), target=Value(target), left_ms=left_ms,
        volatility_bps=Bps(volatility), side=side,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("move_bps", "left_ms", "expected"),
    [(36, HOUR, 5_000), (105, HOUR, 500), (18, HOUR // 4, 5_000), (52, HOUR // 4, 500)],
)
def test_chances_are_those_of_a_driftless_walk(move_bps: int, left_ms: int, expected: int) -> None:
    assert abs(chance(10**10, 10**10 + 10**6 * move_bps, left_ms) - expected) < 150


def test_chances_are_held_off_nothing_and_everything() -> None:
    assert chance(100, 10_000, 1_000) == 200
    assert chance(100, 100, HOUR) == 9_800
    assert chance(100, 100, HOUR, Side.NO) == 200
    assert chance(100, 200, 0) == 200


@pytest.mark.parametrize(
    ("p", "weight"), [(5_000, 10_000), (2_000, 40_000), (200, 50_000), (9_800, 204)]
)
def test_a_weight_is_the_odds_against_and_at_most_five(p: int, weight: int) -> None:
    assert weight_bps(Bps(p)) == weight


@given(
    st.integers(10**6, 10**12),
    st.integers(-3_000, 3_000),
    st.integers(1_000, 30 * 24 * HOUR),
    st.integers(1_000, 20_000),
)
def test_the_whole_numbers_follow_the_formula(
    value: int, move_bps: int, left_ms: int, volatility: int
) -> None:
    target = max(1, value + value * move_bps // 10_000)
    deviation = volatility / 10_000 * sqrt(left_ms / YEAR_MS)
    exact = 10_000 * erfc(abs(log(target / value)) / deviation / sqrt(2))

    assert abs(chance(value, target, left_ms, volatility=volatility) - exact) < 220


@given(st.integers(10**6, 10**12), st.integers(1, 10**12), st.integers(0, 10**10))
def test_both_sides_together_are_everything(value: int, target: int, left_ms: int) -> None:
    assert chance(value, target, left_ms) + chance(value, target, left_ms, Side.NO) == 10_000
