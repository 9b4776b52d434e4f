"""Open rooms: what a tick costs when very many rooms are open, and what a room costs.

Run       python -m benchmarks.open_rooms [--quick]
Out       P3: µs a tick with 1,000,000 open rooms beside 1,000; bytes a room; seconds until a worker
          that takes a feed over has read them all and can hear the first tick.
Why       the product's own feed log, fed the same seeded ticks, in alternating rounds; the rooms
          are read from PostgreSQL by the same statement as a worker reads them.
"""

import gc
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.alone import Options, run_alone
from benchmarks.contestants import target
from benchmarks.figure import Figure, Goal
from benchmarks.market import SCALE, Market
from benchmarks.stand import Stand
from benchmarks.ticks import OPEN, feed
from rooms.feed import Guards
from rooms.feed_log import FeedLog, Memory
from rooms.units import UnixMs
from storage import feeds, open_rooms
from storage.connections import Connection, open_connections

MANY: Final = 1_000_000
FEW: Final = 1_000
TICKS: Final = 20_000
ROUNDS: Final = 5
TOGETHER: Final = 10
FAR: Final = 500
"""Rooms whose targets the market may reach are left out: a decision is not a tick's cost."""


async def taken_up(connection: Connection, name: str, first_at: int) -> FeedLog:
    """Take a feed's log up at a moment, as a worker does."""
    at = UnixMs(first_at)
    log = FeedLog(Guards(), memory=Memory(at=at, price=None, silence=None, priced_at=None, gaps=()))
    async for page in open_rooms.singles(connection, name, at):
        for opened, locked in page:
            log.open(opened, locked=locked)
    log.open_packed(await open_rooms.packed(connection, name, at))
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


@dataclass(frozen=True, slots=True)
class Ready:
    """A log with its rooms, the seconds that reading them took, and the bytes of one."""

    log: FeedLog
    seconds: float
    bytes_each: float


async def ready(stand: Stand, count: int, first_at: int) -> Ready:
    """Write so many rooms, all watched, and take their feed's log up."""
    async with open_connections(stand.database(), name="rooms") as connections:
        await connections.execute("INSERT INTO users (id, chat_id, name) VALUES (1, 1, 'p')")
        name = Market(feeds=1, ticks=1, per_s=1, first_at=0).names()[0]
        async with connections.acquire() as connection:
            await connection.execute("SET statement_timeout = 0")
            await feeds.upsert(connection, feed(name), standing=True)
            targets = [target(FAR + number) for number in range(count)]
            await connection.execute(
                OPEN, 0, name, SCALE, targets, first_at, count, timeout=LIMIT_S
            )
            await connection.execute("VACUUM (ANALYZE) rooms", timeout=LIMIT_S)
            del targets
            gc.collect()
            tracemalloc.start()
            held = await taken_up(connection, name, first_at)
            gc.collect()
            size, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert held.open_count == count, "every room is followed"
            del held
            began = time.perf_counter()
            log = await taken_up(connection, name, first_at)
            return Ready(log, time.perf_counter() - began, size / count)


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Feed both logs the same ticks in alternating rounds, then read the rooms anew."""
    many, ticks = options.pick(MANY, 20_000), options.pick(TICKS, 1_000)
    first_at = time.time_ns() // 10**6 - 10**6
    whole = await ready(stand, many, first_at)
    options.say(
        f"open rooms: {many:,} ready in {whole.seconds:.1f} s, {whole.bytes_each:.0f} bytes each"
    )
    logs = {many: whole.log, FEW: (await ready(stand, FEW, first_at)).log}
    found: dict[int, list[float]] = {many: [], FEW: []}
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
            ours=whole.bytes_each,
            unit="bytes",
            goal=Goal(most=64, of_ratio=False, unit="bytes"),
        ),
        Figure(
            number="P3",
            what=f"{many:,} rooms read and followed",
            ours=whole.seconds,
            unit="s",
            goal=Goal(most=5, of_ratio=False, unit="s"),
        ),
    ]


LIMIT_S: Final = 300.0

if __name__ == "__main__":
    run_alone(measure, __doc__)
