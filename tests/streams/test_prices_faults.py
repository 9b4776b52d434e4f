"""Workers are killed, logs are lost, partitions change hands: the same things follow, once."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from rooms.feed_log import OpenRoom
from rooms.units import Bps, UnixMs, Value
from sandbox.postgres import PostgresSettings
from storage.decisions import TargetsDiffer
from streams import messages
from streams.app import AppCrashed
from streams.prices import NoAppendTimeError
from streams.topics import TICKS, partition_of
from tests.kafka import Kafka
from tests.postgres import TEMPLATE
from tests.pricing import DOLLAR, FEED, Stage, a_room, eventually, now_ms, stage

HOUR_MS = 3_600_000
FACTS = """
    SELECT id, state, outcome, void_reason, target, base, watched_at, decided_at
    FROM rooms ORDER BY id
"""
SECONDS = """
    SELECT second_at, low, high, last, changes, silence, log_position, memory
    FROM feed_seconds ORDER BY second_at
"""


def base() -> int:
    """Return the beginning of a second, an hour ago."""
    return (now_ms() - HOUR_MS) // 1000 * 1000


@pytest_asyncio.fixture
async def place(dsn: str, redis_url: str, kafka: Kafka) -> AsyncIterator[Stage]:
    async with stage(dsn, redis_url, kafka) as made:
        yield made


@pytest_asyncio.fixture
async def other_place(
    postgres: PostgresSettings, redis_url: str, kafka: Kafka
) -> AsyncIterator[Stage]:
    """Another database on the same log."""
    admin = await asyncpg.connect(postgres.dsn())
    try:
        await admin.execute(f"CREATE DATABASE other_place TEMPLATE {TEMPLATE}")
        async with stage(
            postgres.dsn("other_place"), f"{redis_url.rpartition('/')[0]}/15", kafka
        ) as made:
            made.group = "another-group"
            yield made
        await admin.execute("DROP DATABASE other_place WITH (FORCE)")
    finally:
        await admin.close()


async def facts(place: Stage) -> dict[str, Any]:
    """Read everything that followed from the log into the database."""
    return {
        "rooms": await place.rows(FACTS),
        "seconds": await place.rows(SECONDS),
        "crossings": await place.rows("SELECT * FROM crossings ORDER BY room_id"),
        "told": await place.rows("SELECT topic, key, payload FROM outbox ORDER BY id"),
    }


def rooms(start: int) -> list[OpenRoom]:
    return [
        a_room(start, 1),
        a_room(start, 2, move_bps=Bps(5_000), deadline_at=UnixMs(start + 9_000)),
        a_room(start, 3, move_bps=None, target=Value(203 * DOLLAR)),
    ]


async def first_half(place: Stage, start: int) -> int:
    """Write the log until the middle of a second in the middle of the watches."""
    await place.say(start - 250, 200)
    for room in rooms(start):
        await place.open(room)
    last = 0
    for step in range(1, 19):
        last = await place.say(start + step * 250, 200 + step * 0.01)
    return last


async def second_half(place: Stage, start: int) -> int:
    last = 0
    for step in range(19, 45):
        at = start + step * 250
        last = await place.say(at, 200 + step * 0.1 if step % 3 else None)
    return last


async def test_a_worker_killed_in_mid_watch_and_a_replay_of_its_log_give_the_same_byte_for_byte(
    place: Stage, other_place: Stage
) -> None:
    start = base()
    for room in rooms(start):
        await place.room(room)
        await other_place.room(room)

    async with place.process() as worker:
        last = await first_half(place, start)
        await place.handled(last)
        assert (await place.room_row(1))["target"] is not None
        worker.kill()
        assert await worker.wait() < 0
    last = await second_half(place, start)
    async with place.worker():
        await place.handled(last)
        await place.stored(last - 4)
    told = [each async for each in place.told(FEED, await place.told_count())]

    async with other_place.worker():
        await other_place.handled(last)
        await other_place.stored(last - 4)
    replayed = [each async for each in place.told(FEED, await place.told_count())][len(told) :]

    assert await facts(place) == await facts(other_place)
    assert {row["outcome"] for row in (await facts(place))["rooms"]} == {"YES", "NO"}
    # What was told again after the kill has the position that it had: subscribers drop it.
    by_position = {messages.read_prices(each).position: each for each in told}
    assert list(by_position.values()) == replayed
    assert len(told) - len(by_position) <= 1


async def test_a_partition_that_changes_hands_loses_nothing_and_tells_nothing_twice(
    place: Stage,
) -> None:
    start = base()
    await place.room(a_room(start))
    async with place.worker():
        await place.handled(await place.say(start - 250, 200))
        for step in range(1, 14):
            last = await place.say(start + step * 250, 200 + step * 0.01)
        await place.handled(last)
        async with place.worker():
            for step in range(14, 20):
                last = await place.say(start + step * 250, 200 + step * 0.01)
            await place.handled(last)
        for step in range(20, 24):
            last = await place.say(start + step * 250, 200 + step * 0.01)
        await place.handled(last)
        await place.say(start + 6_000, 210)
        row = await place.decided(7)

    assert row["outcome"] == "YES"
    assert [each["kind"] for each in await place.events()] == [
        "room.locked",
        "watch.started",
        "room.decided",
    ]
    told = await place.prices(count=await place.told_count())
    positions = [each.position for each in told]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize("offsets_survive", [True, False])
async def test_a_log_that_began_anew_is_followed_from_its_first_message(
    place: Stage, kafka: Kafka, offsets_survive: bool
) -> None:
    start = base()
    await place.room(a_room(start))
    async with place.worker():
        for step in range(-1, 14):
            last = await place.say(start + step * 250, 200)
        await place.stored(last - 2)
        await eventually(place.committed)
    if offsets_survive:
        kafka.broker.parts.topics.lose()
    else:
        kafka.broker.lose()
    async with place.worker():
        await place.say(start + 4_000, 200)
        await place.say(start + 4_250, 203)
        row = await place.decided(7)

    assert (row["outcome"], row["decided_at"]) == ("YES", start + 4_250)


async def test_only_a_log_that_ended_a_minute_ago_lets_the_sweep_decide(place: Stage) -> None:
    start = base()
    await place.room(a_room(start))
    async with place.worker() as pricing:
        await place.handled(await place.say(start, 200))
        assert await pricing.void_where_logs_ended() == 0

        place.clock.ahead_ms += 61_000
        assert await pricing.void_where_logs_ended() == 1
        assert await pricing.void_where_logs_ended() == 0

    row = await place.room_row(7)
    assert (row["outcome"], row["void_reason"]) == ("VOID", "log_ended")
    assert row["decided_at"] == row["deadline_at"]


async def test_a_log_that_never_began_lets_the_sweep_decide_too(place: Stage) -> None:
    await place.room(a_room(base()))
    async with place.worker() as pricing:
        assert await pricing.void_where_logs_ended() == 1


async def test_two_logs_that_disagree_about_a_target_end_the_process(place: Stage) -> None:
    start = base()
    with pytest.raises(BaseExceptionGroup) as failed:
        async with place.worker():
            await place.handled(await place.say(start - 250, 200))
            room = a_room(start)
            await place.room(a_room(start, target=Value(1)))
            await place.open(room)
            await place.say(start + 3_000, 200)
            await place.say(start + 3_250, 201)
            await place.ended()

    assert _causes(failed.value) >= {AppCrashed, TargetsDiffer}
    assert (await place.room_row(7))["target"] == 1


async def test_a_room_that_opens_again_after_its_end_is_followed_no_more(place: Stage) -> None:
    start = base()
    room = a_room(start)
    await place.room(room)
    async with place.worker():
        await place.say(start - 250, 200)
        await place.open(room)
        for step in range(1, 14):
            await place.say(start + step * 250, 200)
        await place.say(start + 4_000, 203)
        await place.decided(7)
        # The relay sends at least once: it had died before it noted that it had sent.
        await place.open(room)
        last = await place.say(start + 4_500, 210)
        await place.say(start + 5_500, 240)
        await place.stored(last)

    assert (await place.room_row(7))["target"] == 202 * DOLLAR
    kinds = [each["kind"] for each in await place.events()]
    assert kinds == ["room.locked", "watch.started", "room.decided"]


async def test_a_topic_without_the_brokers_times_ends_the_process(
    place: Stage, kafka: Kafka
) -> None:
    topics = kafka.broker.parts.topics
    topics.delete(TICKS)
    topics.create(TICKS, kafka.partitions, {"message.timestamp.type": "CreateTime"})
    with pytest.raises(BaseExceptionGroup) as failed:
        async with place.worker():
            await place.say(base(), 200)
            await place.ended()

    assert _causes(failed.value) >= {AppCrashed, NoAppendTimeError}


def _causes(error: BaseException) -> set[type[BaseException]]:
    """Return the types of an error, of all within it, and of what caused them."""
    found = {type(error)}
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            found |= _causes(inner)
    if error.__cause__ is not None:
        found |= _causes(error.__cause__)
    return found


def test_the_feeds_of_the_catalogue_spread_over_partitions() -> None:
    pairs = itertools.product(("SOL/USD", "BTC/USD", "ETH/USD"), (1, 2, 8))
    assert all(0 <= partition_of(feed, partitions) < partitions for feed, partitions in pairs)
