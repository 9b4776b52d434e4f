"""Open rooms: the table that prices are joined with.

Out       the rooms of a feed that are not decided yet: those that wait for their watch, and the
          others packed, as there may be a million; those long overdue.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import asyncpg

from rooms.feed_log import OpenRoom
from rooms.packed import PackedRooms
from rooms.room import Comparator
from rooms.units import UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("open_rooms")
PAGE: Final = 5_000
_COMPARATORS: Final = {comparator.value: comparator for comparator in Comparator}


@dataclass(frozen=True, slots=True)
class OverdueRoom:
    """A room whose deadline passed without a decision."""

    id: int
    feed: str
    deadline_at: UnixMs


async def singles(
    connection: Connection, feed: str, at: UnixMs
) -> AsyncIterator[list[tuple[OpenRoom, bool]]]:
    """Give the rooms of a feed that are followed one by one, page by page.

    Each comes with whether its lock was told. Read these before those that are watched: a room
    only goes from here to there.
    """
    async for page in _pages(connection, "singles", feed, at):
        yield [(_room(row), row["locked"]) for row in page]


async def packed(connection: Connection, feed: str, at: UnixMs) -> PackedRooms:
    """Return those whose watch the log had passed at ``at`` and that decide at first touch."""
    rooms = PackedRooms()
    async for page in _pages(connection, "packed", feed, at):
        rooms.add(page)
    rooms.seal()
    return rooms


async def overdue(connection: Connection, older_than_ms: int) -> list[OverdueRoom]:
    """Return open rooms whose deadline lies more than ``older_than_ms`` back."""
    return [OverdueRoom(**row) for row in await connection.fetch(SQL["overdue"], older_than_ms)]


async def _pages(
    connection: Connection, query: str, feed: str, at: UnixMs
) -> AsyncIterator[list[asyncpg.Record]]:
    """Give rows page by page: there may be very many, and others of this process have work."""
    rows = await connection.fetch(SQL[query], feed, at)
    for first in range(0, len(rows), PAGE):
        await asyncio.sleep(0)
        yield rows[first : first + PAGE]


def _room(row: asyncpg.Record) -> OpenRoom:
    return OpenRoom(
        id=row["id"],
        comparator=_COMPARATORS[row["comparator"]],
        move_bps=row["move_bps"],
        target=row["target"],
        opened_at=row["opened_at"],
        lock_at=row["lock_at"],
        watch_at=row["watch_at"],
        deadline_at=row["deadline_at"],
        target_wait_ms=row["target_wait_ms"],
        gap_ms_max=row["gap_ms_max"],
        held_ms=row["held_ms"],
    )
