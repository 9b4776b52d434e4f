"""Feed seconds: one row a feed a second, and what a worker needs to go on from there.

In        a second that a feed's log has left, and how far the log had been read by then.
Out       the memory and the position to go on from; whether a feed is warm.
Promises  the same second of the same log is the same row, however often it is stored; a feed's
          newest second is never deleted, as whoever takes the feed over goes on from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rooms.feed_log import Memory, SecondClosed
from rooms.units import UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("feed_seconds")


@dataclass(frozen=True, slots=True)
class Stored:
    """How far a feed's log was handled, and what was remembered there.

    Attributes:
        log_position: the offset of the last message handled.
    """

    log_position: int
    memory: Memory


async def store(
    connection: Connection, feed: str, second: SecondClosed, *, log_position: int
) -> None:
    """Store a second; ``log_position`` is the offset of the last message handled in it."""
    await connection.execute(
        SQL["store"],
        feed,
        second.second_at,
        second.low,
        second.high,
        second.last,
        second.changes,
        msgspec.to_builtins(second.silence),
        log_position,
        msgspec.to_builtins(second.memory),
    )


async def newest(connection: Connection, feeds: Iterable[str]) -> dict[str, Stored]:
    """Return where each feed's log was left; a feed that was never heard is not in it."""
    rows = await connection.fetch(SQL["newest"], list(feeds))
    return {
        row["feed"]: Stored(row["log_position"], msgspec.convert(row["memory"], Memory))
        for row in rows
    }


async def memory_at(
    connection: Connection, feed: str, position: int, second_at: UnixMs
) -> dict[str, Any] | None:
    """Return what was stored before a second began, when that was after the message there.

    As plain JSON values: whoever records it goes on from it only later.
    """
    memory: dict[str, Any] | None = await connection.fetchval(
        SQL["memory_at"], feed, position, second_at
    )
    return memory


async def between(
    connection: Connection, feed: str, from_at: UnixMs, to_at: UnixMs
) -> list[dict[str, Any]]:
    """Return a feed's seconds that begin in a stretch, as plain values, without their memory."""
    return [dict(row) for row in await connection.fetch(SQL["between"], feed, from_at, to_at)]


async def warm(connection: Connection, feed: str, warm_ms: int) -> bool:
    """Say whether a feed has had an index price for so long without a silence."""
    is_warm: bool = await connection.fetchval(SQL["warm"], feed, warm_ms)
    return is_warm


async def needed_since(connection: Connection, kept_ms: int) -> dict[str, UnixMs]:
    """Return since when the seconds of each feed are needed, by rooms or for ``kept_ms``."""
    rows = await connection.fetch(SQL["needed_since"], kept_ms)
    return {row["feed"]: UnixMs(row["since"]) for row in rows}


async def delete_before(connection: Connection, feed: str, since: UnixMs, limit: int) -> int:
    """Delete a feed's oldest seconds before ``since``, ``limit`` at most; return how many."""
    return len(await connection.fetch(SQL["delete_before"], feed, since, limit))
