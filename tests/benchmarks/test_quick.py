"""The benchmarks run: small, so that they say nothing about speed, and all the way through."""

import asyncio

from benchmarks.__main__ import measure_all
from benchmarks.figure import Figure, Goal


def test_what_needs_no_broker_is_measured() -> None:
    figures = asyncio.run(
        measure_all(["embedded"], ["open_rooms", "settling", "betting"], quick=True)
    )
    assert {each.number for each in figures} == {"P3", "P4", "P5"}
    assert all(each.ours > 0 for each in figures)


def test_a_ratio_is_ours_by_the_peers_and_a_goal_judges_it() -> None:
    slow = Figure(number="P4", what="x", ours=3, unit="s", peer=1, goal=Goal(most=2))
    assert (slow.ratio, slow.holds) == (3, False)
    fast = Figure(number="P5", what="x", ours=8, unit="/s", peer=2, goal=Goal(least=4))
    assert (fast.ratio, fast.holds) == (4, True)


def test_a_goal_of_ours_alone_asks_for_no_peer() -> None:
    figure = Figure(
        number="P9", what="x", ours=7, unit="s", goal=Goal(most=8, of_ratio=False, unit="s")
    )
    assert (figure.ratio, figure.holds) == (None, True)
    assert str(figure.goal) == "≤ 8 s"
