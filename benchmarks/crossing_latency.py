"""Crossing latency: how long from a tick's arrival to the committed crossing, and to a subscriber.

Run       python -m benchmarks.crossing_latency [--broker embedded|kafka] [--quick]
Out       P1: ms from the tick to the commit, p50 and p99, at 200 ticks/s on one feed, beside a bare
          aiokafka consumer that commits a row over the same hops; from the commit to a subscriber
          of the gateway, beside one durable commit.
Why       worker, gateway and the bare consumer are processes of their own and the rounds alternate;
          a commit is heard of by PostgreSQL's own NOTIFY, which is sent when it is durable.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from websockets.asyncio.client import connect

from benchmarks.alone import Options, run_alone
from benchmarks.figure import Figure, Goal
from benchmarks.stand import REPOSITORY, Stand
from benchmarks.telegram_update import share
from benchmarks.ticks import OPEN
from cli.migrate import migrate_all
from cli.settings import read_settings_from
from rooms.catalogue import CATALOGUE
from rooms.tick import Tick
from rooms.units import Value
from sandbox.kafka import free_ports
from streams.producer import open_producer
from streams.ticks import Batcher, SteadyClock
from streams.topics import TICKS

FEED: Final = "SOL/USD"
SOURCES: Final = ("binance", "coinbase", "kraken")
PER_S: Final = 200
LEVEL_TICKS: Final = 40
"""The price rises once in so many ticks, and a room is crossed each time."""

ROUND_S: Final = 15
ROUNDS: Final = 3
READY_LIMIT_S: Final = 60.0
SCALE: Final = CATALOGUE[FEED].scale
START: Final = 100 * 10**SCALE
STEP: Final = START // 100_000
TOPIC: Final = "bare-ticks"
DURABLE: Final = "INSERT INTO bare (number) VALUES ($1)"


@dataclass(slots=True)
class Course:
    """One contestant's figures, in milliseconds."""

    committed_ms: list[float] = field(default_factory=list)
    readable_ms: list[float] = field(default_factory=list)


class Heard:
    """When each crossing was sent, committed and readable."""

    def __init__(self) -> None:
        self.sent: dict[int, float] = {}
        self.committed: dict[int, float] = {}
        self.readable: dict[int, float] = {}


class Rising:
    """A price that rises a level now and then; with the second source's tick the index follows."""

    def __init__(self) -> None:
        self._number = 0
        self._clock = SteadyClock()

    def next(self) -> tuple[Tick, int | None]:
        """Return a tick, and the level that the index price reaches with it."""
        self._number += 1
        level, within = divmod(self._number, LEVEL_TICKS)
        at = self._clock()
        value = Value(START + level * STEP)
        source = SOURCES[self._number % len(SOURCES)]
        reached = level if within == 1 and level else None
        return Tick(source, self._number, value, at, at), reached


async def paced(seconds: float) -> AsyncIterator[None]:
    """Go on ``PER_S`` times a second, when it is due, however long the last one took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(int(seconds * PER_S)):
        await asyncio.sleep(max(0.0, began + number / PER_S - loop.time()))
        yield


async def bare(bootstrap: str, dsn: str) -> None:
    """Be the peer: hear every message, commit a row for each that says so."""
    connection = await asyncpg.connect(dsn)
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap)
    await consumer.start()
    print("ready", flush=True)
    async for record in consumer:
        number = int(record.value[:20])
        if number:
            async with connection.transaction():
                await connection.execute(DURABLE, number)
                await connection.execute("SELECT pg_notify('bare', $1)", str(number))


@dataclass(slots=True)
class Race:
    """Everything that runs."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    batcher: Batcher
    producer: AIOKafkaProducer
    rising: Rising = field(default_factory=Rising)
    ours: Heard = field(default_factory=Heard)
    peer: Heard = field(default_factory=Heard)
    peer_number: int = 0

    async def run_ours(self, seconds: float) -> None:
        """Let ticks arrive as a venue's socket hands them over."""
        async for _ in paced(seconds):
            tick, reached = self.rising.next()
            if reached is not None:
                self.ours.sent[reached] = time.perf_counter()
            self.batcher.hear(tick)

    async def run_peer(self, seconds: float) -> None:
        """Send messages of the same size; one in as many as ours is to be committed."""
        count = 0
        async for _ in paced(seconds):
            count += 1
            number = 0
            if count % LEVEL_TICKS == 0:
                self.peer_number += 1
                number = self.peer_number
                self.peer.sent[number] = time.perf_counter()
            await self.producer.send(TOPIC, b"%020d" % number + b"x" * 120, key=b"f")

    async def run_durable(self, count: int) -> list[float]:
        """Return how long a durable commit takes, in milliseconds."""
        took = []
        for number in range(count):
            began = time.perf_counter()
            await self.connection.execute(DURABLE, -number - 1)
            took.append((time.perf_counter() - began) * 1000)
        return took


@asynccontextmanager
async def race(stand: Stand) -> AsyncIterator[Race]:
    """Start worker, gateway and peer, and listen to all of them."""
    dsn = stand.empty_database()
    (port,) = free_ports(1)
    environment = {
        "ROOMS_PROFILE": "embedded",
        "ROOMS_LOG_FORMAT": "json",
        "ROOMS_DATABASE_URL": dsn,
        "ROOMS_REDIS_URL": stand.valkey.url(5),
        "ROOMS_KAFKA": stand.bootstrap,
        "ROOMS_GATEWAY_PORT": str(port),
    }
    await migrate_all(read_settings_from(environment))
    await _topic(stand.bootstrap)
    async with AsyncExitStack() as held:
        connection = await asyncpg.connect(dsn)
        held.push_async_callback(connection.close)
        await connection.execute("CREATE TABLE bare (number bigint PRIMARY KEY)")
        await connection.execute("INSERT INTO users (id, chat_id, name) VALUES (1, 1, 'p')")
        now = time.time_ns() // 10**6
        levels = 4 * ROUND_S * ROUNDS * PER_S // LEVEL_TICKS
        targets = [START + level * STEP for level in range(1, levels + 1)]
        await connection.execute(OPEN, 0, FEED, SCALE, targets, now, levels)
        for name in ("worker", "gateway"):
            await held.enter_async_context(_process(["-m", "cli", name], environment))
        peer = await held.enter_async_context(
            _process(["-m", "benchmarks.crossing_latency", "bare", stand.bootstrap, dsn], {})
        )
        assert peer.stdout is not None
        await asyncio.wait_for(peer.stdout.readline(), READY_LIMIT_S)
        producer = await held.enter_async_context(open_producer(stand.bootstrap, name="bench"))

        async def send(feed: str, payload: bytes) -> None:
            await producer.send_and_wait(TICKS, payload, key=feed.encode())

        found = Race(connection, Batcher(FEED, send, SteadyClock()), producer)
        tasks = await held.enter_async_context(asyncio.TaskGroup())
        running = [
            tasks.create_task(found.batcher.run()),
            tasks.create_task(_committed(dsn, found.ours)),
            tasks.create_task(_readable(port, found.ours)),
        ]
        listener = await asyncpg.connect(dsn)
        held.push_async_callback(listener.close)

        def note(_: object, __: int, ___: str, payload: object) -> None:
            found.peer.committed[int(str(payload))] = time.perf_counter()

        await listener.add_listener("bare", note)
        try:
            yield found
        finally:
            for task in running:
                task.cancel()


async def _topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    finally:
        await admin.close()


@asynccontextmanager
async def _process(
    words: list[str], environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    import os

    child = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=REPOSITORY, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield child
    finally:
        child.terminate()
        await child.wait()


async def _committed(dsn: str, heard: Heard) -> None:
    """Note when each room's decision was committed, until cancelled."""
    listening, reading = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    bells: asyncio.Queue[float] = asyncio.Queue()
    await listening.add_listener("outbox", lambda *_: bells.put_nowait(time.perf_counter()))
    last = 0
    try:
        while True:
            rung = await bells.get()
            for row in await reading.fetch(
                "SELECT id, key FROM outbox WHERE id > $1 AND payload ->> 'kind' = 'room.decided'"
                " ORDER BY id",
                last,
            ):
                last = row["id"]
                heard.committed.setdefault(int(row["key"]), rung)
    finally:
        await listening.close()
        await reading.close()


async def _readable(port: int, heard: Heard) -> None:
    """Note when a subscriber heard of each decision, until cancelled."""
    async with asyncio.timeout(READY_LIMIT_S):
        while True:
            try:
                line = await connect(f"ws://127.0.0.1:{port}/v1/settlements", proxy=None)
                break
            except OSError:
                await asyncio.sleep(0.1)
    async with line:
        async for frame in line:
            now = time.perf_counter()
            said = json.loads(frame)
            event = said.get("event", said)
            if event.get("kind") == "room.decided":
                heard.readable.setdefault(int(event["room"]), now)


def between_ms(first: dict[int, float], then: dict[int, float]) -> list[float]:
    """Return how long from one to the other, for what was seen at both."""
    return [(then[key] - at) * 1000 for key, at in first.items() if key in then]


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Let ours and the peer run in turns."""
    seconds, rounds = options.pick((ROUND_S, ROUNDS), (2, 1))
    async with race(stand) as running:
        async with asyncio.timeout(READY_LIMIT_S):
            while not running.ours.readable:
                await running.run_ours(1)
        running.ours.sent.clear()
        for number in range(1, rounds + 1):
            await running.run_ours(seconds)
            await running.run_peer(seconds)
            options.say(f"crossing latency ({options.broker}), round {number} of {rounds}")
        await asyncio.sleep(1)
        durable = await running.run_durable(options.pick(200, 10))
    ours = between_ms(running.ours.sent, running.ours.committed)
    peer = between_ms(running.peer.sent, running.peer.committed)
    told = between_ms(running.ours.committed, running.ours.readable)
    return [
        *(
            Figure(
                number="P1",
                what=f"tick to committed crossing, {name}, {PER_S} ticks/s",
                on=options.broker,
                ours=share(ours, per_mille),
                unit="ms",
                peer=share(peer, per_mille),
                against="bare aiokafka and one commit",
                goal=Goal(most=3),
            )
            for name, per_mille in (("p50", 500), ("p99", 990))
        ),
        Figure(
            number="P1",
            what="committed to readable by a subscriber, p50",
            on=options.broker,
            ours=share(told, 500),
            unit="ms",
            peer=share(durable, 500),
            against="one durable commit",
            goal=Goal(most=3),
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        asyncio.run(bare(*sys.argv[2:]))
    else:
        run_alone(measure, __doc__, needs_broker=True)
