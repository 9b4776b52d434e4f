"""Soak: the whole product under full load for a long time: does anything grow, lag or go wrong?

Run       python -m benchmarks.soak [--minutes 30] [--broker kafka|embedded] [--bets-per-s 5]
Out       a row a minute: what was done, how far readers are behind, the memory of every process,
          whether the audit finds anything; at the end the slope of each and a last, whole audit.
Why       every process is started as `rooms up` starts it, prices come from the sandbox venues, and
          what people ask for is written into the request tables as the bot writes it.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import psutil
from rich.console import Console

from benchmarks.alone import say
from benchmarks.stand import BROKERS
from chain.providers import Providers
from chain.settings import ChainSettings
from cli.auditing import look
from cli.embedded import DATABASE, SANDBOX, Stack
from cli.logs import set_up_logs
from cli.ports import Ports
from cli.settings import read_settings_from
from cli.supervisor import Supervisor
from cli.up import running_stack
from rooms.catalogue import CATALOGUE
from rooms.room import RoomLimits, RoomRequest, Side
from rooms.units import Lamports
from storage import intents
from storage.connections import Connections, open_connections, transaction
from streams.log_ends import LogEnds, open_log_ends
from streams.topics import TICKS

GROUP: Final = "worker"
PEOPLE: Final = 200
FUNDS_LAMPORTS: Final = 1_000_000_000_000
STAKE_LAMPORTS: Final = 60_000_000
ROOM_EVERY_S: Final = 10.0
LOCK_MS: Final = 20_000
DEADLINE_MS: Final = 60_000
MOVES_BPS: Final = (1, -1, 5, -5, 100)
READY_LIMIT_S: Final = 120.0
WARM_UP: Final = 3
"""Minutes that a slope leaves out: caches fill."""

DONE: Final = """
    SELECT (SELECT count(*) FROM stakes) AS bets,
           (SELECT count(*) FROM stakes WHERE state = 'LANDED') AS landed,
           (SELECT count(*) FROM rooms WHERE outcome IS NOT NULL) AS decided,
           (SELECT count(*) FROM rooms WHERE outcome = 'VOID') AS void,
           (SELECT count(*) FROM rooms WHERE state = 'PAID') AS paid,
           (SELECT count(*) FROM bet_requests WHERE done_at IS NULL) AS asking,
           (SELECT count(*) FROM transfers WHERE state IN ('PLANNED', 'ATTEMPTED')) AS moving,
           (SELECT count(*) FROM outbox WHERE sent_at IS NULL) AS unsent,
           (SELECT count(*) FROM set_aside) AS set_aside,
           (SELECT count(*) FROM flags WHERE NOT open) AS paused
"""
OPEN: Final = """
    SELECT id FROM rooms WHERE state = 'OPEN' AND lock_at > now_ms() + 8000
"""


@dataclass(frozen=True, slots=True)
class Minute:
    """What one look saw.

    Attributes:
        lag: messages of `ticks` that the group has not finished.
        memory_mib: of each process.
    """

    done: dict[str, int]
    lag: int
    ticks: int
    memory_mib: dict[str, float]
    faults: tuple[str, ...]


@dataclass(slots=True)
class Load:
    """People who open rooms and bet in them."""

    connections: Connections
    random: Random
    count: int = 0
    sides: dict[tuple[int, int], Side] = field(default_factory=dict)

    async def fund(self, solana_url: str) -> None:
        """Let everybody have an address and money on it, as custody sees it arrive."""
        await self.connections.execute(
            "INSERT INTO users (id, chat_id, name)"
            " SELECT n, n, 'p' || n FROM generate_series(1, $1::bigint) AS n",
            PEOPLE,
        )
        await self._until("SELECT count(*) FROM addresses WHERE kind = 'user'")
        rows = await self.connections.fetch("SELECT address FROM addresses WHERE kind = 'user'")
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            for row in rows:
                params = [row["address"], FUNDS_LAMPORTS]
                body = {"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop", "params": params}
                (await client.post(solana_url, json=body)).raise_for_status()
        await self._until("SELECT count(DISTINCT address) FROM deposits")

    async def open_rooms(self) -> None:
        """Ask for a room now and then, until cancelled."""
        feeds, limits = list(CATALOGUE), RoomLimits()
        while True:
            self.count += 1
            request = RoomRequest(
                creator=self.random.randint(1, PEOPLE),
                feed=feeds[self.count % len(feeds)],
                move_bps=self.random.choice(MOVES_BPS),
                fixed_value=None,
                lock_in_ms=LOCK_MS,
                deadline_in_ms=DEADLINE_MS,
                stake_lamports_min=limits.stake_lamports_min,
                stake_lamports_max=limits.stake_lamports_max,
            )
            async with transaction(self.connections) as connection:
                await intents.ask_room(connection, f"soak-room-{self.count}", request)
            await asyncio.sleep(ROOM_EVERY_S)

    async def bet(self, per_s: float) -> None:
        """Ask for bets in open rooms at this rate, until cancelled."""
        loop, number, due = asyncio.get_running_loop(), 0, asyncio.get_running_loop().time()
        rooms: list[int] = []
        while True:
            due += 1 / per_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            if number % 5 == 0 or not rooms:
                rooms = [row["id"] for row in await self.connections.fetch(OPEN)]
            number += 1
            if not rooms:
                continue
            room, user = self.random.choice(rooms), self.random.randint(1, PEOPLE)
            side = self.sides.setdefault((room, user), self.random.choice(list(Side)))
            async with transaction(self.connections) as connection:
                await intents.ask_bet(
                    connection, f"soak-bet-{number}", user=user, room=room, side=side,
                    lamports=Lamports(STAKE_LAMPORTS),
                )  # fmt: skip

    async def _until(self, count: str) -> None:
        async with asyncio.timeout(READY_LIMIT_S):
            while await self.connections.fetchval(count) < PEOPLE:  # noqa: ASYNC110 - rows tell nothing
                await asyncio.sleep(0.5)


@dataclass(frozen=True, slots=True)
class Watcher:
    """Looks at everything from outside."""

    stack: Stack
    supervisor: Supervisor
    connections: Connections
    providers: Providers
    ends: LogEnds
    partitions: int

    async def look(self) -> Minute:
        """See how it does now; a short difference to the chain is looked at again."""
        logs = [(TICKS, number) for number in range(self.partitions)]
        end = await self.ends.ends(logs)
        committed = await self.ends.committed(GROUP, logs)
        lag = sum(end[log] - committed.get(log, 0) for log in logs)
        done = dict(await self.connections.fetchrow(DONE) or {})
        report = await look(self.connections, self.providers, self.stack.folder / "audit-head")
        return Minute(done, lag, sum(end.values()), self.memory_mib(), tuple(report.faults()))

    def memory_mib(self) -> dict[str, float]:
        """Read the memory of every process with its children."""
        found = {}
        for child in (*self.stack.servers(), *self.stack.processes()):
            root = psutil.Process(self.supervisor.pid(child.name))
            total = 0
            for each in (root, *root.children(recursive=True)):
                # PostgreSQL's processes share most of their memory: it is counted once. Some of
                # them come and go.
                with suppress(psutil.NoSuchProcess):
                    info = each.memory_full_info()
                    total += getattr(info, "pss", info.uss)
            found[child.name] = total / 2**20
        return found


@asynccontextmanager
async def watcher(stack: Stack, supervisor: Supervisor) -> AsyncIterator[Watcher]:
    """Open what is needed to look."""
    settings = read_settings_from(stack.environment())
    async with AsyncExitStack() as held:
        yield Watcher(
            stack,
            supervisor,
            await held.enter_async_context(
                open_connections(stack.postgres.dsn(DATABASE), name="soak", size_max=6)
            ),
            await held.enter_async_context(
                Providers.of(ChainSettings(endpoints=settings.endpoints))
            ),
            await held.enter_async_context(open_log_ends(settings.kafka)),
            settings.kafka_partitions,
        )


def slope(values: Sequence[float]) -> float:
    """Return the growth a step of the straight line nearest to ``values``."""
    count = len(values)
    if count < 2:
        return 0.0
    middle, mean = (count - 1) / 2, sum(values) / count
    over = sum((step - middle) ** 2 for step in range(count))
    return sum((step - middle) * (value - mean) for step, value in enumerate(values)) / over


def show_minute(number: int, minute: Minute, before: Minute | None, every_s: float) -> None:
    """Print one row."""
    done, former = minute.done, before.done if before else {}
    if number == 1:
        print(
            "minute  load ticks/s   lag bets/s  bets landed decided void paid asking moving "
            "unsent aside paused audit |",
            *(f"{name:>8}" for name in minute.memory_mib),
            "MiB",
        )
    ticks_s = (minute.ticks - (before.ticks if before else 0)) / every_s if before else 0
    bets_s = (done["bets"] - former.get("bets", 0)) / every_s if before else 0
    print(
        f"{number:>6} {os.getloadavg()[0]:>5.2f} {ticks_s:>7.0f} {minute.lag:>5} {bets_s:>6.1f}"
        f" {done['bets']:>5} {done['landed']:>6} {done['decided']:>7} {done['void']:>4}"
        f" {done['paid']:>4} {done['asking']:>6} {done['moving']:>6} {done['unsent']:>6}"
        f" {done['set_aside']:>5} {done['paused']:>6} {'ok' if not minute.faults else 'BAD':>5} |",
        *(f"{mib:>8.1f}" for mib in minute.memory_mib.values()),
        flush=True,
    )
    for fault in minute.faults[:5]:
        print(f"       {fault[:200]}", flush=True)


def show_slopes(minutes: Sequence[Minute], every_s: float) -> None:
    """Print how much each process grows."""
    steady = minutes[WARM_UP:] if len(minutes) > WARM_UP + 2 else minutes
    print(f"\nslopes over the last {len(steady)} looks")
    for name in steady[0].memory_mib:
        values = [minute.memory_mib[name] for minute in steady]
        print(
            f"  {name:<9} {slope(values) * 60 / every_s:+8.2f} MiB a minute, "
            f"{values[0]:7.1f} → {values[-1]:7.1f} MiB"
        )
    lags = [minute.lag for minute in steady]
    print(f"  lag       {slope(lags) * 60 / every_s:+8.2f} messages a minute, at most {max(lags)}")


async def soak(given: argparse.Namespace, folder: Path) -> bool:
    """Run it; say whether every audit was clean."""
    stack = Stack(
        folder=folder, ports=Ports.free(), venues=SANDBOX, logs_to_files=True, log_format="json",
        apache=given.broker == "kafka",
    )  # fmt: skip
    console = Console(stderr=True)
    minutes: list[Minute] = []
    async with (
        running_stack(stack, console) as supervisor,
        watcher(stack, supervisor) as watching,
    ):
        load = Load(watching.connections, Random(given.seed))
        say("people get their wallets and money")
        await load.fund(stack.solana_url)
        say("load begins")
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(load.open_rooms()),
                tasks.create_task(load.bet(given.bets_per_s)),
            ]
            began = time.monotonic()
            for number in range(1, round(given.minutes * 60 / given.every_s) + 1):
                await asyncio.sleep(max(0.0, began + number * given.every_s - time.monotonic()))
                minutes.append(await watching.look())
                before = minutes[-2] if len(minutes) > 1 else None
                show_minute(number, minutes[-1], before, given.every_s)
            for task in working:
                task.cancel()
        say("load ends; what moves may come to rest")
        await asyncio.sleep((LOCK_MS + DEADLINE_MS) / 1000 if not given.hurry else 5)
        last = await watching.look()
        show_minute(len(minutes) + 1, last, minutes[-1], given.every_s)
    show_slopes(minutes, given.every_s)
    clean = not last.faults and not any(minute.faults for minute in minutes)
    print(f"audits: {'all clean' if clean else 'NOT clean'}")
    return clean


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every-s", type=float, default=60, help="seconds between two looks")
    parser.add_argument("--broker", choices=BROKERS, default="kafka")
    parser.add_argument("--bets-per-s", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hurry", action="store_true", help="do not wait for what moves")
    parser.add_argument("--data", type=Path, help="keep data and logs here")
    given = parser.parse_args()
    set_up_logs("soak", "people", level=logging.WARNING)
    with TemporaryDirectory(prefix="rooms-soak-") as kept:
        folder = (given.data or Path(kept)).resolve()
        clean = asyncio.run(soak(given, folder))
    sys.exit(not clean)


if __name__ == "__main__":
    main()
