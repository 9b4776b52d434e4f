"""A log whose rows are bound to one another: the first row that is not what it was is named."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.audit_log import GENESIS, BadRow, Head, LogRow, compare, follow, link

Rows = list[tuple[LogRow, str]]


def log(count: int = 5) -> Rows:
    rows: Rows = []
    before = GENESIS
    for number in range(1, count + 1):
        row = LogRow(number, 1_000 + number, "pause", None, number, {"reason": f"r{number}"})
        before = link(before, row)
        rows.append((row, before))
    return rows


def with_facts(rows: Rows, place: int, **changes: object) -> Rows:
    row, written = rows[place]
    return [*rows[:place], (replace(row, **changes), written), *rows[place + 1 :]]  # type: ignore[arg-type]


def rewritten(rows: Rows, place: int) -> Rows:
    """Change a row and every hash after it, as one who may write the table could."""
    changed = with_facts(rows, place, facts={"reason": "mine"})
    before = rows[place - 1][1] if place else GENESIS
    for at in range(place, len(changed)):
        before = link(before, changed[at][0])
        changed[at] = (changed[at][0], before)
    return changed


CHANGES: list[tuple[str, Callable[[Rows], Rows], int | None]] = [
    ("nothing", lambda rows: rows, None),
    ("facts", lambda rows: with_facts(rows, 2, facts={"reason": "mine"}), 3),
    ("moment", lambda rows: with_facts(rows, 0, at=1), 1),
    ("kind", lambda rows: with_facts(rows, 4, kind="resume"), 5),
    ("act", lambda rows: with_facts(rows, 1, act=7), 2),
    ("hash", lambda rows: [*rows[:2], (rows[2][0], "f" * 64), *rows[3:]], 3),
    ("a row left out", lambda rows: [*rows[:2], *rows[3:]], 3),
    ("the first row left out", lambda rows: rows[1:], 1),
    ("two rows exchanged", lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], 2),
    ("a row twice", lambda rows: [*rows[:2], *rows[1:]], 3),
    # Neither can be seen in the rows: the kept head shows them.
    ("cut", lambda rows: rows[:3], None),
    ("rewritten", lambda rows: rewritten(rows, 1), None),
]


@pytest.mark.parametrize(("change", "first_bad"), [(c, b) for _, c, b in CHANGES],
                         ids=[name for name, _, _ in CHANGES])  # fmt: skip
def test_the_first_bad_row_is_named(change: Callable[[Rows], Rows], first_bad: int | None) -> None:
    led = follow(Head(), change(log()))
    assert (led.number if isinstance(led, BadRow) else None) == first_bad


@pytest.mark.parametrize(
    ("rows", "bad"),
    [(log(5), None), (log(7), None), (log(3), 4), ([], 1), (rewritten(log(5), 1), 5),
     (rewritten(log(7), 5), None)],
)  # fmt: skip
def test_the_kept_head_shows_a_log_that_was_cut_or_rewritten(rows: Rows, bad: int | None) -> None:
    kept = follow(Head(), log(5))
    end = follow(Head(), rows)
    assert isinstance(kept, Head)
    assert isinstance(end, Head)
    there = rows[kept.number - 1][1] if len(rows) >= kept.number else None
    found = compare(kept, end, there)
    assert (found.number if found else None) == bad


facts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), facts, max_size=4), st.dictionaries(st.text(), facts, max_size=4))
def test_other_facts_are_another_hash_and_the_order_of_keys_is_none(
    one: dict[str, object], other: dict[str, object]
) -> None:
    def hashed(given: dict[str, object]) -> str:
        return link(GENESIS, LogRow(1, 1, "k", 1, None, given))

    assert hashed(one) == hashed(dict(reversed(one.items())))
    assert (hashed(one) == hashed(other)) == (repr_of(one) == repr_of(other))


def repr_of(value: object) -> object:
    """Tell 1 from True, as JSON does."""
    if isinstance(value, dict):
        return frozenset((key, repr_of(each)) for key, each in value.items())
    if isinstance(value, list):
        return tuple(repr_of(each) for each in value)
    return type(value), value
