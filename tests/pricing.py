"""Pricing for tests: the prices stage at work on a real broker, database and Valkey.

Holds     a worker in this loop, or as a process that can be killed; the shortest way to write a
          feed's log and to read what followed from it.
Why       a log's time may lie in the past of the broker's, so minutes of a log pass in no time.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from rooms.catalogue import CATALOGUE
from rooms.feed import Guards
from rooms.feed_log import OpenRoom
from rooms.room import Comparator
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value
from storage import feeds
from storage.connections import Connections, open_connections
from storage.live import Live, open_live
from streams import messages
from streams.app import build_app, run_app
from streams.log_ends import LogEnds, open_log_ends
from streams.prices import PriceDeps, Pricing, attach_prices
from streams.producer import open_producer
from streams.topics import PRICES, TICKS, partition_of
from tests.kafka import Clock, Place

FEED = "SOL/USD"
SCALE = 8
DOLLAR = 10**SCALE
SOURCES = ("binance", "coinbase", "kraken")
LIMIT_S = 15.0


def now_ms() -> UnixMs:
    return UnixMs(time.time_ns() // 1_000_000)


async def eventually(told: Callable[[], Awaitable[Any]], limit_s: float = LIMIT_S) -> Any:  # noqa: ANN401 - whatever was told
    """Ask until the answer is true, and return it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + limit_s
    answer = await told()
    while not answer and loop.time() < until:
        await asyncio.sleep(0.02)
        answer = await told()
    assert answer, "it did not come about"
    return answer


def ticks_at(
    at: int, dollars: float | int, sequence: int, sources: Sequence[str] = SOURCES
) -> list[Tick]:
    """Make a tick of each source, all of the same value."""
    value = Value(round(dollars * DOLLAR))
    return [Tick(source, sequence, value, UnixMs(at), UnixMs(at)) for source in sources]


@dataclass
class Stage:
    """Everything that the prices stage works with."""

    connections: Connections
    live: Live
    producer: AIOKafkaProducer
    ends: LogEnds
    bootstrap: str
    partitions: int
    dsn: str
    redis_url: str
    clock: Clock
    group: str = "rooms-worker"
    sequence: int = 0
    running: "asyncio.Task[None] | None" = None
    feeds: list[str] = field(default_factory=lambda: [FEED])

    async def prepare(self) -> None:
        """Write the feeds and one person down."""
        async with self.connections.acquire() as connection:
            for feed in self.feeds:
                await feeds.upsert(connection, CATALOGUE[feed], standing=True)
            await connection.execute(
                "INSERT INTO users (id, chat_id, name) VALUES (1, 1, 'p') ON CONFLICT DO NOTHING"
            )

    async def room(self, room: OpenRoom, *, feed: str = FEED, state: str = "OPEN") -> None:
        """Write an open room down; its log does not hear of it by this."""
        await self.connections.execute(
            """
            INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, target, opened_at,
                lock_at, cut_at, watch_at, deadline_at, target_wait_ms, gap_ms_max,
                protocol_fee_bps, host_fee_bps, stake_lamports_min, stake_lamports_max,
                volatility_bps, guards, state, held_ms)
            VALUES ($1, 1, $2, 8, $3, $4, $5, $6::bigint, $7::bigint, ($7::bigint + $8::bigint) / 2,
                $8::bigint, $9, $10, $11, 200, 100, 1, 10, 9000, $12, $13, $14)
            """,
            room.id, feed, room.comparator, room.move_bps, room.target, room.opened_at,
            room.lock_at, room.watch_at, room.deadline_at, room.target_wait_ms, room.gap_ms_max,
            feeds.guards_to_json(Guards()), state, room.held_ms,
        )  # fmt: skip

    async def say(self, at: int, dollars: float | int | None = None, *, feed: str = FEED) -> int:
        """Write one message to a feed's log: the same price from each source, or a beat."""
        self.sequence += 1
        ticks = [] if dollars is None else ticks_at(at, dollars, self.sequence)
        return await self.write(messages.write(messages.ticks(feed, UnixMs(at), ticks)), feed=feed)

    async def open(self, room: OpenRoom, *, feed: str = FEED) -> int:
        """Write to a feed's log that a room opens."""
        return await self.write(msgspec.json.encode(messages.opened(room)), feed=feed)

    async def write(self, payload: bytes | None, *, feed: str | None = FEED) -> int:
        """Write bytes to a feed's log and return their offset."""
        key = None if feed is None else feed.encode()
        partition = partition_of(feed or FEED, self.partitions)
        sent = await self.producer.send_and_wait(TICKS, payload, key=key, partition=partition)
        offset: int = sent.offset
        return offset

    async def prices(self, feed: str = FEED, count: int = 1) -> list[messages.Prices]:
        """Read the first ``count`` messages told about a feed."""
        return [messages.read_prices(each) async for each in self.told(feed, count)]

    async def told(self, feed: str, count: int) -> AsyncIterator[bytes]:
        partition = TopicPartition(PRICES, partition_of(feed, self.partitions))
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await consumer.start()
        try:
            consumer.assign([partition])
            consumer.seek(partition, 0)
            async with asyncio.timeout(LIMIT_S):
                while count:
                    message = await consumer.getone()
                    if message.key == feed.encode():
                        assert message.value is not None
                        count -= 1
                        yield message.value
        finally:
            await consumer.stop()

    async def told_count(self, feed: str = FEED) -> int:
        """Return how many messages lie in a feed's partition of `prices`."""
        place = (PRICES, partition_of(feed, self.partitions))
        return (await self.ends.ends([place]))[place]

    async def handled(self, offset: int, feed: str = FEED) -> None:
        """Wait until everything up to ``offset`` was handled."""

        async def is_handled() -> bool:
            live = await self.live.price_of(feed)
            return live is not None and live.position >= offset

        await eventually(is_handled)

    async def stored(self, offset: int, feed: str = FEED) -> None:
        """Wait until a second was stored that ends at ``offset`` or later."""

        async def is_stored() -> bool:
            position = await self.value(
                "SELECT max(log_position) FROM feed_seconds WHERE feed = $1", feed
            )
            return position is not None and position >= offset

        await eventually(is_stored)

    async def committed(self, feed: str = FEED) -> int:
        """Return from where the group would go on."""
        place = (TICKS, partition_of(feed, self.partitions))
        return (await self.ends.committed(self.group, [place])).get(place, 0)

    async def value(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - what the query says
        return await self.connections.fetchval(query, *arguments)

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.connections.fetch(query, *arguments)]

    async def room_row(self, room: int) -> dict[str, Any]:
        return (await self.rows("SELECT * FROM rooms WHERE id = $1", room))[0]

    async def decided(self, room: int) -> dict[str, Any]:
        """Wait until a room is decided and return its row."""
        await eventually(
            lambda: self.value("SELECT outcome IS NOT NULL FROM rooms WHERE id = $1", room)
        )
        return await self.room_row(room)

    async def events(self) -> list[dict[str, Any]]:
        """Return every event told, in order."""
        rows = await self.rows("SELECT payload FROM outbox WHERE topic = 'events' ORDER BY id")
        return [row["payload"] for row in rows]

    @asynccontextmanager
    async def worker(self, group: str | None = None) -> AsyncIterator[Pricing]:
        """Run a worker in this loop."""
        app = build_app(group or self.group, self.bootstrap)
        pricing = attach_prices(
            app,
            PriceDeps(
                connections=self.connections,
                live=self.live,
                producer=self.producer,
                ends=self.ends,
                partitions=self.partitions,
                clock=lambda: UnixMs(self.clock()),
            ),
        )
        ready = asyncio.Event()
        running = self.running = asyncio.create_task(run_app(app, ready=ready.set))
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
            yield pricing
            if running.done():
                running.result()
        finally:
            waiting.cancel()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def ended(self) -> None:
        """Wait until the worker that was started last has ended by itself."""
        assert self.running is not None
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait([self.running])

    @asynccontextmanager
    async def process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a worker as a process of its own, to be killed."""
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.price_worker",
            self.dsn, self.redis_url, self.bootstrap, str(self.partitions), self.group,
            cwd=Path(__file__).parents[1], stderr=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield worker
        finally:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()


@asynccontextmanager
async def stage(dsn: str, redis_url: str, kafka: Place) -> AsyncIterator[Stage]:
    """Open everything."""
    bootstrap = kafka.bootstrap
    async with (
        open_connections(dsn, name="test") as connections,
        open_live(redis_url) as live,
        open_producer(bootstrap, name="test") as producer,
        open_log_ends(bootstrap) as ends,
    ):
        made = Stage(
            connections=connections,
            live=live,
            producer=producer,
            ends=ends,
            bootstrap=bootstrap,
            partitions=kafka.partitions,
            clock=kafka.clock,
            dsn=dsn,
            redis_url=redis_url,
        )
        await made.prepare()
        yield made


def a_room(base: int, room: int = 7, **changes: Any) -> OpenRoom:  # noqa: ANN401 - as OpenRoom takes it
    """Make a room of +1 %: locked a second after ``base``, watched from 3 s to 60 s after it."""
    given: dict[str, Any] = {
        "id": room,
        "comparator": Comparator.UP,
        "move_bps": Bps(100),
        "target": None,
        "opened_at": UnixMs(base),
        "lock_at": UnixMs(base + 1_000),
        "watch_at": UnixMs(base + 3_000),
        "deadline_at": UnixMs(base + 60_000),
        "target_wait_ms": 10_000,
        "gap_ms_max": 5_000,
    }
    return OpenRoom(**{**given, **changes})
