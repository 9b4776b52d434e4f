"""Events: what happened, in the order of its public numbers, for whoever tells it on.

In        the number that a reader has come to.
Out       the events after it; a bell that rings when there are more.
Promises  numbers are given after commit and in order, so a reader that asks from its last number
          misses none.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from rooms.event import Kind
from storage.connections import Connection, Connections
from storage.sql import queries

SQL: Final = queries("events")
CHANNEL: Final = "events"


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event as it was written, with its public number.

    Attributes:
        payload: kind, at, room or user, seq for a room's, and its facts.
    """

    number: int
    payload: Mapping[str, Any]


async def after(
    connection: Connection, number: int, limit: int, *, kinds: Collection[Kind] | None = None
) -> list[NumberedEvent]:
    """Return up to ``limit`` events after ``number`` in order, of all kinds or of some."""
    names = None if kinds is None else sorted(kind.value for kind in kinds)
    return [
        NumberedEvent(**row) for row in await connection.fetch(SQL["after"], number, names, limit)
    ]


async def last_number(connection: Connection) -> int:
    """Return the highest number given so far; 0 before the first."""
    number: int = await connection.fetchval(SQL["last"])
    return number


@asynccontextmanager
async def bell(connections: Connections) -> AsyncIterator[asyncio.Event]:
    """Ring whenever events were numbered; clear it before reading.

    It rings once more when its connection is lost, and then never again: poll beside it.
    """
    rings = asyncio.Event()

    def ring(*_: object) -> None:
        rings.set()

    async with connections.acquire() as connection:
        connection.add_termination_listener(ring)
        await connection.add_listener(CHANNEL, ring)
        try:
            yield rings
        finally:
            connection.remove_termination_listener(ring)
            if not connection.is_closed():
                await connection.remove_listener(CHANNEL, ring)
