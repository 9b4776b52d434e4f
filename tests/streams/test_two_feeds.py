"""Two feeds processes at once give one stream; one killed, the price goes on."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

from aiokafka import AIOKafkaConsumer

from rooms.catalogue import CATALOGUE
from rooms.feed_log import FeedLog, Told
from rooms.index_price import Silence
from rooms.tick import Tick
from rooms.units import UnixMs
from sandbox.venues.serve import Venues, VenuesSettings, running_venues
from storage import feeds
from storage.connections import Connections
from streams import messages
from streams.feeds.sources import SOCKETS, made_with
from streams.messages import Ticks
from streams.topics import TICKS
from tests.kafka import Kafka

FEED = "SOL/USD"
LIMIT_S = 60
WATCHED_MS = 3_000
GAP_MS_MAX = 1_500
TWICE_MIN = 40


class Log:
    """One feed's log as it is read, with what two processes wrote twice."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.messages: list[tuple[UnixMs, list[Tick]]] = []
        self.twice = 0
        self._consumer = consumer
        self._seen: set[tuple[str, int]] = set()

    async def read(self) -> UnixMs:
        """Read on to the next message of the feed, and return its time."""
        while True:
            record = await self._consumer.getone()
            heard = messages.read_heard(record.value)
            if isinstance(heard, Ticks) and heard.feed == FEED:
                break
        ticks = list(heard.told())
        self.messages.append((UnixMs(heard.at), ticks))
        for tick in ticks:
            self.twice += (tick.source, tick.sequence) in self._seen
            self._seen.add((tick.source, tick.sequence))
        return UnixMs(heard.at)


def prices(log: list[tuple[UnixMs, list[Tick]]]) -> list[Told]:
    """Return all that a log's prices are."""
    feed_log = FeedLog(CATALOGUE[FEED].guards)
    return [
        effect
        for at, ticks in log
        for effect in feed_log.hear(at, ticks)
        if isinstance(effect, Told)
    ]


def without_repeats(
    log: list[tuple[UnixMs, list[Tick]]],
) -> list[tuple[UnixMs, list[Tick]]]:
    """Leave out of a log what it says for the second time."""
    seen: set[tuple[str, int]] = set()
    kept: list[tuple[UnixMs, list[Tick]]] = []
    for at, ticks in log:
        new = [tick for tick in ticks if (tick.source, tick.sequence) not in seen]
        seen |= {(tick.source, tick.sequence) for tick in new}
        kept.append((at, new))
    return kept


@asynccontextmanager
async def process(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the feeds process as an operator does, until the block ends."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "feeds",
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
        await running.wait()


def settings(venues: Venues, kafka: Kafka, dsn: str) -> dict[str, str]:
    """Return the variables of both processes."""
    return {
        "ROOMS_DATABASE_URL": dsn,
        "ROOMS_KAFKA": kafka.bootstrap,
        "ROOMS_VENUE_URLS": json.dumps({name: venues.url(name) for name in SOCKETS}),
        "ROOMS_SOURCE_KEYS": json.dumps({"pyth": "sandbox"}),
    }


async def test_two_processes_give_one_stream_and_one_killed_leaves_no_silence(
    kafka: Kafka, connections: Connections, dsn: str
) -> None:
    async with connections.acquire() as connection:
        for name in (FEED, "USDT/USD"):
            feed = CATALOGUE[name]
            await feeds.upsert(connection, feed, standing=True, made_with=made_with(feed))
    consumer = AIOKafkaConsumer(
        TICKS, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with (
            asyncio.timeout(LIMIT_S),
            running_venues(VenuesSettings()) as venues,
            process(settings(venues, kafka, dsn)) as doomed,
            process(settings(venues, kafka, dsn)),
        ):
            log = Log(consumer)
            while log.twice < TWICE_MIN:
                await log.read()
            both = len(log.messages)

            doomed.send_signal(signal.SIGKILL)
            await doomed.wait()
            killed_at = await log.read()
            while await log.read() < killed_at + WATCHED_MS:
                continue
    finally:
        await consumer.stop()

    assert prices(log.messages) == prices(without_repeats(log.messages))
    told = prices(log.messages)
    first = next(nth for nth, effect in enumerate(told) if not isinstance(effect.price, Silence))
    assert not any(isinstance(effect.price, Silence) for effect in told[first:])
    moments = [at for at, _ in log.messages[both - 1 :]]
    assert max(b - a for a, b in pairwise(moments)) <= GAP_MS_MAX
