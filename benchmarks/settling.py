"""Settling: what it costs to settle a room of very many bets: read, divided and written.

Run       python -m benchmarks.settling [--quick]
Out       P4: seconds for the settlements stage, against a bare INSERT … SELECT of the same rows.
Why       each round settles in a fresh database; the peer writes, into another, the very rows that
          the stage wrote there: the same tables, keys and indexes, in one transaction.
"""

import time
from collections.abc import Sequence
from statistics import median
from typing import Final

import asyncpg

from benchmarks import crowd
from benchmarks.alone import Options, run_alone
from benchmarks.figure import Figure, Goal
from benchmarks.stand import Stand
from rooms.units import Lamports
from storage.connections import open_connections
from storage.live import LivePrice
from streams.money import Money
from streams.settlements import claim_settlements

BETS: Final = 100_000
ROUNDS: Final = 3
WRITTEN: Final = ("settlements", "evidence", "transfers", "outbox")
"""What a settlement adds rows to; the peer is spared the one entry of the ledger."""


class NoPrices:
    """Live prices of nothing: a settlement asks for none."""

    async def prices_of(self, feeds: object) -> dict[str, LivePrice]:
        """Know no price."""
        return {}


async def settle_once(dsn: str, bets: int) -> float:
    """Settle a room of so many bets in an empty database and return the seconds it took."""
    async with open_connections(dsn, name="settling") as connections:
        await crowd.found(connections)
        await crowd.decided_room(connections, bets)
        money = Money(connections=connections, prices=NoPrices(), new_room_id=lambda: 0)
        began = time.perf_counter()
        settled = await claim_settlements(money)
        took = time.perf_counter() - began
        assert settled == 1, "the room is settled"
        planned = await connections.fetchval("SELECT sum(lamports) FROM transfers")
        pool = await connections.fetchval("SELECT pool FROM settlements")
        assert Lamports(planned) == pool, "the whole pool is planned to be paid"
    return took


async def insert_once(dsn: str, source: str, bets: int) -> float:
    """Write the rows that a settlement wrote in ``source`` by bare SQL; return the seconds."""
    async with open_connections(dsn, name="settling") as connections:
        await crowd.found(connections)
        await crowd.decided_room(connections, bets)
    reading, writing = await asyncpg.connect(source), await asyncpg.connect(dsn)
    try:
        for table in WRITTEN:
            await writing.execute(f"CREATE UNLOGGED TABLE bare_{table} (LIKE {table})")
            rows = await reading.fetch(f"SELECT * FROM {table}")
            await writing.copy_records_to_table(f"bare_{table}", records=map(tuple, rows))
        await writing.execute("ANALYZE")
        began = time.perf_counter()
        async with writing.transaction():
            for table in WRITTEN:
                await writing.execute(
                    f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM bare_{table}"
                )
        return time.perf_counter() - began
    finally:
        await reading.close()
        await writing.close()


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Settle and insert in alternating rounds."""
    bets = options.pick(BETS, 200)
    ours: list[float] = []
    bare: list[float] = []
    for number in range(1, options.pick(ROUNDS, 1) + 1):
        dsn = stand.database()
        ours.append(await settle_once(dsn, bets))
        bare.append(await insert_once(stand.database(), dsn, bets))
        options.say(f"settling, round {number}: {ours[-1]:.2f} s, bare {bare[-1]:.2f} s")
    return [
        Figure(
            number="P4",
            what=f"settle a room of {bets:,} bets",
            ours=median(ours),
            unit="s",
            peer=median(bare),
            against="bare INSERT … SELECT of the same rows",
            goal=Goal(most=2),
        )
    ]


if __name__ == "__main__":
    run_alone(measure, __doc__)
