"""Slots, heights and times."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.solana.blocks import Blocks, Era, SlotClock

RULES = st.builds(
    Blocks,
    st.binary(min_size=32, max_size=32),
    st.sampled_from([0, 2, 3, 20]),
)
SLOTS = st.integers(0, 10**9)


@given(RULES, SLOTS)
def test_a_height_names_the_newest_block_at_or_before_a_slot(blocks: Blocks, slot: int) -> None:
    newest = blocks.slot_of(blocks.height(slot))
    assert newest <= slot
    assert blocks.is_block(newest)
    assert not any(blocks.is_block(between) for between in range(newest + 1, slot + 1))


@given(RULES, SLOTS)
def test_heights_count_blocks_one_by_one(blocks: Blocks, slot: int) -> None:
    assert blocks.height(slot + 1) - blocks.height(slot) == blocks.is_block(slot + 1)


def test_one_slot_in_twenty_has_no_block() -> None:
    blocks = Blocks(b"\7" * 32, 20)
    skipped = [slot for slot in range(2_000) if not blocks.is_block(slot)]
    assert len(skipped) == 100
    assert len({slot % 20 for slot in skipped}) > 5, "in no regular order"
    assert blocks.height(1_999) == 1_899


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 900), st.booleans()), max_size=8))
def test_whatever_the_clock_is_told_slots_and_times_never_go_back(
    changes: list[tuple[int, int, bool]],
) -> None:
    clock = SlotClock(Era(0, 0, 400))
    now, last_slot, seen = 0, 0, {0: 0}
    for after_ms, slot_ms, running in changes:
        now += after_ms
        slot = clock.slot_at(now)
        assert slot >= last_slot
        seen[slot] = clock.time_of(slot)
        assert seen[slot] <= now
        clock.begin(Era(slot + 1, now, slot_ms, running))
        last_slot = slot + 1
        assert clock.time_of(slot) == seen[slot], "a block that was seen keeps its time"
    times = [clock.time_of(slot) for slot in range(last_slot + 3)]
    assert times == sorted(times)
