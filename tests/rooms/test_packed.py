"""Packed rooms are decided exactly as the same rooms one by one, and take little room."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from rooms.feed import Guards
from rooms.feed_log import Effect, FeedLog, Memory, OpenRoom, SecondClosed
from rooms.packed import PackedRooms
from rooms.room import Comparator
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value

START = 1_000_000
MEMORY = Memory(at=UnixMs(START), price=None, silence=None, priced_at=UnixMs(START), gaps=())


def a_room(number: int, comparator: Comparator, target: int, deadline: int) -> OpenRoom:
    return OpenRoom(
        id=number,
        comparator=comparator,
        move_bps=Bps(100),
        target=Value(target),
        opened_at=UnixMs(START - 30_000),
        lock_at=UnixMs(START - 20_000),
        watch_at=UnixMs(START - 10_000 + number),
        deadline_at=UnixMs(START + deadline),
        target_wait_ms=10_000,
        gap_ms_max=2_000,
    )


def packed(rooms: Sequence[OpenRoom], page: int = 3) -> PackedRooms:
    """Pack rooms as storage reads them."""
    made = PackedRooms()
    found = [(each.comparator, each.target or 0, each) for each in rooms]
    found.sort(key=lambda each: (-each[0], each[0] * each[1], each[2].id))
    rows = [
        (each.id, comparator, target, each.watch_at, each.deadline_at, each.gap_ms_max)
        for comparator, target, each in found
    ]
    for first in range(0, len(rows), page):
        made.add(rows[first : first + page])
    made.seal()
    return made


def hear(log: FeedLog, number: int, at: int, price: int | None) -> list[Effect]:
    moment = UnixMs(START + at)
    sources = () if price is None else ("a", "b", "c")
    ticks = [Tick(source, number, Value(price or 0), moment, moment) for source in sources]
    # Gaps may be remembered for longer than any room asks for them.
    return [
        replace(each, memory=replace(each.memory, gaps=()))
        if isinstance(each, SecondClosed)
        else each
        for each in log.hear(moment, ticks)
    ]


wanted = st.lists(
    st.tuples(
        st.sampled_from(Comparator), st.integers(900, 1_100), st.sampled_from((1_500, 4_000, 9_000))
    ),
    max_size=12,
)
said = st.lists(
    st.tuples(
        st.integers(1, 1_500),
        st.one_of(st.none(), st.integers(880, 1_120)),
        st.one_of(st.none(), st.integers(0, 12)),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(wanted, said)
def test_packed_rooms_are_decided_as_the_same_rooms_one_by_one(
    wanted: list[tuple[Comparator, int, int]],
    said: list[tuple[int, int | None, int | None]],
) -> None:
    rooms = [a_room(number, *each) for number, each in enumerate(wanted)]
    late = a_room(12, Comparator.UP, 1_050, 4_000)
    single, other = FeedLog(Guards(), memory=MEMORY), FeedLog(Guards(), memory=MEMORY)
    for each in rooms:
        single.open(each, locked=True)
    other.open_packed(packed(rooms))
    for log in (single, other):
        log.open(late, locked=True)
        for each in rooms:  # To hear of one that is followed already changes nothing.
            log.open(each)
    at = 0
    for number, (pause, price, stopped) in enumerate(said, 1):
        at += pause
        if stopped is not None:
            for log in (single, other):
                log.stop(stopped)
        assert hear(single, number, at, price) == hear(other, number, at, price)
        assert single.open_count == other.open_count


def test_a_hundred_thousand_of_them_take_less_than_64_bytes_each() -> None:
    random, count = Random(1), 100_000
    targets = sorted(random.randrange(10**12) for _ in range(count))
    rows = [
        (number, 1, target, START, START + random.randrange(10**6), 10_000)
        for number, target in enumerate(targets)
    ]
    tracemalloc.start()
    try:
        made = PackedRooms()
        for first in range(0, count, 5_000):
            made.add(rows[first : first + 5_000])
        made.seal()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(made) == count
    assert size / count <= 64


def test_what_is_taken_out_is_given_no_more() -> None:
    made = packed([a_room(number, Comparator.UP, 1_000 + number, 9_000) for number in range(4)])
    made.take_out(0)
    made.take_out(0)
    made.take_out(99)
    assert len(made) == 3
    assert made.get(0) is None
    assert 0 not in made
    assert made.next_target(Comparator.UP) == (1_001, 1)
    assert made.next_target(Comparator.DOWN) is None
    assert made.next_deadline() == (START + 9_000, 1)
