"""Open rooms: the table that prices are joined with.

Out       the rooms of some feeds that are not decided yet, in one statement; those long overdue.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rooms.feed_log import OpenRoom
from rooms.room import Comparator
from rooms.units import UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("open_rooms")
TOGETHER_MAX: Final = 1_000
_COMPARATORS: Final = {comparator.value: comparator for comparator in Comparator}


@dataclass(frozen=True, slots=True)
class OverdueRoom:
    """A room whose deadline passed without a decision."""

    id: int
    feed: str
    deadline_at: UnixMs


async def of_feeds(
    connection: Connection, feeds: Sequence[str]
) -> dict[str, list[tuple[OpenRoom, bool]]]:
    """Return the open rooms of each of ``feeds``, each with whether its lock was told.

    They may be very many: others of this process do their work in between.
    """
    found: dict[str, list[tuple[OpenRoom, bool]]] = {feed: [] for feed in feeds}
    for count, row in enumerate(await connection.fetch(SQL["of_feeds"], list(feeds)), 1):
        if count % TOGETHER_MAX == 0:
            await asyncio.sleep(0)
        room = OpenRoom(
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
        found[row["feed"]].append((room, row["locked"]))
    return found


async def overdue(connection: Connection, older_than_ms: int) -> list[OverdueRoom]:
    """Return open rooms whose deadline lies more than ``older_than_ms`` back."""
    return [OverdueRoom(**row) for row in await connection.fetch(SQL["overdue"], older_than_ms)]
