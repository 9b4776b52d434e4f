"""What is a breach: nothing that commits late is skipped, and only what lasts is a difference."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.audit import (
    DOUBT_MS,
    Difference,
    Doubts,
    Effect,
    Look,
    Lying,
    Place,
    Rule,
    Watermark,
    breach_of,
    difference,
)
from rooms.units import Address, Lamports, Slot, UnixMs

HERE = Address("Here")


def lying(lamports: int, *, slot: int = 100, provider: str = "first") -> Lying:
    return Lying(provider, HERE, Slot(slot), Lamports(lamports))


def effect(lamports: int, slot: int, address: Address = HERE) -> Effect:
    return Effect(address, Slot(slot), lamports)


@pytest.mark.parametrize(
    ("chain", "ledger", "posted", "waiting", "unexplained"),
    [
        (50, 50, [], [], 0),
        (50, 40, [], [], 10),
        (50, 60, [], [], -10),
        # Posted of a block that this provider has not finalized: it is behind, not wrong.
        (50, 60, [effect(10, 101)], [], 0),
        (50, 60, [effect(10, 100)], [], -10),
        (50, 60, [effect(10, 101, Address("There"))], [], -10),
        # Final on chain, not posted yet: a stake that left, a deposit that came.
        (50, 60, [], [effect(-10, 100)], 0),
        (70, 60, [], [effect(10, 99)], 0),
        (70, 60, [], [effect(10, 101)], 10),
        # All of it at once.
        (45, 60, [effect(20, 103)], [effect(-5, 98), effect(10, 99)], 0),
    ],
)
def test_a_difference_is_what_known_signatures_do_not_explain(
    chain: int, ledger: int, posted: list[Effect], waiting: list[Effect], unexplained: int
) -> None:
    assert difference(lying(chain), Lamports(ledger), posted, waiting).unexplained == unexplained


def seen(*unexplained: int) -> dict[Address, Sequence[Difference]]:
    return {
        HERE: [
            Difference(lying(50 + each, provider=f"p{place}"), 50, 0, each)
            for place, each in enumerate(unexplained)
        ]
    }


@pytest.mark.parametrize(
    ("looks", "breaches"),
    [
        # (milliseconds since the first look, what each provider leaves unexplained)
        ([(0, (5, 5)), (DOUBT_MS - 1, (5, 5))], 0),
        ([(0, (5, 5)), (DOUBT_MS, (5, 5))], 1),
        ([(0, (5, 5)), (30_000, (0, 0)), (DOUBT_MS, (5, 5))], 0),
        # One provider alone says so: it lasts, and that is a breach too.
        ([(0, (0, 5)), (DOUBT_MS, (0, 5))], 1),
        # Only one provider answered: nobody judges, and nothing is forgotten.
        ([(0, (5,)), (DOUBT_MS, (5,))], 0),
        ([(0, (5, 5)), (30_000, (0,)), (DOUBT_MS, (5, 5))], 1),
        # One look after a long silence is not two looks.
        ([(DOUBT_MS * 5, (5, 5))], 0),
        # Another amount is still a difference.
        ([(0, (5, 5)), (30_000, (7, 7)), (DOUBT_MS, (-2, -2))], 1),
    ],
)
def test_a_difference_that_lasts_a_minute_is_a_breach(
    looks: list[tuple[int, tuple[int, ...]]], breaches: int
) -> None:
    doubts = Doubts()
    found = [doubts.judge(seen(*each), UnixMs(at)) for at, each in looks]
    assert [len(each) for each in found[:-1]] == [0] * (len(looks) - 1)
    assert len(found[-1]) == breaches
    assert all(each.rule is Rule.DIFFERENCE and HERE in each.what for each in found[-1])


def test_a_breach_has_one_key_while_balances_go_on_moving() -> None:
    first = breach_of(Rule.CLAIMS_DIFFER, "Here", 105, 100)
    later = breach_of(Rule.CLAIMS_DIFFER, "Here", 205, 200)
    worse = breach_of(Rule.CLAIMS_DIFFER, "Here", 206, 200)
    assert first.key == later.key != worse.key
    assert first.what == "105 lamports lie at Here and 100 are claimed"


def test_every_rule_of_the_ledger_has_a_sentence() -> None:
    told_elsewhere = {Rule.DIFFERENCE, Rule.STRANGER, Rule.AUDIT_LOG, Rule.PLANNED_OTHERWISE}
    for rule in set(Rule) - told_elsewhere:
        assert "x" in breach_of(rule, "x", 1, 2).what or rule is Rule.BOOKS_DIFFER


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Draw transactions: when each began and took its id, and when it committed."""
    count = draw(st.integers(1, 12))
    moments = st.integers(0, 40)
    found = []
    for number in range(count):
        began = draw(moments)
        found.append((number, began, began + draw(st.integers(1, 20))))
    return sorted(found, key=lambda each: each[1])


@given(histories(), st.lists(st.integers(0, 80), min_size=1, max_size=20))
def test_no_row_is_skipped_however_late_it_commits(
    history: list[tuple[int, int, int]], looks: list[int]
) -> None:
    """Ids are given when transactions begin; each look sees what had committed by then."""
    ids = {name: place + 1 for place, (name, _, _) in enumerate(history)}
    names = {name: place + 1 for place, (name, _, _) in enumerate(history)}  # the server's own
    watermark = Watermark()
    checked: set[int] = set()
    for at in [*sorted(looks), 1_000, 1_001]:
        committed = [name for name, _, done in history if done <= at]
        running = [name for name, began, done in history if began <= at < done]
        begun = [name for name, began, _ in history if began <= at]
        next_name = max((names[name] for name in begun), default=0) + 1
        place = Place(entry=max((ids[name] for name in committed), default=0))
        oldest = min((names[name] for name in running), default=next_name)
        low = watermark.checked.entry
        checked |= {ids[n] for n in committed if low < ids[n] <= place.entry}
        watermark.after(Look(place, oldest, next_name))
    assert checked == set(ids.values())
    assert watermark.checked.entry == len(ids)
