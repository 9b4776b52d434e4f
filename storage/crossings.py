"""Crossings: the evidence of each YES and of each early VOID.

In        crossings with the index prices up to them and the ticks of those.
Out       a room's crossing again, exactly.
Promises  what is read is equal to what was stored: whole numbers, no float on the way.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from rooms.crossing import Crossing
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("crossings")


async def store(connection: Connection, crossings: Sequence[Crossing]) -> None:
    """Store crossings in one statement; each room has at most one."""
    await connection.execute(
        SQL["store"],
        [crossing.room for crossing in crossings],
        [crossing.price.at for crossing in crossings],
        [crossing.source_at for crossing in crossings],
        [crossing.price.value for crossing in crossings],
        [msgspec.json.encode(crossing).decode() for crossing in crossings],
    )


async def of(connection: Connection, room: int) -> Crossing | None:
    """Return a room's crossing, or None when nothing was crossed."""
    evidence = await connection.fetchval(SQL["of"], room)
    return None if evidence is None else msgspec.convert(evidence, Crossing)
