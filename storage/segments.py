"""Segments: which stretches of which logs were recorded, each under the hash of its content.

In        segments that lie on the disk.
Out       how far each feed was recorded; the segments of a stretch of a feed's log.
Promises  a segment is here only after its file is whole on the disk; the same twice is once.
"""

from dataclasses import dataclass
from typing import Final

from rooms.evidence import RecordedSegment
from rooms.recording import Segment
from rooms.units import UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("segments")


@dataclass(frozen=True, slots=True)
class Recorded:
    """How far a feed's log was recorded."""

    partition: int
    to_at: UnixMs
    last_offset: int


async def insert(connection: Connection, segment: Segment, content_hash: str, file: str) -> None:
    """Note that a segment lies on the disk."""
    await connection.execute(
        SQL["insert"],
        content_hash,
        segment.feed,
        segment.partition,
        segment.minute_at,
        segment.from_at,
        segment.to_at,
        segment.first_offset,
        segment.last_offset,
        len(segment.lines),
        None if segment.missed is None else list(segment.missed),
        file,
        segment.is_warm,
    )


async def newest(connection: Connection) -> dict[str, Recorded]:
    """Return how far each feed was recorded."""
    return {
        row["feed"]: Recorded(row["partition"], UnixMs(row["to_at"]), row["last_offset"])
        for row in await connection.fetch(SQL["newest"])
    }


async def of_stretch(
    connection: Connection, feed: str, from_at: UnixMs, to_at: UnixMs
) -> list[RecordedSegment]:
    """Return the segments in which a stretch lies, from where a replay may begin, in order."""
    rows = await connection.fetch(SQL["of_stretch"], feed, from_at, to_at)
    return [RecordedSegment(**row, segments=1) for row in rows]


async def forget(connection: Connection, before: UnixMs) -> None:
    """Forget segments whose minute lies before a moment."""
    await connection.execute(SQL["forget"], before)


async def awaited(connection: Connection) -> dict[str, UnixMs]:
    """Return feeds whose settlements wait for a segment, and up to when each must be recorded."""
    rows = await connection.fetch(SQL["awaited"])
    return {row["feed"]: UnixMs(row["until_at"]) for row in rows}
