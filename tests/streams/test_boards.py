"""Rings keep places; boards tell once; wishes are read or refused; the watchdog judges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.index_price import IndexPrice
from rooms.refusal import Impossible, Refused
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from streams import messages
from streams.boards import PriceBoard
from streams.ring import NONE_GONE, Ring
from streams.watchdog import Stillness
from streams.wishes import PricesWish, SettlementsWish, read_wish

AT = 1_700_000_000_000


@given(st.lists(st.integers(1, 5), max_size=80), st.integers(1, 8), st.integers(0, 250))
def test_a_ring_holds_everything_after_what_it_says_is_gone(
    steps: list[int], kept: int, asked: int
) -> None:
    ring = Ring(kept, gone_number=NONE_GONE)
    numbers: list[int] = []
    for step in steps:
        numbers.append((numbers[-1] if numbers else 0) + step)
        ring.add(numbers[-1], f"frame {numbers[-1]}")
    found = ring.after(ring.index_after(asked), 10_000)

    assert found == [(n, f"frame {n}") for n in numbers if n > max(asked, ring.gone_number or 0)]
    assert min(len(numbers), kept) <= ring.end - ring.first < 2 * kept
    assert ring.end == len(numbers)


def told(position: int, at: int = AT, feed: str = "SOL/USD") -> bytes:
    tick = Tick("okx", 1, Value(5), UnixMs(at), UnixMs(at))
    price = IndexPrice(Value(5), UnixMs(at), (tick,), ())
    return messages.write(messages.prices(feed, 8, position, UnixMs(at), [price]))


def test_what_a_worker_says_twice_is_told_once() -> None:
    board = PriceBoard(10, partitions=1, whole=[0])
    for position in (1, 2, 2, 1, 3):
        board.hear(told(position))
    assert [number for number, _ in board.ring("SOL/USD").after(0, 10)] == [1, 2, 3]


def test_a_log_that_began_anew_is_told_from_its_beginning() -> None:
    board = PriceBoard(10, partitions=1, whole=[0])
    for position, at in ((8, AT), (9, AT + 1), (0, AT + 2), (9, AT + 1), (1, AT + 3)):
        if (position, at) == (9, AT + 1) and board.ring("SOL/USD").last_number == 0:
            continue
        board.hear(told(position, at))
    ring = board.ring("SOL/USD")
    assert [number for number, _ in ring.after(ring.first, 10)] == [0, 1]
    assert ring.first == 2


def test_before_the_first_frame_of_a_partition_read_in_part_nothing_is_known() -> None:
    board = PriceBoard(10, partitions=1, whole=[])
    assert board.ring("SOL/USD").gone_number is None
    board.hear(told(40))
    assert board.ring("SOL/USD").gone_number == 40
    with pytest.raises(Impossible):
        board.hear(b"{}")


@pytest.mark.parametrize(
    ("target", "wish"),
    [
        ("/v1/prices?feeds=SOL/USD", PricesWish({"SOL/USD": None})),
        ("/v1/prices?feeds=SOL%2FUSD,BTC/USD", PricesWish({"SOL/USD": None, "BTC/USD": None})),
        ("/v1/prices?feeds=mcap:BONK&from=mcap:BONK:12", PricesWish({"mcap:BONK": 12})),
        ("/v1/prices?feeds=SOL/USD&from=", PricesWish({"SOL/USD": None})),
        ("/v1/settlements", SettlementsWish(None)),
        ("/v1/settlements?cursor=0", SettlementsWish(0)),
        ("/v1/else", None),
        ("/", None),
    ],
)
def test_a_wish_is_read_from_path_and_query(target: str, wish: object) -> None:
    assert read_wish(target) == wish


@pytest.mark.parametrize(
    "target",
    [
        "/v1/prices",
        "/v1/prices?feeds=",
        "/v1/prices?feeds=,",
        "/v1/prices?feeds=SOL/USD&from=BTC/USD:1",
        "/v1/prices?feeds=SOL/USD&from=SOL/USD",
        "/v1/prices?feeds=SOL/USD&from=SOL/USD:-1",
        "/v1/prices?feeds=SOL/USD&from=SOL/USD:1e3",
        "/v1/prices?feeds=SOL/USD&feeds=BTC/USD",
        "/v1/prices?feeds=SOL/USD&cursor=1",
        "/v1/prices?feeds=" + ",".join(f"F{n}" for n in range(51)),
        "/v1/settlements?cursor=",
        "/v1/settlements?cursor=-1",
        "/v1/settlements?cursor=1.0",
        "/v1/settlements?cursor=9007199254740992",
        "/v1/settlements?cursor=%D9%A1",
        "/v1/settlements?cursor=%FF",
        "/v1/settlements?" + "&".join(f"a{n}=1" for n in range(20)),
    ],
)
def test_a_wish_that_is_none_is_refused_with_a_sentence(target: str) -> None:
    with pytest.raises(Refused) as refused:
        read_wish(target)
    assert refused.value.sentence.endswith(".")


TICKS = ("ticks", 0)


def test_a_reader_that_stands_while_its_log_goes_on_is_found_after_the_limit() -> None:
    stillness = Stillness(10.0)
    assert stillness.look({TICKS: 5}, {TICKS: 3}, {}, 0.0) is None
    assert stillness.look({TICKS: 9}, {TICKS: 3}, {}, 9.9) is None
    wrong = stillness.look({TICKS: 9}, {TICKS: 3}, {}, 10.0)
    assert wrong is not None
    assert "stands at 3 of 9" in wrong


def test_a_reader_that_moves_or_has_read_all_or_was_given_away_is_left_alone() -> None:
    stillness = Stillness(10.0)
    for second in range(0, 100, 5):
        assert stillness.look({TICKS: 500}, {TICKS: second}, {}, second) is None
    for second in range(100, 200, 5):
        assert stillness.look({TICKS: 95}, {TICKS: 95}, {}, second) is None
    assert stillness.look({TICKS: 99}, {TICKS: 95}, {}, 205) is None
    assert stillness.look({}, {TICKS: 95}, {}, 214) is None
    assert stillness.look({TICKS: 99}, {TICKS: 95}, {}, 216) is None


def test_what_another_worker_finished_meanwhile_counts_as_read() -> None:
    stillness = Stillness(10.0)
    assert stillness.look({TICKS: 90}, {TICKS: 3}, {TICKS: 90}, 0.0) is None
    assert stillness.look({TICKS: 90}, {TICKS: 3}, {TICKS: 90}, 60.0) is None


def test_what_lies_behind_the_last_message_is_excused_until_there_is_more() -> None:
    stillness = Stillness(10.0)
    for second in (0.0, 10.0):
        wrong = stillness.look({TICKS: 4}, {TICKS: 3}, {}, second)
    assert wrong is not None
    assert stillness.standing == (*TICKS, 3)
    stillness.excuse()
    assert stillness.look({TICKS: 4}, {TICKS: 3}, {}, 19.9) is None
    assert stillness.look({TICKS: 6}, {TICKS: 3}, {}, 29.9) is not None


def test_a_log_shorter_than_what_was_read_is_another_log() -> None:
    wrong = Stillness().look({TICKS: 2}, {TICKS: 3}, {}, 0.0)
    assert wrong is not None
    assert "another log" in wrong
    # What a group once finished in a log that is gone says nothing about this one.
    assert Stillness().look({TICKS: 2}, {TICKS: 1}, {TICKS: 900}, 0.0) is None
