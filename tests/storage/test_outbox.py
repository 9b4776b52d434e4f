"""What is told is written with its fact; events of a room count themselves."""

import asyncio

import asyncpg
import pytest

from rooms.event import Event, Kind
from rooms.units import UnixMs
from storage import outbox
from storage.connections import Connections, transaction
from storage.flags import Flag, change, is_open
from storage.set_aside import is_set_aside, set_aside
from tests.place import Place, made

AT = UnixMs(1_700_000_000_000)


@pytest.fixture
async def place(connections: Connections) -> Place:
    place = await made(connections)
    await place.person(1)
    await place.room(7)
    await place.room(8)
    return place


async def tell(place: Place, *events: Event) -> None:
    async with transaction(place.connections) as connection:
        await outbox.tell(connection, events)


async def test_an_event_says_what_everybody_must_know(place: Place) -> None:
    await tell(
        place,
        Event(Kind.ROOM_LOCKED, AT, room=7),
        Event(Kind.BET_LOST, AT, room=7, user=1, facts={"staked": "5"}),
        Event(Kind.DEPOSIT_POSTED, AT, user=1, facts={"lamports": "5"}),
    )
    assert await place.told() == [
        {"kind": "room.locked", "at": AT, "room": "7", "seq": 1},
        {"kind": "bet.lost", "at": AT, "room": "7", "user": 1, "staked": "5"},
        {"kind": "deposit.posted", "at": AT, "user": 1, "lamports": "5"},
    ]
    assert await place.column("SELECT key FROM outbox ORDER BY id") == ["7", "7", "1"]


async def test_the_events_of_a_room_are_numbered_without_gaps(place: Place) -> None:
    async def lock(room: int) -> None:
        await tell(
            place,
            Event(Kind.ROOM_LOCKED, AT, room=room),
            Event(Kind.ROOM_PAID, AT, room=15 - room),
            Event(Kind.ROOM_PAID, AT, room=room),
        )

    async with asyncio.TaskGroup() as tasks:
        for number in range(30):
            tasks.create_task(lock(7 + number % 2))

    for room in ("7", "8"):
        told = [each["seq"] for each in await place.told() if each["room"] == room]
        assert sorted(told) == list(range(1, 46))
    assert await place.column("SELECT event_count FROM rooms ORDER BY id") == [45, 45]


async def test_a_fact_that_is_not_committed_is_not_told(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction(place.connections) as connection:
            await outbox.tell(connection, [Event(Kind.ROOM_LOCKED, AT, room=7)])
            await outbox.wake(connection, "bets")
            raise ZeroDivisionError
    assert await place.value("SELECT count(*) FROM outbox") == 0


async def test_the_bell_rings_once_a_transaction_is_committed(place: Place, dsn: str) -> None:
    listening = await asyncpg.connect(dsn)
    try:
        heard: asyncio.Queue[object] = asyncio.Queue()
        await listening.add_listener("outbox", lambda *_: heard.put_nowait(None))
        async with transaction(place.connections) as connection:
            await outbox.wake(connection, "bets")
            await outbox.to_log(connection, "SOL/USD", {"kind": "stopped", "room": "7"})
        async with asyncio.timeout(5):
            await heard.get()
        assert heard.empty()
    finally:
        await listening.close()
    assert await place.rows("SELECT topic, key, payload FROM outbox ORDER BY id") == [
        {"topic": "bets", "key": "", "payload": {}},
        {"topic": "ticks", "key": "SOL/USD", "payload": {"kind": "stopped", "room": "7"}},
    ]


async def test_what_is_set_aside_is_kept_once_with_its_first_reason(place: Place) -> None:
    async with transaction(place.connections) as connection:
        await set_aside(connection, "ticks/0/5", "{", "not JSON")
        await set_aside(connection, "ticks/0/5", "{", "again")
        assert await is_set_aside(connection, "ticks/0/5")
        assert not await is_set_aside(connection, "ticks/0/6")
    assert await place.column("SELECT reason FROM set_aside") == ["not JSON"]


@pytest.mark.parametrize(
    ("closed", "bets_open"),
    [([], True), ([Flag.BETS], False), ([Flag.ALL], False), ([Flag.ROOMS], True)],
)
async def test_a_flag_is_open_when_it_and_the_one_for_all_are(
    place: Place, closed: list[Flag], *, bets_open: bool
) -> None:
    async with transaction(place.connections) as connection:
        for flag in closed:
            await change(connection, flag, open=False, reason="test")
    async with transaction(place.connections) as connection:
        assert await is_open(connection, Flag.BETS) is bets_open


@pytest.mark.parametrize("missing", ["bets", "all"])
async def test_a_flag_that_is_missing_is_closed(place: Place, missing: str) -> None:
    await place.do("DELETE FROM flags WHERE name = $1", missing)
    async with transaction(place.connections) as connection:
        assert not await is_open(connection, Flag.BETS)
