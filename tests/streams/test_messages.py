"""What travels between the stages comes back as it was; what is none of it is impossible."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.feed_log import OpenRoom
from rooms.index_price import IndexPrice, LeftOut, Reason, Silence
from rooms.refusal import Impossible
from rooms.room import Comparator
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value
from streams import frames, messages
from streams.messages import Opened, Stopped, Ticks

moments = st.integers(10**12, 10**13 - 1).map(UnixMs)
values = st.integers(1, 2**63 - 1).map(Value)
ticks = st.builds(
    Tick,
    source=st.sampled_from(["binance", "okx", "kraken"]),
    sequence=st.integers(0, 2**63 - 1),
    value=values,
    source_at=moments,
    at=moments,
)
rooms = st.builds(
    OpenRoom,
    id=st.integers(0, 2**62 - 1),
    comparator=st.sampled_from(Comparator),
    move_bps=st.none() | st.integers(1, 5_000).map(Bps),
    target=st.none() | values,
    opened_at=moments,
    lock_at=moments,
    watch_at=moments,
    deadline_at=moments,
    target_wait_ms=st.integers(0, 10**6),
    gap_ms_max=st.integers(0, 10**6),
)


@given(st.lists(ticks, max_size=5), moments)
def test_ticks_come_back_as_they_were(told: list[Tick], at: UnixMs) -> None:
    heard = messages.read_heard(messages.write(messages.ticks("SOL/USD", at, told)))
    assert isinstance(heard, Ticks)
    assert (heard.feed, heard.at, heard.told()) == ("SOL/USD", at, told)


@given(rooms)
def test_rooms_come_back_as_they_were(room: OpenRoom) -> None:
    heard = messages.read_heard(msgspec.json.encode(messages.opened(room)))
    assert isinstance(heard, Opened)
    assert heard.room == room
    stopped = messages.read_heard(msgspec.json.encode(messages.stopped(room.id)))
    assert isinstance(stopped, Stopped)
    assert int(stopped.room) == room.id


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_noise_is_impossible_and_nothing_worse(payload: bytes) -> None:
    for read in (messages.read_heard, messages.read_prices, frames.read):
        with pytest.raises(Impossible):
            read(payload)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "{}",
        '{"kind":"ticks","feed":"SOL/USD","at":1.5,"ticks":[]}',
        '{"kind":"ticks","feed":"","at":1700000000000,"ticks":[]}',
        '{"kind":"ticks","feed":"SOL/USD","at":1700000000,"ticks":[]}',
        '{"kind":"ticks","feed":"SOL/USD","at":1700000000000,"ticks":[],"more":1}',
        '{"kind":"ticks","feed":"SOL/USD","at":1700000000000,"ticks":[["a",1,2,1700000000000]]}',
        '{"kind":"ticks","feed":"S","at":1700000000000,"ticks":[["a",1,-2,1700000000000,1700000000000]]}',
        '{"kind":"ticks","feed":"S","at":1700000000000,"ticks":[["a",1,"2",1700000000000,1700000000000]]}',
        '{"kind":"ticks","feed":"S","at":1700000000000,"ticks":[["a",1,9223372036854775808,1700000000000,1700000000000]]}',
        '{"kind":"opened","room":{"id":1}}',
        '{"kind":"stopped","room":1}',
        '{"kind":"stopped","room":"1e3"}',
        "[" * 100_000,
    ],
)
def test_what_is_almost_a_message_is_impossible(text: str) -> None:
    with pytest.raises(Impossible):
        messages.read_heard(text.encode())


def test_a_tick_of_nothing_is_impossible_before_anything_is_applied() -> None:
    at = 1_700_000_000_000
    heard = messages.read_heard(
        f'{{"kind":"ticks","feed":"S","at":{at},"ticks":[["a",1,0,{at},{at}]]}}'.encode()
    )
    assert isinstance(heard, Ticks)
    with pytest.raises(Impossible, match="positive"):
        heard.told()


def test_subscribers_get_prices_as_digits_and_as_text_of_whole_numbers() -> None:
    at = UnixMs(1_700_000_000_000)
    tick = Tick("okx", 2**60, Value(20_512_000_000), at, at)
    price = IndexPrice(tick.value, at, (tick,), ((replace(tick, source="kraken"), LeftOut.STALE),))
    silence = Silence(Reason.TOO_FEW, at, 1, 2, 3)
    payload = messages.write(messages.prices("SOL/USD", 8, 41, at, [price, silence]))
    frame = frames.write(frames.told(messages.read_prices(payload)))

    assert msgspec.json.decode(frame) == {
        "kind": "prices",
        "feed": "SOL/USD",
        "number": 41,
        "at": at,
        "told": [
            {
                "kind": "price",
                "at": at,
                "price": "205.12",
                "value": "20512000000",
                "scale": 8,
                "sources": ["okx"],
                "known": 2,
            },
            {
                "kind": "silence",
                "at": at,
                "reason": "too_few",
                "agreeing": 1,
                "known": 2,
                "quorum": 3,
            },
        ],
    }
