"""Open rooms: what a tick costs when very many rooms are open, and what a room costs.

Run       python -m benchmarks.open_rooms [--quick]
Out       P3: µs a tick with 1,000,000 open rooms beside 1,000; bytes a room; seconds until a worker
          that takes a feed over has read them all and can hear the first tick.
Why       the product's own feed log, fed the same seeded ticks, in alternating rounds; the rooms
          are read from PostgreSQL by the same statement as a worker reads them.
"""

import gc
import time
from collections.abc import Sequence
from statistics import median
from typing import Final

import psutil

from benchmarks.alone import Options, run_alone
from benchmarks.contestants import room, target
from benchmarks.figure import Figure, Goal
from benchmarks.market import SCALE, Market
from benchmarks.stand import Stand
from benchmarks.ticks import OPEN, feed
from rooms.feed import Guards
from rooms.feed_log import FeedLog
from rooms.units import UnixMs
from storage import feeds, open_rooms
from storage.connections import open_connections

MANY: Final = 1_000_000
FEW: Final = 1_000
TICKS: Final = 20_000
ROUNDS: Final = 5
TOGETHER: Final = 10
FAR: Final = 500
"""Rooms whose targets the market may reach are left out: a decision is not a tick's cost."""


def log_of(count: int, first_at: int) -> FeedLog:
    """Make a feed's log with so many rooms, all watched."""
    log = FeedLog(Guards())
    for number in range(count):
        log.open(room(number, FAR + number, first_at), locked=True)
    return log


def tick_us(log: FeedLog, ticks: int, first_at: int, seed: int) -> float:
    """Return what one tick costs, in microseconds of processor time."""
    market = Market(feeds=1, ticks=ticks, per_s=2_000, first_at=first_at, seed=seed)
    heard = list(market.ticks_of(0))
    began = time.process_time()
    for start in range(0, len(heard), TOGETHER):
        together = heard[start : start + TOGETHER]
        for _ in log.hear(together[-1].at, together):
            pass
    return (time.process_time() - began) * 1e6 / ticks


async def ready(stand: Stand, count: int, first_at: int) -> tuple[float, float]:
    """Return the seconds until so many rooms are read and followed, and the bytes a room takes."""
    dsn = stand.database()
    async with open_connections(dsn, name="rooms") as connections:
        await connections.execute("INSERT INTO users (id, chat_id, name) VALUES (1, 1, 'p')")
        name = Market(feeds=1, ticks=1, per_s=1, first_at=0).names()[0]
        async with connections.acquire() as connection:
            await feeds.upsert(connection, feed(name), standing=True)
            targets = [target(FAR + number) for number in range(count)]
            await connection.execute(
                OPEN, 0, name, SCALE, targets, first_at, count, timeout=LIMIT_S
            )
            await connection.execute("VACUUM (ANALYZE) rooms", timeout=LIMIT_S)
            gc.collect()
            before = psutil.Process().memory_info().rss
            began = time.perf_counter()
            log = FeedLog(Guards())
            for opened, locked in (await open_rooms.of_feeds(connection, [name]))[name]:
                log.open(opened, locked=locked)
            took = time.perf_counter() - began
            assert log.open_count == count, "every room is followed"
            gc.collect()
            return took, (psutil.Process().memory_info().rss - before) / count


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Feed both logs the same ticks in alternating rounds, then read the rooms anew."""
    many, ticks = options.pick(MANY, 20_000), options.pick(TICKS, 1_000)
    first_at = time.time_ns() // 10**6 - 10**6
    took, each = await ready(stand, many, first_at)
    options.say(f"open rooms: {many:,} ready in {took:.1f} s, {each:.0f} bytes a room")
    logs = {many: log_of(many, first_at), FEW: log_of(FEW, first_at)}
    found: dict[int, list[float]] = {many: [], FEW: []}
    for log in logs.values():
        list(log.hear(UnixMs(first_at), ()))  # The watches begin here, once.
    gc.collect()
    gc.freeze()
    for number in range(options.pick(ROUNDS, 2)):
        for count, log in logs.items():
            lasts_ms = ticks * 1000 // 2_000 + 1
            found[count].append(tick_us(log, ticks, first_at + number * lasts_ms, number))
    gc.unfreeze()
    return [
        Figure(
            number="P3",
            what=f"processor time of a tick with {many:,} open rooms",
            ours=median(found[many]),
            unit="µs",
            peer=median(found[FEW]),
            against=f"the same with {FEW:,}",
            goal=Goal(most=1.2),
        ),
        Figure(
            number="P3",
            what="memory of an open room",
            ours=each,
            unit="bytes",
            goal=Goal(most=64, of_ratio=False, unit="bytes"),
        ),
        Figure(
            number="P3",
            what=f"{many:,} rooms read and followed",
            ours=took,
            unit="s",
            goal=Goal(most=5, of_ratio=False, unit="s"),
        ),
    ]


LIMIT_S: Final = 300.0

if __name__ == "__main__":
    run_alone(measure, __doc__)
