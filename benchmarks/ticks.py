"""Ticks: how many ticks a second one worker turns into prices and decisions.

Run       python -m benchmarks.ticks [--broker embedded|kafka] [--quick]
Out       P2: ticks/s of the prices stage, all guards and evidence on, at 10 and at 50 ticks a
          message; a plain Faust agent and Quix Streams at one tick a message, and a bare aiokafka
          loop, which make the same decisions with the same rules.
Why       everybody reads a log that is there already, so that the reader is the limit. Each is a
          process of its own and times itself from its first message to its last; rounds alternate.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Final

import msgspec
import redis
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.alone import Options, run_alone
from benchmarks.contestants import (
    BATCHED,
    DECISIONS,
    NAMES,
    SAID,
    SINGLE,
    Course,
    Result,
    target,
)
from benchmarks.figure import Figure, Goal
from benchmarks.market import SCALE, Market
from benchmarks.stand import Broker, Stand, module, running_broker
from rooms.feed import Feed
from rooms.units import Bps
from storage import feeds
from storage.connections import open_connections
from streams.topics import PARTITIONS, TICKS, create_topics

TOGETHER: Final = {10: 8, 50: 20}
"""Ticks a message, and how many times the plain agent's ticks/s are the goal."""

FEEDS: Final = 6
ROOMS: Final = 1_000
TICKS_SINGLE: Final = 18_000
PER_S: Final = 2_000
ROUNDS: Final = 2
LIMIT_S: Final = 90.0
LIMIT_QUICK_S: Final = 20.0
LOOK_EVERY_S: Final = 0.05

OPEN: Final = """
    INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, target, base, opened_at,
        lock_at, cut_at, watch_at, watched_at, deadline_at, target_wait_ms, gap_ms_max,
        protocol_fee_bps, host_fee_bps, stake_lamports_min, stake_lamports_max, volatility_bps,
        guards, state)
    SELECT $1::bigint + n, 1, $2, $3, 1, 50, ($4::bigint[])[n], 1, $5::bigint - 9000,
        $5::bigint - 8000, $5::bigint - 7000, $5::bigint - 1000, $5::bigint - 1000,
        $5::bigint + 1000000000, 10000, 60000, 200, 100, 1, 10, 9000, '{}', 'LOCKED'
    FROM generate_series(1, $6::bigint) AS n
"""


@dataclass(frozen=True, slots=True)
class Track:
    """A broker with one log, whole, and singly for those who do not batch."""

    stand: Stand
    bootstrap: str
    market: Market
    together: int
    singles: int

    async def run(self, name: str, rooms: int = ROOMS, limit_s: float = LIMIT_S) -> Result | None:
        """Let a contestant run the course in a process of its own; None when it does not arrive."""
        batched = name in BATCHED
        dsn = await self._database(rooms) if name == "ours" else ""
        with redis.Redis.from_url(self.stand.valkey.url()) as server:
            server.flushall()
        course = Course(
            bootstrap=self.bootstrap,
            dsn=dsn,
            redis_url=self.stand.valkey.url(),
            feeds=tuple(self.market.names()),
            rooms=rooms,
            messages=self.market.ticks // self.together if batched else self.singles,
            first_at=self.market.first_at,
            last_at=self.market.last_at,
        )
        given = msgspec.json.encode(course).decode()
        with module("benchmarks.contestants", name, given) as child:
            assert child.stdout is not None
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    while child.poll() is None:  # noqa: ASYNC110 - a child tells nothing
                        await asyncio.sleep(LOOK_EVERY_S)
            if child.poll() is None:
                child.kill()
            line = child.stdout.readline()
        return Result(**json.loads(line)) if line else None

    def ticks_s(self, result: Result, name: str) -> float:
        """Return how many ticks a second that was."""
        each = self.together if name in BATCHED else 1
        return result.messages * each / result.seconds

    async def _database(self, rooms: int) -> str:
        dsn = self.stand.database()
        async with open_connections(dsn, name="ticks") as connections:
            await connections.execute("INSERT INTO users (id, chat_id, name) VALUES (1, 1, 'p')")
            async with connections.acquire() as connection:
                for number, name in enumerate(self.market.names()):
                    await feeds.upsert(connection, feed(name), standing=True)
                    await connection.execute(
                        OPEN, 10**9 * number, name, SCALE,
                        [target(each) for each in range(1, rooms + 1)],
                        self.market.first_at, rooms,
                    )  # fmt: skip
            await connections.execute("VACUUM (ANALYZE)")
        return dsn


def feed(name: str) -> Feed:
    """Make a feed of the market."""
    return Feed(name=name, unit="USD", scale=SCALE, symbols={}, volatility_bps=Bps(9_000))


@asynccontextmanager
async def track(
    stand: Stand, broker: Broker, *, feeds: int, ticks: int, together: int, singles: int = 0
) -> AsyncIterator[Track]:
    """Write a log onto a fresh broker."""
    lasts_ms = ticks // feeds * 1000 // PER_S
    market = Market(
        feeds=feeds, ticks=ticks, per_s=PER_S, first_at=time.time_ns() // 10**6 - lasts_ms
    )
    folder = stand.folder / f"log-{time.monotonic_ns()}"
    with running_broker(broker, folder) as bootstrap:
        await create_topics(bootstrap)
        await _peer_topics(bootstrap)
        await _send(bootstrap, TICKS, market.messages(together))
        if singles:
            few = Market(feeds=feeds, ticks=singles, per_s=PER_S, first_at=market.first_at)
            await _send(bootstrap, SINGLE, few.messages(1))
        yield Track(stand, bootstrap, market, together, singles)


async def _peer_topics(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(name, PARTITIONS, 1) for name in (SAID, DECISIONS, SINGLE)]
        )
    finally:
        await admin.close()


async def _send(bootstrap: str, topic: str, messages: Iterable[tuple[str, bytes]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=2**18)
    await producer.start()
    try:
        for name, payload in messages:
            await producer.send(topic, payload, key=name.encode())
        await producer.flush()
    finally:
        await producer.stop()


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Let everybody run, in alternating rounds, at both sizes of a message."""
    figures: list[Figure] = []
    for together, goal in TOGETHER.items():
        ticks = options.pick(240_000 if together < 50 else 600_000, FEEDS * together * 20)
        async with track(
            stand, options.broker, feeds=FEEDS, ticks=ticks, together=together,
            singles=options.pick(TICKS_SINGLE, FEEDS * 20),
        ) as course:  # fmt: skip
            names = [name for name in NAMES if name != "Quix Streams" or not options.quick]
            found: dict[str, list[float]] = {name: [] for name in names}
            for number in range(1, options.pick(ROUNDS, 1) + 1):
                for name in names:
                    limit_s = options.pick(LIMIT_S, LIMIT_QUICK_S)
                    result = await course.run(name, limit_s=limit_s)
                    if result is None:
                        options.say(f"ticks: {name} did not arrive on {options.broker}")
                        continue
                    found[name].append(course.ticks_s(result, name))
                    options.say(
                        f"ticks, {together} a message, round {number}: {name}"
                        f" {found[name][-1]:,.0f}/s, {result.told:,} told, {result.decided} decided"
                    )
        best = {name: median(rates) for name, rates in found.items() if rates}
        figures += [
            Figure(
                number="P2",
                what=f"ticks/s decided, {together} ticks a message",
                on=options.broker,
                ours=best["ours"],
                unit="/s",
                peer=best[name],
                against=f"{name}, {'the same batches' if name in BATCHED else 'a message a tick'}",
                goal=Goal(least=goal) if name == "plain Faust" else None,
            )
            for name in best
            if name != "ours"
        ]
    return figures


if __name__ == "__main__":
    run_alone(measure, __doc__, needs_broker=True)
