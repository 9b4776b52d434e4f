"""Three workers on three brokers: whatever goes wrong, every room is decided once, as its log says.

Each test says what it injects and what it checks; the numbers are those of the list of faults in
`docs/testing.md`. Every one ends with the same judgement: all rooms decided, settled and paid, once
each; every bet answered; the ledger balanced to the lamport; events numbered without a gap.
"""

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
from rooms.units import UnixMs
from sandbox.kafka import Kafka
from storage.connections import Connections
from streams import messages
from streams.topics import create_topics
from tests.kafka.fleet import DEPOSIT, FEEDS, PARTITIONS, PEOPLE, Ending, Fleet, play_log
from tests.kafka.stallable import STALL_S
from tests.kafka.topics import delete_topics
from tests.place import Place

pytestmark = pytest.mark.kafka

WORKERS = ("worker-1", "worker-2", "worker-3")
ROOMS = 24
LEAD_MS = 3_000
LEAD_LONG_MS = 9_000
"""For as long as who tells each log of new rooms may stand still, or have no answer."""


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


async def inject(
    fleet: Fleet, trouble: Callable[[], Awaitable[None]], *, lead_ms: int = LEAD_MS
) -> None:
    """Let three workers decide rooms while something goes wrong, until all is paid."""
    await fleet.start(*WORKERS)
    async with fleet.world():
        await asyncio.sleep(2)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fleet.open_rooms(ROOMS, lead_ms=lead_ms))
            await asyncio.sleep(1)
            await trouble()


async def judge(fleet: Fleet, *, set_aside: int = 0) -> None:
    """Check what must hold whatever was injected."""
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
    assert await place.value("SELECT count(*) FROM set_aside") == set_aside

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


async def judge_by_the_log(fleet: Fleet) -> None:
    """Check every decision and every price told against a replay of the logs."""
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
    late = {room for each in played.values() for room in each.late}
    endings = {room: end for each in played.values() for room, end in each.endings.items()}
    assert {room: end for room, end in decided.items() if room not in late} == {
        room: end for room, end in endings.items() if room not in late
    }
    assert len(late) < ROOMS / 2

    async def all_told() -> bool:
        return await fleet.told_of() == {feed: each.told for feed, each in played.items()}

    await fleet.until(all_told)
    ended = {ending.outcome for ending in decided.values()}
    assert {"YES", "NO"} <= ended, "a test in which nothing crosses shows nothing"


async def test_workers_that_come_and_go_lose_no_room(fleet: Fleet) -> None:
    """Injects F13: a fourth worker joins and leaves, again and again, while bets and prices flow.

    Checks that what a rebalance hands over goes on exactly where it was.
    """

    async def come_and_go() -> None:
        for number in range(3):
            async with fleet.crew(f"guest-{number}"):
                await asyncio.sleep(1)

    await inject(fleet, come_and_go)
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_workers_killed_at_whatever_they_do_lose_no_room(fleet: Fleet) -> None:
    """Injects F14: one worker after another is killed with -9, and started again.

    Checks that what was committed but not acknowledged is neither lost nor done twice.
    """

    async def kill() -> None:
        for name in WORKERS:
            fleet.supervisor.kill(name)
            await asyncio.sleep(2)

    await inject(fleet, kill)
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_gaps_in_the_offsets_lose_no_message(fleet: Fleet) -> None:
    """Injects F15: every message is a transaction, whose marker takes an offset; workers killed.

    Checks that nothing behind a gap was acknowledged before it was done.
    """
    fleet.transactional = True

    async def kill() -> None:
        for name in WORKERS[:2]:
            fleet.supervisor.kill(name)
            await asyncio.sleep(3)

    await inject(fleet, kill)
    assert await fleet.has_gaps()
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_poison_is_set_aside_and_nothing_behind_it_is_lost(fleet: Fleet) -> None:
    """Injects F16: messages that can never be applied, in the log of every feed.

    Checks that each is set aside once with its reason, and that the rooms of the same logs are
    decided as those logs say without it.
    """
    beat = messages.write(messages.ticks(FEEDS[0], UnixMs(10**12), ()))
    ahead = messages.write(messages.ticks(FEEDS[0], UnixMs(9 * 10**12), ()))
    poison = [
        (feed, key, value)
        for feed in FEEDS
        for key, value in (
            (feed.encode(), b"not a message"),
            (feed.encode(), None),
            (None, beat),
            (b"no such feed", beat),
            (b"\xff", beat),
        )
    ]
    poison.append((FEEDS[0], FEEDS[0].encode(), ahead))

    async def spoil() -> None:
        for first in range(0, len(poison), 10):
            await fleet.spoil(poison[first : first + 10])
            await asyncio.sleep(0.5)

    await inject(fleet, spoil)
    await judge(fleet, set_aside=len(poison))
    assert all(await fleet.place.column("SELECT reason FROM set_aside"))
    await judge_by_the_log(fleet)


async def test_a_log_that_is_repeated_changes_nothing(fleet: Fleet) -> None:
    """Injects F17: all that the logs hold is written a second time behind their ends.

    Checks that ticks and rooms heard twice have the effects of one, and that time never goes back.
    """

    async def repeat() -> None:
        await asyncio.sleep(3)
        assert await fleet.repeat()

    await inject(fleet, repeat)
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_a_group_set_back_to_the_first_message_decides_nothing_again(fleet: Fleet) -> None:
    """Injects F17: all workers stop, what they have finished is forgotten, all start again.

    Checks that whoever reads the logs anew passes over what its rows say is done.
    """
    async with fleet.world():
        async with fleet.crew(*WORKERS):
            await fleet.open_rooms(ROOMS // 2, lead_ms=LEAD_MS)
            await asyncio.sleep(4)
        await fleet.forget_offsets()
        await fleet.start(*WORKERS)
        await fleet.open_rooms(ROOMS - ROOMS // 2, lead_ms=LEAD_MS)
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_a_broker_that_is_killed_takes_nothing_with_it(fleet: Fleet) -> None:
    """Injects F18: a broker is killed with -9, with the partitions and groups that it looks after.

    Checks that what it had answered for is on the others, and that workers outlive it.
    """

    async def kill() -> None:
        fleet.kafka.kill(0)
        await asyncio.sleep(6)
        await asyncio.to_thread(fleet.kafka.start, [0])

    await inject(fleet, kill, lead_ms=LEAD_LONG_MS)
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_a_broker_that_stands_still_is_done_without(fleet: Fleet) -> None:
    """Injects F18: a broker is stopped for longer than its session, and goes on.

    Checks that its partitions are led by others meanwhile, and what it says later harms nobody.
    """

    async def freeze() -> None:
        fleet.kafka.freeze(1)
        await asyncio.sleep(6)
        fleet.kafka.thaw(1)

    await inject(fleet, freeze, lead_ms=LEAD_LONG_MS)
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_a_worker_that_is_stopped_and_goes_on_harms_nobody(fleet: Fleet) -> None:
    """Injects F21: a worker is stopped for twice its session; then it goes on as if nothing was.

    Checks that what it still has in hand is refused, as others have decided it meanwhile.
    """

    async def freeze() -> None:
        fleet.freeze("worker-1")
        await asyncio.sleep(STALL_S)
        fleet.thaw("worker-1")

    await inject(fleet, freeze, lead_ms=LEAD_LONG_MS)
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_an_event_loop_that_is_stuck_loses_nothing(fleet: Fleet) -> None:
    """Injects F21: one call keeps a worker's loop for twice its session; its other threads go on.

    Checks that a worker that keeps its place in the group, and one that joins meanwhile, decide
    each room once.
    """

    async def stall() -> None:
        fleet.stall("worker-1")
        async with fleet.crew("guest"):
            await asyncio.sleep(STALL_S / 2)

    await inject(fleet, stall, lead_ms=LEAD_LONG_MS)
    await judge(fleet)
    await judge_by_the_log(fleet)


async def test_a_log_that_is_lost_loses_no_room(fleet: Fleet) -> None:
    """Injects F20: every topic is deleted and made again, under everybody's feet.

    Checks that rooms go on in the log that begins anew; what it says of them lies in two logs now.
    """

    async def lose() -> None:
        await delete_topics(fleet.kafka.bootstrap)
        await create_topics(fleet.kafka.bootstrap, partitions=PARTITIONS, replicas=3)

    await inject(fleet, lose)
    await judge(fleet)
