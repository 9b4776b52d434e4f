"""Take-over: how long feeds stand still when one of two workers is killed, with many rooms open.

Run       python benchmarks/takeover.py [--rooms 1000000] [--kafka apache|embedded] [--feeds 6]
Out       for the dead worker's feeds and for the others: from the kill to the first price of a tick
          that was sent after it; the same when a worker joins again; rooms lost, decided twice.
Why       P7: at most 6 s for the dead worker's feeds and 3 s for the others, and no room lost.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from cli.migrate import migrate_all
from cli.ports import Ports
from cli.settings import read_settings_from
from rooms.catalogue import CATALOGUE
from rooms.tick import Tick
from rooms.units import Value
from sandbox.broker.serve import BrokerSettings, running_broker
from sandbox.kafka import KafkaSettings, running_kafka
from sandbox.postgres import PostgresSettings, ensure_database, running_postgres
from sandbox.valkey import ValkeySettings, running_valkey
from streams import messages
from streams.producer import open_producer
from streams.ticks import Batcher, SteadyClock
from streams.topics import PRICES, TICKS, partition_of

SOURCES: Final = ("binance", "coinbase", "kraken")
PARTITIONS: Final = 8
EVERY_S: Final = 0.05
CLOSING: Final = 600
"""Rooms that end around the kill, and must be decided once each."""

KILLED_AFTER_S: Final = 45
CLOSE_WITHIN_MS: Final = 20_000
LIMIT_S: Final = 120.0
GROUP: Final = "worker"

ROOMS: Final = """
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
        self.told: dict[str, list[tuple[float, int]]] = {feed: [] for feed in CATALOGUE}

    async def follow(self, bootstrap: str) -> None:
        """Read every price told, until cancelled."""
        consumer = AIOKafkaConsumer(PRICES, bootstrap_servers=bootstrap)
        await consumer.start()
        try:
            async for record in consumer:
                prices = messages.read_prices(record.value)
                self.told[prices.feed].append((time.time(), prices.at))
        finally:
            await consumer.stop()

    def stood_s(self, feed: str, since: float) -> float | None:
        """Return how long after ``since`` a tick of after ``since`` was told; None: not yet."""
        for told_at, at in self.told[feed]:
            if told_at > since and at > since * 1000:
                return told_at - since
        return None

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
                env={**os.environ, **self._environment}, cwd=Path(__file__).parents[1],
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


async def until(done: Callable[[], Any], limit_s: float = LIMIT_S) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(limit_s):
        while True:
            answer = done()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.05)


async def members(bootstrap: str) -> int:
    """Return how many workers share the logs now."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described: list[Any] = await admin.describe_consumer_groups([GROUP])
    except GroupCoordinatorNotAvailableError:
        return 0
    finally:
        await admin.close()
    group = described[0].groups[0]
    return len(group[5]) if group[2] == "Stable" else 0


@asynccontextmanager
async def broker(kind: str, folder: Path, port: int) -> AsyncIterator[str]:
    if kind == "apache":
        settings = KafkaSettings(data_dir=folder / "kafka", ports=(port,))
        with running_kafka(settings) as kafka:
            yield kafka.bootstrap
    else:
        async with running_broker(
            BrokerSettings(data_dir=folder / "broker", port=port)
        ) as embedded:
            yield f"127.0.0.1:{embedded.port}"


async def fill(connection: "asyncpg.Connection[Any]", feeds: list[str], rooms: int) -> None:
    """Open so many rooms, and those that will end around the kill."""
    await connection.execute("INSERT INTO users (id, chat_id, name) VALUES (1, 1, 'p')")
    for number, feed in enumerate(feeds):
        price = 100 * 10 ** CATALOGUE[feed].scale
        share = rooms // len(feeds)
        await connection.execute(
            ROOMS, 10**9 * (number + 1), feed, CATALOGUE[feed].scale, price * 3 // 2, share
        )
    await connection.execute("VACUUM (ANALYZE) rooms")


async def let_some_end(connection: "asyncpg.Connection[Any]") -> None:
    """Give some rooms a deadline soon; the log hears of it as the workers take their partitions."""
    await connection.execute(
        """
        UPDATE rooms r SET deadline_at = now_ms() + $3::bigint + ($2::bigint * t.n / $1)
        FROM (SELECT id, row_number() OVER (ORDER BY id % 9973, id) AS n FROM rooms LIMIT $1) t
        WHERE t.id = r.id
        """,
        CLOSING,
        CLOSE_WITHIN_MS,
        KILLED_AFTER_S * 1000 - CLOSE_WITHIN_MS // 2,
    )


async def measure(options: argparse.Namespace, folder: Path) -> None:
    feeds = list(CATALOGUE)[: options.feeds]
    ports = Ports.free()
    postgres = PostgresSettings(data_dir=folder / "postgres", port=ports.postgres)
    valkey = ValkeySettings(data_dir=folder / "valkey", port=ports.valkey)
    async with AsyncExitStack() as stack:
        stack.enter_context(running_postgres(postgres))
        stack.enter_context(running_valkey(valkey))
        bootstrap = await stack.enter_async_context(broker(options.kafka, folder, ports.broker))
        ensure_database(postgres, "rooms")
        environment = {
            "ROOMS_PROFILE": "embedded",
            "ROOMS_LOG_FORMAT": "json",
            "ROOMS_DATABASE_URL": postgres.dsn("rooms"),
            "ROOMS_REDIS_URL": valkey.url(),
            "ROOMS_KAFKA": bootstrap,
            "ROOMS_KAFKA_PARTITIONS": str(PARTITIONS),
        }
        await migrate_all(read_settings_from(environment))
        connection = await asyncpg.connect(postgres.dsn("rooms"))
        stack.push_async_callback(connection.close)
        began = time.monotonic()
        await fill(connection, feeds, options.rooms)
        print(f"{options.rooms:,} rooms on {len(feeds)} feeds written in "
              f"{time.monotonic() - began:.0f} s; broker: {options.kafka}")  # fmt: skip

        workers = Workers(folder, environment)
        stack.push_async_callback(workers.stop)
        watch, clock = Watch(), SteadyClock()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(watch.follow(bootstrap))]
            running += [tasks.create_task(market(bootstrap, feed, clock)) for feed in feeds]
            await take_over(connection, workers, watch, bootstrap, feeds)
            await judge(connection)
            for task in running:
                task.cancel()


async def take_over(
    connection: "asyncpg.Connection[Any]",
    workers: Workers,
    watch: Watch,
    bootstrap: str,
    feeds: list[str],
) -> None:
    await let_some_end(connection)
    began = time.time()
    for name in ("worker-1", "worker-2"):
        await workers.start(name)
    await until(lambda: _has(members(bootstrap), 2))
    await until(lambda: all(watch.stood_s(feed, began) is not None for feed in feeds))
    print(f"both workers tell prices {time.time() - began:.1f} s after their start")
    await asyncio.sleep(max(5.0, began + KILLED_AFTER_S - time.time()))
    whose = workers.taken()
    dead = [feed for feed in feeds if whose[partition_of(feed, PARTITIONS)] == "worker-1"]
    others = [feed for feed in feeds if feed not in dead]

    killed = time.time()
    workers.kill("worker-1")
    await until(lambda: all(watch.stood_s(feed, killed) is not None for feed in feeds))
    await asyncio.sleep(2)
    ended = time.time()
    print("\nworker killed with -9 (P7: 6 s for its feeds, 3 s for the others)")
    for whose_feeds, names in (("its feeds", dead), ("the others", others)):
        for feed in names:
            first_s, silent_s = watch.stood_s(feed, killed), watch.longest_s(feed, killed, ended)
            print(
                f"  {whose_feeds:<11} {feed:<9} first price after {first_s:5.2f} s"
                f"   longest silence {silent_s:5.2f} s"
            )

    joins = time.time()
    await workers.start("worker-3")
    await until(lambda: _has(members(bootstrap), 2))
    await asyncio.sleep(8)
    print("\na worker joins")
    for feed in feeds:
        print(f"  {feed:<21} longest silence {watch.longest_s(feed, joins, time.time()):5.2f} s")


async def _has(count: Any, wanted: int) -> bool:  # noqa: ANN401 - a coroutine of an int
    return bool(await count == wanted)


async def judge(connection: "asyncpg.Connection[Any]") -> None:
    async def all_decided() -> bool:
        return not await connection.fetchval(
            "SELECT count(*) FROM rooms WHERE outcome IS NULL AND deadline_at < now_ms() - 1000"
        )

    await until(all_decided)
    decided = await connection.fetchval("SELECT count(*) FROM rooms WHERE outcome IS NOT NULL")
    told = await connection.fetchval(
        "SELECT count(*) FROM outbox WHERE payload ->> 'kind' = 'room.decided'"
    )
    due = await connection.fetchval(
        "SELECT count(*) FROM rooms WHERE deadline_at < now_ms() - 1000"
    )
    outcomes = await connection.fetch(
        "SELECT outcome, void_reason, count(*) FROM rooms WHERE deadline_at < now_ms() - 1000"
        " GROUP BY 1, 2 ORDER BY 1"
    )
    print(f"\nrooms that ended meanwhile: {due}; decided: {decided}; decisions told: {told}")
    print("  " + ", ".join(f"{row[0]} {row[1] or ''}: {row[2]}" for row in outcomes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rooms", type=int, default=1_000_000)
    parser.add_argument("--feeds", type=int, default=len(CATALOGUE))
    parser.add_argument("--kafka", choices=("apache", "embedded"), default="apache")
    parser.add_argument("--data", type=Path, help="keep data and logs here")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="rooms-takeover-") as folder:
        data = options.data or Path(folder)
        data.mkdir(parents=True, exist_ok=True)
        asyncio.run(measure(options, data.resolve()))


if __name__ == "__main__":
    main()
