"""A provider that fails, lags or lies is left out and let back; two are never left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.health import AGREEING_MIN, Health, HealthSettings
from rooms.units import Slot

NAMES = ("a", "b", "c")
SETTINGS = HealthSettings(
    troubles_max=3, contradictions_max=2, lag_slots_max=60, rest_ms=100, rest_ms_max=1_000
)


def healthy() -> Health:
    return Health(NAMES, SETTINGS)


@pytest.mark.parametrize(
    ("what", "steps", "asked"),
    [
        # what happened, in order; who is asked at 0
        ("nothing", [], "abc"),
        ("two failures", [("trouble", "a")] * 2, "abc"),
        ("three failures", [("trouble", "a")] * 3, "bc"),
        ("an answer between", [*[("trouble", "a")] * 2, ("answer", "a"), ("trouble", "a")], "abc"),
        ("contradicted twice", [("against", "b")] * 2, "ac"),
        ("two fail, all are asked", [("trouble", "a")] * 3 + [("trouble", "b")] * 3, "abc"),
    ],
)  # fmt: skip
def test_who_fails_or_lies_is_left_out(what: str, steps: list[tuple[str, str]], asked: str) -> None:
    health = healthy()
    for step, name in steps:
        match step:
            case "trouble":
                health.note_trouble(name, 0, "not in time")
            case "against":
                health.note_contradiction(name, 0)
            case _:
                health.note_answer(name, 5)
    assert "".join(health.fit(0)) == asked, what


@pytest.mark.parametrize(
    ("slots", "asked"),
    [
        ((1_000, 1_000, 940), "abc"),
        ((1_000, 1_000, 939), "ab"),
        # One alone may say anything: the second furthest is what counts.
        ((9_000, 1_000, 960), "abc"),
        ((9_000, 9_000, 1_000), "ab"),
    ],
)
def test_who_lags_is_left_out_until_it_has_caught_up(
    slots: tuple[int, int, int], asked: str
) -> None:
    health = healthy()
    for name, slot in zip(NAMES, slots, strict=True):
        health.note_slot(name, Slot(slot))
    assert "".join(health.fit(0)) == asked
    for name in NAMES:
        health.note_slot(name, Slot(10_000))
    assert health.fit(0) == NAMES


def test_each_rest_is_longer_than_the_last_up_to_a_limit() -> None:
    health, at, rests = healthy(), 0, []
    for _ in range(3):
        health.note_trouble("a", at, "not in time")
    for _ in range(6):
        rest = next(ms for ms in range(1, 2_000) if "a" in health.fit(at + ms))
        rests.append(rest)
        at += rest
        health.note_trouble("a", at, "not in time")
    assert rests == [100, 200, 400, 800, 1_000, 1_000]


def test_a_long_good_stretch_is_forgiven() -> None:
    health = healthy()
    for _ in range(3):
        health.note_trouble("a", 0, "not in time")
    for _ in range(SETTINGS.answers_well):
        health.note_answer("a", 5)
    for _ in range(3):
        health.note_trouble("a", 10_000, "not in time")
    assert "a" in health.fit(10_100)


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(["trouble", "against", "slot", "answer"]),
                  st.integers(0, 100_000)),
        max_size=60,
    )
)  # fmt: skip
def test_two_are_asked_whatever_happens(steps: list[tuple[str, str, int]]) -> None:
    health, at = healthy(), 0
    for name, step, number in steps:
        at += number % 50
        match step:
            case "trouble":
                health.note_trouble(name, at, "not in time")
            case "against":
                health.note_contradiction(name, at)
            case "slot":
                health.note_slot(name, Slot(number))
            case _:
                health.note_answer(name, number)
        fit = health.fit(at)
        assert len(fit) >= AGREEING_MIN
        assert fit == tuple(each for each in NAMES if each in fit), "in the order given"
