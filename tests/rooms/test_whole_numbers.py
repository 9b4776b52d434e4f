"""Text into whole numbers and back, exactly; shares that never make or lose anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.decimal_text import text_from_whole, whole_from_text
from rooms.refusal import Impossible
from rooms.units import share_floor


@pytest.mark.parametrize(
    ("text", "scale", "whole"),
    [
        ("8506.26", 2, 850_626),
        ("8506.26", 8, 850_626_000_000),
        ("0.35280000", 4, 3_528),
        ("1", 9, 1_000_000_000),
        ("007.10", 1, 71),
        ("0", 0, 0),
    ],
)
def test_plain_decimals_are_read_exactly(text: str, scale: int, whole: int) -> None:
    assert whole_from_text(text, scale) == whole


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.", ".5", "-1", "+1", "1e3", "1E3", "NaN", "Infinity", " 1", "1 ", "1,5", "1.2.3",
     "0x1", "1_000", "٣", "1.0000000001", "9" * 41],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Impossible):
        whole_from_text(text, 9)


@given(st.integers(0, 10**24), st.integers(0, 12))
def test_what_is_written_can_be_read_back(whole: int, scale: int) -> None:
    assert whole_from_text(text_from_whole(whole, scale), scale) == whole


@given(st.text(max_size=12), st.integers(0, 12))
def test_no_text_is_read_as_something_that_it_does_not_say(text: str, scale: int) -> None:
    try:
        whole = whole_from_text(text, scale)
    except Impossible:
        return
    assert whole_from_text(text_from_whole(whole, scale), scale) == whole


@given(st.integers(0, 10**20), st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_shares_leave_less_than_one_a_part(amount: int, parts: list[int]) -> None:
    whole = sum(parts)
    if whole:
        given_away = sum(share_floor(amount, part, whole) for part in parts)
        assert 0 <= amount - given_away < len(parts)
