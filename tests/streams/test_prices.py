"""A feed's log becomes prices, live prices, seconds, targets and outcomes; garbage is set aside."""

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
import pytest_asyncio

from rooms.catalogue import CATALOGUE
from rooms.crossing import Crossing
from rooms.feed_log import OpenRoom
from rooms.refusal import Impossible
from rooms.room import Comparator
from rooms.units import UnixMs, Value
from storage import crossings
from streams import messages
from streams.topics import partition_of
from tests.kafka import Kafka
from tests.pricing import DOLLAR, FEED, SOURCES, Stage, a_room, eventually, now_ms, stage, ticks_at

HOUR_MS = 3_600_000


@pytest_asyncio.fixture
async def place(dsn: str, redis_url: str, kafka: Kafka) -> AsyncIterator[Stage]:
    async with stage(dsn, redis_url, kafka) as made:
        yield made


def base() -> int:
    """Return the beginning of a second, an hour ago."""
    return (now_ms() - HOUR_MS) // 1000 * 1000


async def watched_room(place: Stage, start: int, room: OpenRoom | None = None) -> None:
    """Open a room by the log, and let its watch begin at 200 dollars."""
    room = room or a_room(start)
    await place.room(room)
    await place.say(start - 500, 200)
    await place.open(room)
    for step in range(1, 8):
        await place.say(start + step * 500, 200)


async def test_a_room_is_locked_watched_and_decided_the_moment_the_price_crosses(
    place: Stage,
) -> None:
    start = base()
    async with place.worker():
        await watched_room(place, start)
        await place.say(start + 4_000, 201.99)
        await place.say(start + 4_250, 202.01)
        room = await place.decided(7)

    assert (room["state"], room["outcome"], room["void_reason"]) == ("DECIDED", "YES", None)
    assert (room["target"], room["base"]) == (202 * DOLLAR, 200 * DOLLAR)
    assert (room["watched_at"], room["decided_at"]) == (start + 3_000, start + 4_250)
    told = [(each["kind"], each["seq"], each["at"]) for each in await place.events()]
    assert told == [
        ("room.locked", 1, start + 1_000),
        ("watch.started", 2, start + 3_000),
        ("room.decided", 3, start + 4_250),
    ]
    decided = (await place.events())[-1]
    assert (decided["outcome"], decided["value"]) == ("YES", str(20_201_000_000))
    wakes = await place.rows("SELECT topic FROM outbox WHERE topic <> 'events' ORDER BY id")
    assert [row["topic"] for row in wakes] == ["custody", "settlements", "custody"]


async def test_a_crossing_carries_both_prices_and_all_their_ticks(place: Stage) -> None:
    start = base()
    async with place.worker():
        await watched_room(place, start)
        await place.say(start + 4_000, 201.5)
        await place.say(start + 4_100, 202)
        await place.decided(7)
    async with place.connections.acquire() as connection:
        crossing = await crossings.of(connection, 7)

    assert isinstance(crossing, Crossing)
    assert (crossing.target, crossing.comparator) == (202 * DOLLAR, Comparator.UP)
    assert crossing.before is not None
    # Each tick is applied by itself: the second of three sources moves the median to the target.
    assert (crossing.before.value, crossing.price.value) == (201.5 * DOLLAR, 202 * DOLLAR)
    assert {tick.source: tick.value for tick in crossing.price.ticks} == {
        "binance": 202 * DOLLAR,
        "coinbase": 202 * DOLLAR,
        "kraken": 201.5 * DOLLAR,
    }
    assert {tick.source for tick in crossing.before.ticks} == set(SOURCES)
    row = (await place.rows("SELECT at, source_at, value FROM crossings"))[0]
    assert row == {"at": start + 4_100, "source_at": start + 4_000, "value": 202 * DOLLAR}


async def test_prices_are_told_once_a_message_with_their_position(place: Stage) -> None:
    start = base()
    async with place.worker():
        first = await place.say(start, 200)
        await place.say(start + 100)
        third = await place.say(start + 200, 201)
        told = await place.prices(count=2)

    assert [each.position for each in told] == [first, third]
    assert [each.feed for each in told] == [FEED, FEED]
    price = told[1].told[-1]
    assert isinstance(price, messages.Price)
    assert (price.value, price.at, len(price.ticks)) == (201 * DOLLAR, start + 200, 3)


async def test_the_live_price_says_what_holds_and_until_when(place: Stage) -> None:
    start = base()
    async with place.worker():
        offset = await place.say(start, 200)
        await place.handled(offset)
        await place.say(start + 250)

        async def is_seen() -> bool:
            live = await place.live.price_of(FEED)
            return live is not None and live.seen_at == start + 250

        await eventually(is_seen)
        live = await place.live.price_of(FEED)
        assert live is not None
        assert (live.value, live.at, live.agreeing, live.known) == (200 * DOLLAR, start, 3, 3)
        assert live.value_at(UnixMs(start + 1_000)) == 200 * DOLLAR
        assert live.value_at(UnixMs(start + 10_000)) is None

        silent = await place.say(start + 4_000)
        await place.handled(silent)
        live = await place.live.price_of(FEED)
        assert live is not None
        assert (live.value, live.silence) == (None, "too_few")


async def test_each_second_is_a_row_and_what_it_covers_is_acknowledged(place: Stage) -> None:
    start = base()
    async with place.worker():
        await place.say(start, 200)
        last = await place.say(start + 900, 202)
        await place.say(start + 1_000, 201)
        await place.stored(last)
        await eventually(lambda: _is(place.committed, last + 1))
    rows = await place.rows("SELECT second_at, low, high, last, changes FROM feed_seconds")

    assert rows == [
        {
            "second_at": start,
            "low": 200 * DOLLAR,
            "high": 202 * DOLLAR,
            "last": 202 * DOLLAR,
            "changes": 2,
        }
    ]


async def _is(told: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await told() == wanted


GARBAGE: dict[str, tuple[bytes | None, str | None]] = {
    "nothing": (b"", FEED),
    "a tombstone": (None, FEED),
    "no text": (b"\xff\x00", FEED),
    "another shape": (b"[]", FEED),
    "half of it": (b'{"kind":"ticks"}', FEED),
    "an unknown kind": (b'{"kind":"unknown"}', FEED),
    "no room's id": (b'{"kind":"stopped","room":"-1"}', FEED),
    "no key": (b'{"kind":"stopped","room":"1"}', None),
    "no such feed": (b'{"kind":"stopped","room":"1"}', "NO/FEED"),
    "another feed's": (b'{"kind":"ticks","feed":"X","at":1700000000000,"ticks":[]}', FEED),
    "ahead of the broker": (messages.write(messages.ticks(FEED, UnixMs(9 * 10**12), [])), FEED),
    "received after its message": (
        messages.write(
            messages.ticks(FEED, UnixMs(17 * 10**11), ticks_at(17 * 10**11 + 1, 200, 1))
        ),
        FEED,
    ),
}


async def test_garbage_is_set_aside_with_its_reason_and_the_log_goes_on(place: Stage) -> None:
    start = base()
    room = a_room(start)
    await place.room(room)
    async with place.worker():
        offsets = [await place.write(payload, feed=feed) for payload, feed in GARBAGE.values()]
        last = await place.say(start, 200)
        await place.handled(last)
        await place.say(start + 1_000, 200)
        await eventually(lambda: _is_more(place.committed, last))
    kept = await place.rows("SELECT origin, reason FROM set_aside ORDER BY id")

    partitions = [partition_of(feed or FEED, place.partitions) for _, feed in GARBAGE.values()]
    assert {row["origin"] for row in kept} == {
        f"ticks/{partition}/{offset}" for partition, offset in zip(partitions, offsets, strict=True)
    }
    assert all(row["reason"] for row in kept)
    assert any("ahead of the broker's" in row["reason"] for row in kept)
    # None of it moved the log's time.
    assert (await place.room_row(7))["watched_at"] is None


async def _is_more(told: Callable[[], Awaitable[int]], than: int) -> bool:
    return await told() > than


async def test_a_fixed_value_reached_before_the_watch_ends_the_room_at_that_moment(
    place: Stage,
) -> None:
    start = base()
    room = a_room(start, move_bps=None, target=Value(205 * DOLLAR))
    await place.room(room)
    async with place.worker():
        await place.say(start - 500, 200)
        await place.open(room)
        await place.say(start + 500, 206)
        row = await place.decided(7)

    assert (row["outcome"], row["void_reason"]) == ("VOID", "reached_before_watch")
    # Bets stop and the seal is due at that moment, not at the lock and cut that were planned.
    assert (row["lock_at"], row["cut_at"]) == (start + 500, start + 501)
    assert (row["watch_at"], row["deadline_at"]) == (room.watch_at, room.deadline_at)
    assert [each["kind"] for each in await place.events()] == ["room.locked", "room.decided"]


async def test_an_unreached_target_is_no_when_the_log_passes_the_deadline(place: Stage) -> None:
    start = base()
    room = a_room(start, deadline_at=UnixMs(start + 6_000))
    async with place.worker():
        await watched_room(place, start, room)
        for after in range(3_600, 6_800, 400):
            await place.say(start + after, 200.5)
        row = await place.decided(7)

    assert (row["outcome"], row["decided_at"]) == ("NO", start + 6_000)
    assert await place.value("SELECT count(*) FROM crossings") == 0


async def test_a_room_stopped_elsewhere_is_followed_no_longer(place: Stage) -> None:
    start = base()
    async with place.worker():
        await watched_room(place, start)
        await place.write(msgspec.json.encode(messages.stopped(7)))
        last = await place.say(start + 4_000, 210)
        await place.handled(last)
        await place.say(start + 5_000, 210)
        await place.stored(last)

    assert (await place.room_row(7))["outcome"] is None


async def test_a_room_that_the_database_decided_first_stays_as_it_was_decided(
    place: Stage,
) -> None:
    start = base()
    async with place.worker():
        await watched_room(place, start)
        await eventually(lambda: place.value("SELECT target FROM rooms"))
        await place.connections.execute(
            "UPDATE rooms SET outcome = 'VOID', void_reason = 'one_sided', decided_at = 1, "
            "state = 'DECIDED'"
        )
        last = await place.say(start + 4_000, 210)
        await place.handled(last)

    assert (await place.room_row(7))["void_reason"] == "one_sided"
    assert "room.decided" not in {each["kind"] for each in await place.events()}


async def test_a_quiet_feed_holds_up_no_one_elses_messages(place: Stage) -> None:
    other = next(
        name for name in CATALOGUE if name != FEED and _same_partition(name, place.partitions)
    )
    place.feeds.append(other)
    await place.prepare()
    start = base()
    async with place.worker():
        quiet = await place.say(start, 200)
        await place.handled(quiet)
        place.clock.ahead_ms += 6_000
        await place.say(start, 100, feed=other)
        await place.stored(quiet)
        await eventually(lambda: _is_more(place.committed, quiet))


def _same_partition(name: str, partitions: int) -> bool:
    return partition_of(name, partitions) == partition_of(FEED, partitions)


async def test_two_feeders_at_once_have_the_effects_of_one(place: Stage) -> None:
    start = base()
    room = a_room(start)
    await place.room(room)
    async with place.worker():
        for step in range(10):
            at, dollars = start + step * 500, 200 if step < 9 else 203
            ticks = ticks_at(at, dollars, step + 1)
            for _ in range(2):
                await place.write(messages.write(messages.ticks(FEED, UnixMs(at), ticks)))
        await place.decided(7)

    assert [each["kind"] for each in await place.events()] == [
        "room.locked",
        "watch.started",
        "room.decided",
    ]
    assert await place.told_count() == 2


def test_comparators_travel_as_numbers() -> None:
    room = a_room(base(), comparator=Comparator.DOWN)
    heard = messages.read_heard(msgspec.json.encode(messages.opened(room)))
    assert isinstance(heard, messages.Opened)
    assert heard.room == room


def test_a_message_that_is_none_is_impossible() -> None:
    with pytest.raises(Impossible):
        messages.read_heard(b'{"kind":"ticks","feed":"SOL/USD","at":1.5,"ticks":[]}')
