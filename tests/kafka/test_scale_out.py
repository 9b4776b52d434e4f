"""Three workers on three brokers: whatever is lost, every room is decided once, as its log says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cli.settings import read_settings_from
from cli.supervisor import Supervisor
from rooms import ledger
from rooms.ledger import HOUSE
from sandbox.kafka import Kafka
from storage.connections import Connections
from streams.topics import create_topics
from tests.kafka.fleet import (
    DEPOSIT,
    FEEDS,
    PARTITIONS,
    PEOPLE,
    Ending,
    Fleet,
    play_log,
)
from tests.kafka.topics import delete_topics
from tests.place import Place

pytestmark = pytest.mark.kafka

WORKERS = ("worker-1", "worker-2", "worker-3")
ROOMS = 40
OPEN_EVERY_S = 0.2


@pytest_asyncio.fixture
async def fleet(
    dsn: str, redis_url: str, connections: Connections, three_brokers: Kafka, tmp_path: Path
) -> AsyncIterator[Fleet]:
    environment = {
        "ROOMS_PROFILE": "embedded",
        "ROOMS_DATABASE_URL": dsn,
        "ROOMS_REDIS_URL": redis_url,
        "ROOMS_KAFKA": three_brokers.bootstrap,
        "ROOMS_KAFKA_PARTITIONS": str(PARTITIONS),
        "ROOMS_KAFKA_REPLICAS": "3",
        "ROOMS_STAKES_PER_SECOND": "1000",
        "ROOMS_LANDING_MS": "100",
        "ROOMS_LOG_FORMAT": "json",
    }
    async with Supervisor(lambda *_: None).running() as supervisor:
        fleet = Fleet(
            kafka=three_brokers,
            settings=read_settings_from(environment),
            connections=connections,
            place=Place(connections),
            supervisor=supervisor,
            environment=environment,
            log=tmp_path / "log",
        )
        await fleet.prepare()
        yield fleet
    await delete_topics(three_brokers.bootstrap)


async def traffic(
    fleet: Fleet, trouble: Callable[[Fleet], Awaitable[None]], *, lead_ms: int = 3_000
) -> None:
    """Let rooms be opened, bet on and decided while something goes wrong, until all are paid."""

    async def opening() -> None:
        for _ in range(ROOMS):
            await fleet.open_room(lead_ms=lead_ms, watched_ms=fleet.random.randrange(2_000, 6_000))
            await asyncio.sleep(OPEN_EVERY_S)

    async with asyncio.TaskGroup() as tasks:
        forever = [tasks.create_task(fleet.market(feed)) for feed in FEEDS]
        forever.append(tasks.create_task(fleet.chain()))
        forever.append(tasks.create_task(fleet.crowd()))
        opened = tasks.create_task(opening())
        await asyncio.sleep(3)
        await trouble(fleet)
        await opened
        await fleet.until(fleet.all_paid)
        forever.pop().cancel()
        await fleet.until(lambda: _all_bets_answered(fleet))
        await fleet.until(fleet.all_paid)
        for task in forever:
            task.cancel()


async def _all_bets_answered(fleet: Fleet) -> bool:
    return not await fleet.place.value("SELECT count(*) FROM bet_requests WHERE done_at IS NULL")


async def judge(fleet: Fleet) -> None:
    """Check what must hold whatever was lost."""
    place = fleet.place
    count = await place.value("SELECT count(*) FROM rooms")
    assert count == ROOMS
    for kind in ("room.decided", "room.settled", "room.paid"):
        told = [each["room"] for each in await place.told(kind)]
        assert len(told) == len(set(told)) == ROOMS, kind
    locked = [each["room"] for each in await place.told("room.locked")]
    assert len(locked) == len(set(locked))
    assert await place.value("SELECT count(*) FROM settlements") == ROOMS
    crossed = await place.column("SELECT room_id FROM crossings ORDER BY 1")
    yes = [int(each["room"]) for each in await place.told("room.decided") if _is_yes(each)]
    assert crossed == sorted(yes)
    assert await place.rows("SELECT * FROM set_aside") == []

    await place.books_agree()
    assert not await place.value("SELECT count(*) FROM stakes WHERE state <> 'LANDED'")
    total = await place.value(
        "SELECT sum(balance) FROM accounts WHERE name LIKE 'available:%' OR name LIKE 'earned:%'"
    )
    assert total + await place.balance(HOUSE) == DEPOSIT * len(PEOPLE)
    for room in range(1, ROOMS + 1):
        assert await place.balance(ledger.pool(room)) == 0
        assert await place.balance(ledger.due(room)) == 0

    async def all_numbered() -> bool:
        unsent = "SELECT count(*) FROM outbox WHERE topic = 'events' AND number IS NULL"
        return not await place.value(unsent)

    await fleet.until(all_numbered)
    numbers = await place.column("SELECT number FROM outbox WHERE topic = 'events' ORDER BY 1")
    assert numbers == list(range(1, len(numbers) + 1))


def _is_yes(decided: Mapping[str, Any]) -> bool:
    return bool(decided["outcome"] == "YES")


async def as_the_log_says(fleet: Fleet) -> dict[str, int]:
    """Check every decision and every price told against a replay; return how rooms ended."""
    rows = {row["id"]: row for row in await fleet.place.rows("SELECT * FROM rooms")}
    decided = {
        int(told["room"]): Ending(
            told["outcome"], told.get("reason"), told["at"], row["target"], row["base"],
            row["watched_at"],
        )
        for told in await fleet.place.told("room.decided")
        for row in [rows[int(told["room"])]]
    }  # fmt: skip
    played = {feed: play_log(feed, log) for feed, log in (await fleet.log_of()).items()}
    endings = {room: ending for ended, _ in played.values() for room, ending in ended.items()}
    assert decided == endings

    async def all_told() -> bool:
        return await fleet.told_of() == {feed: told for feed, (_, told) in played.items()}

    await fleet.until(all_told)
    return {
        outcome: sum(ending.outcome == outcome for ending in endings.values())
        for outcome in ("YES", "NO", "VOID")
    }


async def workers_come_and_go(fleet: Fleet) -> None:
    """F13: rebalances while bets and crossings flow."""
    for number in range(3):
        async with fleet.guest(f"guest-{number}"):
            await asyncio.sleep(2)
        await asyncio.sleep(1)


async def a_worker_is_killed(fleet: Fleet) -> None:
    """F14: at whatever it does just then; it is started again, and another follows."""
    fleet.supervisor.kill("worker-2")
    await asyncio.sleep(5)
    fleet.supervisor.kill("worker-3")


async def a_worker_stands_still(fleet: Fleet) -> None:
    """F21: longer than its session; then it goes on in the belief that nothing has happened."""
    fleet.freeze("worker-1")
    await asyncio.sleep(10)
    fleet.thaw("worker-1")


async def a_broker_is_killed(fleet: Fleet) -> None:
    """F18: with the partitions that it leads and the groups that it looks after."""
    fleet.kafka.kill(0)
    await asyncio.sleep(8)
    await asyncio.to_thread(fleet.kafka.start, [0])


@pytest.mark.parametrize(
    ("trouble", "lead_ms"),
    [
        (workers_come_and_go, 3_000),
        (a_worker_is_killed, 3_000),
        # The one that stands still may be the one that tells each log of new rooms.
        (a_worker_stands_still, 13_000),
        (a_broker_is_killed, 3_000),
    ],
)
async def test_every_room_is_decided_once_as_its_log_says_when(
    fleet: Fleet, trouble: Callable[[Fleet], Awaitable[None]], lead_ms: int
) -> None:
    await fleet.start(*WORKERS)
    await traffic(fleet, trouble, lead_ms=lead_ms)
    await judge(fleet)
    endings = await as_the_log_says(fleet)
    assert endings["YES"]
    assert endings["NO"]


async def the_log_is_lost(fleet: Fleet) -> None:
    """F20: every topic is deleted and made again, under everybody's feet."""
    await delete_topics(fleet.kafka.bootstrap)
    await create_topics(fleet.kafka.bootstrap, partitions=PARTITIONS, replicas=3)


async def test_a_lost_log_loses_no_room(fleet: Fleet) -> None:
    await fleet.start(*WORKERS)
    await traffic(fleet, the_log_is_lost)
    await judge(fleet)
