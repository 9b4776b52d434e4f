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


class Bell:
    """What rings whenever events were numbered; one that is lost never rings again."""

    def __init__(self) -> None:
        self.is_lost = False
        self._rung = asyncio.Event()

    def ring(self, *_: object) -> None:
        """Ring."""
        self._rung.set()

    def lose(self, *_: object) -> None:
        """Ring for the last time."""
        self.is_lost = True
        self._rung.set()

    def clear(self) -> None:
        """Be silent again; do this before reading, or what comes meanwhile is missed."""
        self._rung.clear()

    async def wait(self, limit_s: float) -> None:
        """Wait until it rings, but no longer than the limit: a lost ring must hold nothing up."""
        try:
            async with asyncio.timeout(limit_s):
                await self._rung.wait()
        except TimeoutError:
            return


@asynccontextmanager
async def bell(connections: Connections) -> AsyncIterator[Bell]:
    """Hang a bell on a connection of its own for as long as the block lasts."""
    hung = Bell()
    async with connections.acquire() as connection:
        connection.add_termination_listener(hung.lose)
        await connection.add_listener(CHANNEL, hung.ring)
        try:
            yield hung
        finally:
            # A connection that was lost has left the block already, and answers nothing more.
            if not hung.is_lost:
                connection.remove_termination_listener(hung.lose)
                await connection.remove_listener(CHANNEL, hung.ring)
