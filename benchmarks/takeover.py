"""Take-over: how long feeds stand still when one of two workers is killed, with many rooms open.

Run       python -m benchmarks.takeover [--broker embedded|kafka] [--quick]
Out       P7: from the kill -9 to the first price of a tick that was sent after it, the slowest of
          the dead worker's feeds and of the others; rooms lost or decided twice; and how long the
          feeds stand still when a worker joins.
Why       it is timed at the end of the line, from the topic of prices, with the ticks' own times.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from benchmarks.alone import Options, run_alone
from benchmarks.figure import Figure, Goal
from benchmarks.stand import REPOSITORY, Stand, running_broker
from cli.migrate import migrate_all
from cli.settings import read_settings_from
from rooms.catalogue import CATALOGUE
from rooms.feed_log import FeedLog
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from storage import feed_seconds
from storage.connections import Connection, open_connection
from streams import messages
from streams.producer import open_producer
from streams.ticks import Batcher, SteadyClock
from streams.topics import PRICES, TICKS, partition_of

SOURCES: Final = ("binance", "coinbase", "kraken")
FEEDS: Final = tuple(name for name, feed in CATALOGUE.items() if feed.scale >= 8)[:6]
PARTITIONS: Final = 8
EVERY_S: Final = 0.05
ROOMS: Final = 1_000_000
ENDING: Final = 600
"""Rooms that end around the kill, and must be decided once each."""

KILLED_AFTER_S: Final = 45
END_WITHIN_MS: Final = 20_000
STEADY_S: Final = 3.0
"""A price that is told so soon after its tick was sent has no others to wait for."""

LIMIT_S: Final = 120.0
GROUP: Final = "worker"

OPEN: Final = """
    INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, target, base, opened_at,
        lock_at, cut_at, watch_at, watched_at, deadline_at, target_wait_ms, gap_ms_max,
        protocol_fee_bps, host_fee_bps, stake_lamports_min, stake_lamports_max, volatility_bps,
        guards, state)
    SELECT $1 + n, 1, $2, $3, 1, 5000, $4::bigint + n, $4, now - 90000, now - 80000, now - 70000,
        now - 60000, now - 60000, now + 86400000, 10000, 3600000, 200, 100, 1, 10, 9000, '{}',
        'LOCKED'
    FROM generate_series(1, $5::bigint) AS n, now_ms() AS now
"""


class Watch:
    """When each feed was last told, and of which tick."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[float, int]]] = {feed: [] for feed in FEEDS}

    async def follow(self, bootstrap: str) -> None:
        """Read every price told, until cancelled."""
        consumer = AIOKafkaConsumer(PRICES, bootstrap_servers=bootstrap)
        await consumer.start()
        try:
            async for record in consumer:
                prices = messages.read_prices(record.value)
                if prices.feed in self.told:
                    self.told[prices.feed].append((time.time(), prices.at))
        finally:
            await consumer.stop()

    def stood_s(self, feed: str, since: float) -> float | None:
        """Return how long after ``since`` a tick of after ``since`` was told; None: not yet."""
        for told_at, at in self.told[feed]:
            if told_at > since and at > since * 1000:
                return told_at - since
        return None

    def lag_s(self, feed: str) -> float:
        """Return how old the tick was that a feed was told of last."""
        return time.time() - self.told[feed][-1][1] / 1000 if self.told[feed] else LIMIT_S

    def longest_s(self, feed: str, since: float, until: float) -> float:
        """Return the longest time between two prices told in a stretch."""
        times = [told_at for told_at, _ in self.told[feed] if since - 1 <= told_at <= until]
        return max((after - before for before, after in pairwise(times)), default=until - since)


async def market(bootstrap: str, feed: str, clock: SteadyClock) -> None:
    """Write a feed's log, a tick of each source at a time, until cancelled."""
    scale, walk, sequence = CATALOGUE[feed].scale, Random(feed), 0
    async with open_producer(bootstrap, name="market") as producer, asyncio.TaskGroup() as tasks:

        async def send(feed: str, payload: bytes) -> None:
            await producer.send_and_wait(TICKS, payload, key=feed.encode())

        batcher = Batcher(feed, send, clock)
        tasks.create_task(batcher.run())
        while True:
            await asyncio.sleep(EVERY_S)
            sequence += 1
            value = Value(100 * 10**scale + (sequence % 2) * 10 + walk.randrange(10))
            at = clock()
            for source in SOURCES:
                batcher.hear(Tick(source, sequence, value, at, at))


class Workers:
    """Worker processes, each with a log of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        with self.log(name).open("ab") as out:
            self._running[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli", "worker", stdout=out, stderr=out,
                env={**os.environ, **self._environment}, cwd=REPOSITORY,
            )  # fmt: skip

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def kill(self, name: str) -> None:
        self._running[name].kill()

    async def stop(self) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(process.wait() for process in self._running.values()))

    def taken(self) -> dict[int, str]:
        """Return who took each partition last."""
        last: dict[int, tuple[str, str]] = {}
        for name in self._running:
            for line in self.log(name).read_text().splitlines():
                if '"partition_taken"' in line:
                    said = json.loads(line)
                    held = (said["timestamp"], name)
                    last[said["partition"]] = max(last.get(said["partition"], ("", "")), held)
        return {partition: name for partition, (_, name) in last.items()}


async def until(done: Callable[[], bool | Awaitable[bool]], limit_s: float = LIMIT_S) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(limit_s):
        while True:
            answer = done()
            if isinstance(answer, Awaitable):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.05)


@dataclass(slots=True)
class Found:
    """What was measured, in seconds and rooms."""

    dead_s: float
    others_s: float
    joined_s: float
    ended: int
    decided: int
    told: int

    @property
    def wrong(self) -> int:
        """Return how many rooms were lost or decided twice."""
        return abs(self.ended - self.decided) + abs(self.told - self.decided)


async def measure(stand: Stand, options: Options) -> list[Figure]:
    """Kill a worker and tell how long it took, on a broker of its own."""
    rooms = options.pick(ROOMS, 6_000)
    with TemporaryDirectory(prefix="rooms-takeover-") as folder:
        path = Path(folder)
        with running_broker(options.broker, path / "broker") as bootstrap:
            found = await _run(stand, path, bootstrap, rooms, options.say)
    what = f"worker killed -9, {rooms:,} rooms open: "
    return [
        _figure(options, f"{what}its feeds", found.dead_s, "s", 6),
        _figure(options, f"{what}the others", found.others_s, "s", 3),
        _figure(
            options, f"{what}rooms lost or decided twice, of {found.ended}", found.wrong, "", 0
        ),
        _figure(options, "worker joins: the longest silence", found.joined_s, "s", None),
    ]


def _figure(options: Options, what: str, ours: float, unit: str, most: float | None) -> Figure:
    goal = None if most is None else Goal(most=most, of_ratio=False, unit=unit)
    return Figure(number="P7", what=what, ours=ours, unit=unit, on=options.broker, goal=goal)


async def _run(
    stand: Stand, folder: Path, bootstrap: str, rooms: int, say: Callable[[str], None]
) -> Found:
    dsn = stand.database()
    environment = {
        "ROOMS_PROFILE": "embedded",
        "ROOMS_LOG_FORMAT": "json",
        "ROOMS_DATABASE_URL": dsn,
        "ROOMS_REDIS_URL": stand.valkey.url(),
        "ROOMS_KAFKA": bootstrap,
        "ROOMS_KAFKA_PARTITIONS": str(PARTITIONS),
    }
    await migrate_all(read_settings_from(environment))
    async with AsyncExitStack() as held:
        connection = await held.enter_async_context(open_connection(dsn, name="takeover"))
        await _fill(connection, rooms)
        say(f"{rooms:,} rooms on {len(FEEDS)} feeds are written")
        workers = Workers(folder, environment)
        held.push_async_callback(workers.stop)
        watch, clock = Watch(), SteadyClock()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(watch.follow(bootstrap))]
            running += [tasks.create_task(market(bootstrap, feed, clock)) for feed in FEEDS]
            dead_s, others_s, joined_s = await _take_over(
                connection, workers, watch, bootstrap, say
            )
            ended, decided, told = await _judge(connection)
            for task in running:
                task.cancel()
    return Found(dead_s, others_s, joined_s, ended, decided, told)


async def _fill(connection: Connection, rooms: int) -> None:
    """Open so many rooms, which are watched, on feeds that were followed until just now."""
    await connection.execute("INSERT INTO users (id, chat_id, name) VALUES (1, 1, 'p')")
    for number, feed in enumerate(FEEDS):
        scale, guards = CATALOGUE[feed].scale, CATALOGUE[feed].guards
        await connection.execute(
            OPEN, 10**9 * (number + 1), feed, scale, 150 * 10**scale, rooms // len(FEEDS)
        )
        log = FeedLog(guards)
        list(log.hear(UnixMs(time.time_ns() // 1_000_000), ()))
        await feed_seconds.store(connection, feed, log.closed_second(), log_position=-1)
    await connection.execute("VACUUM (ANALYZE) rooms")


async def _let_some_end(connection: Connection) -> None:
    """Give some rooms a deadline soon; the workers read it as they take their feeds over."""
    await connection.execute(
        """
        UPDATE rooms r SET deadline_at = now_ms() + $3::bigint + ($2::bigint * t.n / $1)
        FROM (SELECT id, row_number() OVER (ORDER BY id % 9973, id) AS n FROM rooms LIMIT $1) t
        WHERE t.id = r.id
        """,
        ENDING, END_WITHIN_MS, KILLED_AFTER_S * 1000 - END_WITHIN_MS // 2,
    )  # fmt: skip


async def _take_over(
    connection: Connection,
    workers: Workers,
    watch: Watch,
    bootstrap: str,
    say: Callable[[str], None],
) -> tuple[float, float, float]:
    await _let_some_end(connection)
    began = time.time()
    for name in ("worker-1", "worker-2"):
        await workers.start(name)
    await until(lambda: _are(bootstrap, 2))
    await until(lambda: all(watch.lag_s(feed) < STEADY_S for feed in FEEDS))
    say(f"both workers tell prices {time.time() - began:.1f} s after their start")
    await asyncio.sleep(max(5.0, began + KILLED_AFTER_S - time.time()))
    whose = workers.taken()
    dead = [feed for feed in FEEDS if whose[partition_of(feed, PARTITIONS)] == "worker-1"]
    others = [feed for feed in FEEDS if feed not in dead]
    assert all(watch.lag_s(feed) < STEADY_S for feed in FEEDS), "they keep up before the kill"

    killed = time.time()
    workers.kill("worker-1")
    await until(lambda: all(watch.stood_s(feed, killed) is not None for feed in FEEDS))
    stood = {feed: watch.stood_s(feed, killed) or 0.0 for feed in FEEDS}
    for whose_feeds, names in (("dead worker's", dead), ("others'", others)):
        firsts = ", ".join(f"{feed} {stood[feed]:.2f} s" for feed in names)
        say(f"killed; first price of the {whose_feeds} feeds: {firsts}")
    await asyncio.sleep(2)

    joins = time.time()
    await workers.start("worker-3")
    await until(lambda: _are(bootstrap, 2))
    await asyncio.sleep(8)
    joined_s = max(watch.longest_s(feed, joins, time.time()) for feed in FEEDS)
    dead_s, others_s = (
        max((stood[feed] for feed in feeds), default=0.0) for feeds in (dead, others)
    )
    return dead_s, others_s, joined_s


async def _are(bootstrap: str, wanted: int) -> bool:
    """Say whether so many workers share the logs now."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described: list[Any] = await admin.describe_consumer_groups([GROUP])
    except GroupCoordinatorNotAvailableError:
        return False
    finally:
        await admin.close()
    group = described[0].groups[0]
    return bool(group[2] == "Stable" and len(group[5]) == wanted)


async def _judge(connection: Connection) -> tuple[int, int, int]:
    """Return how many rooms ended, how many were decided, and how many decisions were told."""
    over = "SELECT count(*) FROM rooms WHERE deadline_at < now_ms() - 1000"

    async def all_decided() -> bool:
        return not await connection.fetchval(f"{over} AND outcome IS NULL")

    await until(all_decided)
    return (
        await connection.fetchval(over),
        await connection.fetchval("SELECT count(*) FROM rooms WHERE outcome = 'NO'"),
        await connection.fetchval(
            "SELECT count(*) FROM outbox WHERE payload ->> 'kind' = 'room.decided'"
        ),
    )


if __name__ == "__main__":
    run_alone(measure, __doc__, needs_broker=True)
