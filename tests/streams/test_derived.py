"""Derived feeds on a real broker: inputs meet, rooms are decided, nothing is lost."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from rooms.catalogue import CATALOGUE
from rooms.derived import derived_feed
from rooms.derived_log import DerivedLog, log_of
from rooms.expression.form import formula
from rooms.feed import Feed
from rooms.feed_log import Told
from rooms.index_price import IndexPrice
from rooms.room import Comparator
from rooms.units import UnixMs, Value
from storage import crossings, derivations, feeds
from streams import messages
from streams.topics import TICKS, partition_of
from tests.kafka import Kafka
from tests.pricing import DOLLAR, LIMIT_S, Stage, a_room, now_ms, stage

SOL, ETH = "SOL/USD", "ETH/USD"
HOUR_MS = 3_600_000


@pytest_asyncio.fixture
async def place(dsn: str, redis_url: str, kafka: Kafka) -> AsyncIterator[Stage]:
    async with stage(dsn, redis_url, kafka) as made:
        made.feeds = [SOL, ETH]
        await made.prepare()
        yield made


async def define(place: Stage, text: str) -> Feed:
    """Write a derived feed down, as the bot does."""
    feed = derived_feed(formula(text), CATALOGUE)
    async with place.connections.acquire() as connection:
        await derivations.define(connection, feed)
        await derivations.define(connection, feed)
    return feed


async def say(place: Stage, at: int, sol: float, eth: float) -> int:
    """Let both feeds say a price; the second says it a little later."""
    await place.say(at, sol, feed=SOL)
    return await place.say(at + 20, eth, feed=ETH)


async def told(place: Stage, feed: str, value: int) -> list[messages.Prices]:
    """Read what was told of a feed until it is ``value``."""
    found: list[messages.Prices] = []
    async for payload in place.told(feed, 10_000):
        message = messages.read_prices(payload)
        if found and message.position <= found[-1].position:
            continue  # A repeat, as its position says.
        found.append(message)
        if any(isinstance(e, messages.Price) and e.value == value for e in found[-1].told):
            return found
    raise AssertionError("the log does not end")


def values(told: list[messages.Prices]) -> list[tuple[int, int | str]]:
    return [
        (each.at, each.value if isinstance(each, messages.Price) else each.reason.value)
        for message in told
        for each in message.told
    ]


async def log_of_feed(place: Stage, feed: Feed) -> list[messages.Inputs]:
    """Read the whole log of a derived feed."""
    partition = TopicPartition(TICKS, partition_of(feed.name, place.partitions))
    found: list[messages.Inputs] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=place.bootstrap)
    await consumer.start()
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        end = (await place.ends.ends([(TICKS, partition.partition)]))[TICKS, partition.partition]
        async with asyncio.timeout(LIMIT_S):
            while await consumer.position(partition) < end:
                message = await consumer.getone()
                if message.key == feed.name.encode():
                    heard = messages.read_heard(message.value)
                    if isinstance(heard, messages.Inputs):
                        found.append(heard)
    finally:
        await consumer.stop()
    return found


def replayed(feed: Feed, heard: list[messages.Inputs]) -> list[tuple[int, int | str]]:
    """Return what the pure log tells of these messages."""
    log = log_of(feed)
    assert isinstance(log, DerivedLog)
    effects = [effect for each in heard for effect in log.hear_given(each.told())]
    return [
        (each.price.at, each.price.value)
        if isinstance(each.price, IndexPrice)
        else (each.price.at, each.price.reason.value)
        for each in effects
        if isinstance(each, Told)
    ]


async def test_a_room_on_a_ratio_is_decided_with_the_evidence_of_both_inputs(place: Stage) -> None:
    start = (now_ms() - HOUR_MS) // 1000 * 1000
    feed = await define(place, "price(SOL) / price(ETH)")
    room = a_room(start)
    async with place.worker():
        await place.room(room, feed=feed.name)
        for step in range(-2, 8):
            await say(place, start + step * 500, 200, 4_000)
        await say(place, start + 4_000, 202, 4_000)
        await say(place, start + 4_250, 202.1, 4_000)
        await say(place, start + 4_500, 202.1, 4_000)
        row = await place.decided(7)
        # Live, what holds is known: both inputs agree.
        live = await place.live.price_of(feed.name)
    assert (row["outcome"], row["base"], row["target"]) == ("YES", 50_000_000, 50_500_000)
    assert row["decided_at"] == start + 4_000
    assert live is not None
    assert (live.agreeing, live.known, live.quorum) == (2, 2, 2)
    async with place.connections.acquire() as connection:
        crossing = await crossings.of(connection, 7)
    assert crossing is not None
    assert [(each.feed, each.price.value) for each in crossing.price.inputs] == [
        (ETH, 4_000 * DOLLAR),
        (SOL, 202 * DOLLAR),
    ]
    assert all(len(each.price.ticks) == 3 for each in crossing.price.inputs)
    assert crossing.before is not None
    assert crossing.before.value == 50_000_000


async def test_a_condition_that_looks_back_is_decided(place: Stage) -> None:
    start = (now_ms() - HOUR_MS) // 60_000 * 60_000
    async with place.worker():
        # Two minutes that nobody looks back at yet: they are stored.
        for second in range(125):
            last = await place.say(start + second * 1_000, 200 + second / 1_000, feed=SOL)
        await place.stored(last - 3, SOL)
        feed = await define(place, "price(SOL) > 100 and change(SOL, 1m) >= 1%")
        now = start + 125_000
        room = a_room(now, comparator=Comparator.UP, move_bps=None, target=Value(1))
        await place.room(room, feed=feed.name)
        for step in range(40):
            await place.say(now + step * 250, 200.1, feed=SOL)
            await asyncio.sleep(0.06)  # The worker learns of it within a second.
        # A minute ago it was some 200.08: 1 % more is some 202.08.
        await place.say(now + 10_250, 202.0, feed=SOL)
        await place.say(now + 10_500, 202.2, feed=SOL)
        row = await place.decided(7)
        assert (row["outcome"], row["decided_at"]) == ("YES", now + 10_500)
        async with place.connections.acquire() as connection:
            crossing = await crossings.of(connection, 7)
    assert crossing is not None
    (one,) = crossing.price.inputs
    assert one.looks[0].then is not None
    assert 200.07 * DOLLAR < one.looks[0].then < 200.09 * DOLLAR


async def test_a_worker_that_takes_over_loses_nothing_and_tells_nothing_twice(place: Stage) -> None:
    start = (now_ms() - HOUR_MS) // 1000 * 1000
    feed = await define(place, "price(SOL) / price(ETH)")
    for part in range(3):
        async with place.worker():
            for step in range(12):
                at = start + part * 3_600 + step * 300
                await say(place, at, 200 + (part * 12 + step) / 10, 4_000)
            value = (2_000 + part * 12 + 11) * 10**9 // 40_000
            await place.say(at + 250, 200 + (part * 12 + step) / 10, feed=SOL)
            await told(place, feed.name, value)
    found = values(await told(place, feed.name, value))
    prices = [value for _, value in found if isinstance(value, int)]
    assert prices == [(2_000 + n) * 10**9 // 40_000 for n in range(36)]
    # Whoever reads the log again is told the same.
    again = replayed(feed, await log_of_feed(place, feed))
    assert again[-len(found) :] == found


async def test_what_cannot_be_in_its_log_is_set_aside(place: Stage) -> None:
    start = (now_ms() - HOUR_MS) // 1000 * 1000
    feed = await define(place, "price(SOL) / price(ETH)")
    word = messages.inputs(feed.name, "BTC/USD", 1, UnixMs(start), [(UnixMs(start), None, ())])
    plain = msgspec.to_builtins(word)
    wrong = [
        (feed.name, messages.write(messages.ticks(feed.name, UnixMs(start), []))),
        (feed.name, messages.write(word)),
        (SOL, msgspec.json.encode({**plain, "feed": SOL})),
        (feed.name, msgspec.json.encode({**plain, "input": SOL, "words": [[start + 1, None, []]]})),
        (feed.name, msgspec.json.encode({**plain, "input": SOL, "at": start + 10 * HOUR_MS})),
    ]
    async with place.worker():
        for key, payload in wrong:
            await place.write(payload, feed=key)
        await say(place, start, 200, 4_000)
        await say(place, start + 250, 200, 4_000)
        await told(place, feed.name, 50_000_000)
    assert await place.value("SELECT count(*) FROM set_aside") == len(wrong)


async def test_a_derived_feed_is_wanted_with_its_inputs_and_never_changes(place: Stage) -> None:
    made = derived_feed(formula("price(SOL) / price(ETH)"), CATALOGUE)
    await place.connections.execute("UPDATE feeds SET standing = false")
    async with place.connections.acquire() as connection:
        assert await feeds.wanted(connection) == []
        await derivations.define(connection, made)
        assert {each.name for each in await feeds.wanted(connection)} == {SOL, ETH}
        assert await derivations.wanted(connection) == {made.name: made}
        with pytest.raises(Exception, match="never made into another"):
            await connection.execute("UPDATE feeds SET inputs = '{}' WHERE name = $1", made.name)
        for changed in ('{"SOL/USD": 7}', '{"NO/USD": 8}', f'{{"{made.name}": 9}}'):
            with pytest.raises(Exception, match="no plain feed"):
                await connection.execute(
                    "SELECT define_expression('x', $1, '', 9, 1, '{}', NULL, 9)",
                    msgspec.json.decode(changed),
                )
        await connection.execute("UPDATE feeds SET drafted_at = 0")
        assert await derivations.wanted(connection) == {}
