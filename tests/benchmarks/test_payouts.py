"""Everybody is paid once in the small run too, and who is not is counted by the chain."""

import asyncio

import pytest

from benchmarks.payouts import Counted, count, run

PAYOUTS = {"ana": 10, "ben": 20}

CASES: list[tuple[str, dict[str, list[int]], Counted]] = [
    # what, what left the vault, once, twice, lost, fees
    ("as planned", {"ana": [10], "ben": [20], "house": [3]}, Counted(2, 0, 0, 7)),
    ("one twice", {"ana": [10, 10], "ben": [20], "house": [3]}, Counted(1, 1, 0, 7)),
    ("one lost", {"ana": [10], "house": [3]}, Counted(1, 0, 1, 7)),
    ("one other than planned", {"ana": [10], "ben": [21]}, Counted(1, 1, 0, 7)),
    ("a stranger paid", {"ana": [10], "ben": [20], "zoe": [1]}, Counted(2, 1, 0, 7)),
    ("shares twice", {"ana": [10], "ben": [20], "house": [3, 3]}, Counted(2, 1, 0, 7)),
    ("nothing", {}, Counted(0, 0, 2, 7)),
]


@pytest.mark.parametrize(
    ("left", "counted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_left_a_vault_says_who_was_paid(left: dict[str, list[int]], counted: Counted) -> None:
    found = count(PAYOUTS, {("house", 3): 1}, left, 7)
    assert found == counted
    assert found.is_right == (counted.twice == counted.lost == 0)


def test_the_last_line_says_what_a_payout_cost() -> None:
    assert str(Counted(9_999, 0, 1, 1_700_000)) == (
        "9999 paid once, 0 twice, 1 lost, 170 lamports a payout"
    )


def test_a_small_room_is_paid_once_while_sends_are_lost_and_a_provider_lies() -> None:
    told: list[str] = []
    assert asyncio.run(run(payouts=70, minutes=3, tell=told.append, slot_ms=20)), told
    assert told[-1].startswith("70 paid once, 0 twice, 0 lost, "), told
