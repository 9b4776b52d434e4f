"""Seals: pools written down once, for good.

In        a moment that the finalized chain has passed; the room.
Out       rooms to be sealed; the stakes that count.
Promises  no room is sealed twice, and none while a stake of it has no fate.
"""

from dataclasses import dataclass

from rooms.pool import Pool, Stake
from rooms.room import Side, VoidReason
from rooms.units import Bps, Lamports, Slot, UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL = queries("seals")


@dataclass(frozen=True, slots=True)
class UnsealedRoom:
    """A room whose cut the chain has passed, locked until the transaction ends."""

    id: int
    feed: str
    creator: int
    cut_at: UnixMs
    decided: bool


async def due(connection: Connection, moment: UnixMs) -> list[int]:
    """Return rooms whose cut lies before ``moment`` and of which every stake has its fate."""
    return [row["id"] for row in await connection.fetch(SQL["due"], moment)]


async def lock(connection: Connection, room: int, moment: UnixMs) -> UnsealedRoom | None:
    """Lock a room that is still to be sealed; None when it is not, or a stake came in between."""
    row = await connection.fetchrow(SQL["lock"], room, moment)
    if row is None or await connection.fetchval(SQL["is_open"], room):
        return None
    return UnsealedRoom(
        row["id"], row["feed"], row["creator"], UnixMs(row["cut_at"]), row["outcome"] is not None
    )


async def miss_late(connection: Connection, room: int) -> list[tuple[int, int, Lamports]]:
    """Take stakes out of a live room's pool that landed after what became its cut.

    Returns:
        stake, person and lamports of each; they go back in full.
    """
    rows = await connection.fetch(SQL["miss_late"], room)
    return [(row["stake_id"], row["owner_id"], Lamports(row["amount"])) for row in rows]


async def stakes(connection: Connection, room: int) -> tuple[Stake, ...]:
    """Return the stakes that count."""
    return tuple(
        Stake(
            id=row["id"],
            bet=row["bet_id"],
            user=row["user_id"],
            side=Side(row["side"]),
            lamports=Lamports(row["lamports"]),
            weight_bps=Bps(row["weight_bps"]),
            referrer=row["referrer"],
        )
        for row in await connection.fetch(SQL["stakes"], room)
    )


async def seal(connection: Connection, room: int, slot: Slot, pool: Pool) -> None:
    """Write the pool down."""
    await connection.execute(SQL["seal"], room, slot, pool.yes, pool.no)


async def void(connection: Connection, room: int, reason: VoidReason, at: UnixMs) -> None:
    """Decide a room whose pool is no contest."""
    await connection.execute(SQL["void"], room, reason.value, at)


async def any_waiting(connection: Connection) -> bool:
    """Say whether some room's cut has passed by our own clock and it is not sealed."""
    return bool(await connection.fetchval(SQL["any_waiting"]))
