"""What was told reaches the broker in order, numbered without gaps, by one relay at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from rooms.event import Event, Kind
from rooms.units import UnixMs
from sandbox.broker.serve import BrokerSettings, running_broker
from storage import outbox
from storage.connections import Connections, transaction
from storage.outbox import Unsent
from streams.producer import KafkaProducer
from streams.relay import BrokerAwayError, Message, Patience, messages_of, relay, relay_batch
from streams.topics import create_topics
from tests.place import FEED, Place

AT = UnixMs(1_700_000_000_000)
HASTE = Patience(pause_first_s=0.01, pause_max_s=0.02, limit_s=0.3)


class Recorder:
    """A broker that keeps what it is sent, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[Message] = []
        self.failures = failures
        self.changed = asyncio.Condition()

    async def send_all(self, messages: Sequence[Message]) -> None:
        async with self.changed:
            if self.failures:
                self.failures -= 1
                raise BrokerAwayError("nobody answers")
            self.sent += messages
            self.changed.notify_all()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(self.sent) >= count)

    def numbers(self) -> list[int]:
        return [
            msgspec.json.decode(message.value)["number"]
            for message in self.sent
            if message.topic == "events"
        ]


@pytest.fixture
async def place(place: Place) -> Place:
    await place.person(1)
    await place.room(7)
    return place


async def tell(connections: Connections, *kinds: Kind) -> None:
    async with transaction(connections) as connection:
        await outbox.tell(connection, [Event(kind, AT, room=7) for kind in kinds])


@asynccontextmanager
async def relaying(dsn: str, producer: Recorder | KafkaProducer) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(relay(dsn, producer, patience=HASTE))
        yield
        task.cancel()


async def batch(place: Place, producer: Recorder) -> int:
    async with place.connections.acquire() as connection:
        return await relay_batch(connection, producer, HASTE)


async def test_an_event_is_numbered_sent_and_marked(place: Place) -> None:
    await tell(place.connections, Kind.ROOM_LOCKED, Kind.ROOM_PAID)
    broker = Recorder()
    assert await batch(place, broker) == 2
    assert await batch(place, broker) == 0
    first, second = broker.sent
    assert (first.topic, first.key) == ("events", b"7")
    assert msgspec.json.decode(first.value) == {
        "kind": "room.locked", "at": AT, "room": "7", "seq": 1, "number": 1,
    }  # fmt: skip
    assert msgspec.json.decode(second.value)["number"] == 2
    assert await place.column("SELECT number FROM outbox ORDER BY id") == [1, 2]
    assert await place.value("SELECT bool_and(sent_at IS NOT NULL) FROM outbox")


async def test_of_the_wake_ups_of_a_topic_one_is_sent(place: Place) -> None:
    async with transaction(place.connections) as connection:
        for topic in ("bets", "custody", "bets", "bets"):
            await outbox.wake(connection, topic)
        await outbox.to_log(connection, FEED, {"kind": "stopped", "room": "7"})
        await outbox.to_log(connection, FEED, {"kind": "stopped", "room": "8"})
    broker = Recorder()
    await batch(place, broker)
    assert [(each.topic, each.key) for each in broker.sent] == [
        ("bets", None), ("custody", None), ("ticks", FEED.encode()), ("ticks", FEED.encode()),
    ]  # fmt: skip
    assert [each.value for each in broker.sent[:2]] == [b"{}", b"{}"]
    assert await place.column("SELECT number FROM outbox") == [None] * 6


async def test_a_row_that_commits_late_is_numbered_after_those_that_were_there(
    place: Place,
) -> None:
    broker = Recorder()
    async with place.connections.acquire() as slow:
        began = slow.transaction()
        await began.start()
        await outbox.tell(slow, [Event(Kind.BET_LOST, AT, user=1)])
        await tell(place.connections, Kind.ROOM_LOCKED)
        await batch(place, broker)
        await began.commit()
    await batch(place, broker)
    assert await place.rows("SELECT payload ->> 'kind' AS kind, number FROM outbox ORDER BY 2") == [
        {"kind": "room.locked", "number": 1}, {"kind": "bet.lost", "number": 2},
    ]  # fmt: skip
    assert broker.numbers() == [1, 2]


async def test_numbers_have_no_gaps_whoever_tells_and_however_often_the_broker_is_away(
    place: Place,
    dsn: str,
) -> None:
    broker = Recorder(failures=5)

    async def talk() -> None:
        for number in range(20):
            if number % 4 == 3:
                with pytest.raises(ZeroDivisionError):
                    async with transaction(place.connections) as connection:
                        await outbox.tell(connection, [Event(Kind.BET_LOST, AT, user=1)])
                        raise ZeroDivisionError
            await tell(place.connections, Kind.ROOM_LOCKED)

    async with relaying(dsn, broker), asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(talk())
        await broker.until(100)
    assert broker.numbers() == list(range(1, 101))


async def test_readers_of_events_are_rung_when_there_are_numbers(place: Place, dsn: str) -> None:
    listening = await asyncpg.connect(dsn)
    try:
        heard: asyncio.Queue[object] = asyncio.Queue()
        await listening.add_listener("events", lambda *_: heard.put_nowait(None))
        await tell(place.connections, Kind.ROOM_LOCKED)
        with pytest.raises(BrokerAwayError):
            await batch(place, Recorder(failures=1_000))
        async with asyncio.timeout(5):
            await heard.get()
        # The broker is away, and people are told all the same.
        assert await listening.fetchval("SELECT max(number) FROM outbox") == 1
    finally:
        await listening.close()


async def test_what_the_broker_did_not_answer_for_is_sent_again_under_its_number(
    place: Place,
) -> None:
    await tell(place.connections, Kind.ROOM_LOCKED)
    broker = Recorder(failures=1_000)
    with pytest.raises(BrokerAwayError):
        await batch(place, broker)
    assert await place.column("SELECT sent_at FROM outbox") == [None]
    broker.failures = 0
    await tell(place.connections, Kind.ROOM_PAID)
    await batch(place, broker)
    assert broker.numbers() == [1, 2]


async def test_a_broker_that_stays_away_ends_the_process(place: Place, dsn: str) -> None:
    await tell(place.connections, Kind.ROOM_LOCKED)
    async with asyncio.timeout(10):
        with pytest.raises(BrokerAwayError, match="nobody answers"):
            await relay(dsn, Recorder(failures=1_000), patience=HASTE)


async def test_one_relay_leads_and_another_takes_over(place: Place, dsn: str) -> None:
    first, second = Recorder(), Recorder()
    second.changed = first.changed
    async with relaying(dsn, second):
        async with relaying(dsn, first):
            # Whoever leads, one of them sends all.
            await tell(place.connections, Kind.ROOM_LOCKED)
            async with asyncio.timeout(10), first.changed:
                await first.changed.wait_for(lambda: first.sent or second.sent)
            assert not (first.sent and second.sent)
        await tell(place.connections, Kind.ROOM_PAID)
        async with asyncio.timeout(10), first.changed:
            await first.changed.wait_for(lambda: 2 in second.numbers())
    # What the first had sent and not yet marked, the second sends again under its number.
    assert set(first.numbers() + second.numbers()) == {1, 2}


async def test_a_relay_whose_connection_is_killed_leads_anew(place: Place, dsn: str) -> None:
    broker = Recorder()
    async with relaying(dsn, broker):
        await tell(place.connections, Kind.ROOM_LOCKED)
        await broker.until(1)
        await place.do(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        await tell(place.connections, Kind.ROOM_PAID)
        # What was sent and not yet marked is sent once more, under the same number.
        async with asyncio.timeout(10), broker.changed:
            await broker.changed.wait_for(lambda: 2 in broker.numbers())
    assert broker.numbers() in ([1, 2], [1, 1, 2])


def row(number: int, topic: str, key: str = "", public: int | None = None) -> Unsent:
    return Unsent(number, topic, key, {}, public)


def test_wake_ups_are_put_together_and_all_else_keeps_its_order() -> None:
    rows = [row(1, "bets"), row(2, "events", "7", 1), row(3, "bets"), row(4, "ticks", "f"),
            row(5, "custody"), row(6, "ticks", "f")]  # fmt: skip
    assert [(each.topic, each.key) for each in messages_of(rows)] == [
        ("bets", None), ("events", b"7"), ("ticks", b"f"), ("custody", None), ("ticks", b"f"),
    ]  # fmt: skip


@asynccontextmanager
async def reading(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        "events", "ticks", "bets", bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def sending(bootstrap: str, answer_limit_s: float = 5.0) -> AsyncIterator[KafkaProducer]:
    producer = KafkaProducer(bootstrap, name="relay", answer_limit_s=answer_limit_s)
    try:
        yield producer
    finally:
        await producer.close()


async def test_through_a_broker_everything_arrives_in_the_order_of_its_key(
    place: Place, dsn: str, tmp_path: Path
) -> None:
    async with running_broker(BrokerSettings(data_dir=tmp_path)) as broker:
        bootstrap = f"127.0.0.1:{broker.port}"
        await create_topics(bootstrap, partitions=2)
        async with (
            sending(bootstrap) as producer,
            relaying(dsn, producer),
            reading(bootstrap) as consumer,
        ):
            for room in range(30):
                async with transaction(place.connections) as connection:
                    await outbox.tell(connection, [Event(Kind.ROOM_LOCKED, AT, room=7)])
                    await outbox.to_log(connection, FEED, {"kind": "stopped", "room": str(room)})
                    await outbox.wake(connection, "bets")
            heard: dict[str, list[Any]] = {"events": [], "ticks": [], "bets": []}
            async with asyncio.timeout(20):
                while len(heard["events"]) < 30 or len(heard["ticks"]) < 30 or not heard["bets"]:
                    record = await consumer.getone()
                    heard[record.topic].append(msgspec.json.decode(record.value or b""))
    assert [each["number"] for each in heard["events"]] == list(range(1, 31))
    assert [each["room"] for each in heard["ticks"]] == [str(room) for room in range(30)]
    assert heard["bets"][0] == {}


async def test_a_broker_that_comes_back_gets_what_it_missed(place: Place, tmp_path: Path) -> None:
    async with running_broker(BrokerSettings(data_dir=tmp_path)) as broker:
        port = broker.port
        await create_topics(f"127.0.0.1:{port}", partitions=1)
    bootstrap = f"127.0.0.1:{port}"
    async with sending(bootstrap, 1.0) as producer:
        with pytest.raises(BrokerAwayError):
            await producer.send_all([Message("events", b"7", b"{}")])
        async with running_broker(BrokerSettings(data_dir=tmp_path, port=port)):
            await producer.send_all([Message("events", b"7", b'{"number":1}')])
            async with reading(bootstrap) as consumer, asyncio.timeout(10):
                assert (await consumer.getone()).value == b'{"number":1}'


async def test_a_broker_that_is_frozen_is_away_within_the_limit(tmp_path: Path) -> None:
    async with running_broker(BrokerSettings(data_dir=tmp_path)) as broker:
        bootstrap = f"127.0.0.1:{broker.port}"
        await create_topics(bootstrap, partitions=1)
        async with sending(bootstrap, 0.5) as producer:
            await producer.send_all([Message("events", b"7", b"{}")])
            broker.faults.freeze()
            async with asyncio.timeout(10):
                with pytest.raises(BrokerAwayError):
                    await producer.send_all([Message("events", b"7", b"{}")])
            broker.faults.thaw()
            await producer.send_all([Message("events", b"7", b"{}")])
