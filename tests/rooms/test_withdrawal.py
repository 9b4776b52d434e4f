"""A withdrawal leaves when its size, its address, the PIN and fresh winnings let it, or never."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs
from rooms.withdrawal import (
    DAY_MS,
    HOUR_MS,
    Outlook,
    Taken,
    WithdrawalLimits,
    due_at,
    needs_code,
)

SOL = 1_000_000_000
NOW = UnixMs(1_763_793_600_000)
LIMITS = WithdrawalLimits()
KNOWN = UnixMs(NOW - DAY_MS)
OUTLOOK = Outlook(available=Lamports(200 * SOL), address_since=KNOWN, now=NOW)


def waits(lamports: int, **changes: object) -> int:
    return due_at(Lamports(lamports), replace(OUTLOOK, **changes), LIMITS) - NOW  # type: ignore[arg-type]


def taken(**sums: int) -> Taken:
    return Taken(**{name: Lamports(lamports) for name, lamports in sums.items()})


WAITS: list[tuple[str, int, dict[str, object], int]] = [
    ("free, to an old address", SOL // 2, {}, 0),
    ("free, to a new address", SOL // 2, {"address_since": NOW}, 0),
    ("free, with a new PIN", SOL // 2, {"secured_since": NOW}, 0),
    ("above what is free", SOL // 2 + 1, {}, 2 * HOUR_MS),
    ("above it with what was taken", SOL // 2, {"taken": taken(person_day=1)}, 2 * HOUR_MS),
    ("others took from the address only", SOL // 2, {"taken": taken(address_day=SOL)}, 0),
    ("above it, to a new address", SOL, {"address_since": NOW}, DAY_MS),
    ("above it, to one of an hour ago", SOL, {"address_since": NOW - HOUR_MS}, DAY_MS - HOUR_MS),
    ("above it, with a new PIN", SOL, {"secured_since": NOW - HOUR_MS}, DAY_MS - HOUR_MS),
    ("not yet large", 20 * SOL, {}, 2 * HOUR_MS),
    ("large", 20 * SOL + 1, {}, DAY_MS),
    ("of old money", SOL // 4, {"available": SOL, "fresh": [(3 * SOL // 4, NOW + 9)]}, 0),
    ("of fresh winnings", SOL // 4 + 1, {"available": SOL, "fresh": [(3 * SOL // 4, NOW + 9)]}, 9),
    ("of winnings that are free", SOL // 2, {"available": SOL, "fresh": [(SOL, NOW)]}, 0),
    ("of the first winnings to be free", 2, {"available": 3 * SOL // 2,
     "fresh": [(SOL, NOW + 9), (SOL // 2, NOW + 5)]}, 5),
    ("of all winnings", SOL // 2, {"available": SOL // 2,
     "fresh": [(SOL, NOW + 9), (SOL // 2, NOW + 5)]}, 9),
]  # fmt: skip


@pytest.mark.parametrize(("lamports", "changes", "wait"), [row[1:] for row in WAITS],
                         ids=[row[0] for row in WAITS])  # fmt: skip
def test_it_waits_as_long_as_the_slowest_reason(
    lamports: int, changes: dict[str, object], wait: int
) -> None:
    assert waits(max(lamports, LIMITS.lamports_min), **changes) == wait


REFUSED: list[tuple[str, int, dict[str, object]]] = [
    ("below_min", 1_999_999, {}),
    ("too_little", 200 * SOL + 1, {}),
    ("hour_limit", 50 * SOL + 1, {}),
    ("hour_limit", SOL, {"taken": taken(person_hour=49 * SOL + 1)}),
    ("day_limit", SOL, {"taken": taken(person_day=99 * SOL + 1)}),
    ("address_limit", SOL, {"taken": taken(address_hour=49 * SOL + 1)}),
    ("address_limit", SOL, {"taken": taken(address_day=99 * SOL + 1)}),
]


@pytest.mark.parametrize(("code", "lamports", "changes"), REFUSED)
def test_what_is_above_a_limit_is_refused_and_what_is_not_is_not(
    code: str, lamports: int, changes: dict[str, object]
) -> None:
    with pytest.raises(Refused) as refused:
        waits(lamports, **changes)
    assert refused.value.code == code
    if code.endswith("limit"):
        waits(lamports - 1, **changes)


def test_what_the_place_could_never_let_leave_is_refused() -> None:
    limits = replace(LIMITS, all_lamports_hour_max=Lamports(SOL))
    with pytest.raises(Refused) as refused:
        due_at(Lamports(SOL + 1), OUTLOOK, limits)
    assert refused.value.code == "place_limit"


def test_the_code_is_needed_above_what_the_pin_alone_allows() -> None:
    limits = replace(LIMITS, pin_only_lamports_day=Lamports(SOL))
    assert not needs_code(Lamports(SOL), Lamports(0), limits)
    assert needs_code(Lamports(SOL), Lamports(1), limits)
    assert needs_code(Lamports(1), Lamports(0), LIMITS)


amounts = st.integers(2_000_000, 60 * SOL)
outlooks = st.builds(
    Outlook,
    available=st.integers(0, 100 * SOL).map(Lamports),
    taken=st.builds(
        Taken,
        **{each.name: st.integers(0, 120 * SOL).map(Lamports) for each in fields(Taken)},
    ),
    address_since=st.integers(NOW - 2 * DAY_MS, NOW).map(UnixMs),
    secured_since=st.integers(NOW - 2 * DAY_MS, NOW).map(UnixMs),
    fresh=st.just(()),
    now=st.just(NOW),
)


def judged(lamports: int, outlook: Outlook) -> int | str:
    try:
        return due_at(Lamports(lamports), outlook, LIMITS)
    except Refused as refusal:
        return refusal.code


@given(amounts, amounts, outlooks)
def test_more_never_leaves_sooner(one: int, other: int, outlook: Outlook) -> None:
    less, more = (judged(each, outlook) for each in sorted((one, other)))
    assert isinstance(more, str) or (isinstance(less, int) and NOW <= less <= more)


@given(
    amounts, outlooks, st.lists(st.tuples(st.integers(1, SOL), st.integers(0, 900_000)), max_size=4)
)
def test_fresh_winnings_never_make_it_leave_sooner(
    lamports: int, outlook: Outlook, won: list[tuple[int, int]]
) -> None:
    winnings = [(Lamports(each), UnixMs(NOW + later)) for each, later in won]
    total = sum(each for each, _ in winnings)
    with_them = replace(outlook, available=Lamports(outlook.available + total))
    fresh = judged(lamports, replace(with_them, fresh=winnings))
    old = judged(lamports, with_them)
    assert isinstance(fresh, str) == isinstance(old, str)
    assert isinstance(fresh, str) or (isinstance(old, int) and fresh >= old)
    if lamports <= outlook.available:
        assert fresh == old
