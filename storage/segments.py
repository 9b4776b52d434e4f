"""Segments: which stretches of which logs were recorded, each under the hash of its content.

In        segments that lie on the disk.
Out       how far each feed was recorded; the segments of a stretch of a feed's log.
Promises  a segment is here only after its file is whole on the disk; the same twice is once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """What is known of a segment without its content.

    Attributes:
        missed: as `rooms.recording.Segment` has it.
        file: where its content lies, from the recordings' folder.
    """

    hash: str
    feed: str
    partition: int
    minute_at: UnixMs
    from_at: UnixMs
    to_at: UnixMs
    first_offset: int
    last_offset: int
    messages: int
    missed: Sequence[int] | None
    file: str


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
    )


async def newest(connection: Connection) -> dict[str, Recorded]:
    """Return how far each feed was recorded."""
    return {
        row["feed"]: Recorded(row["partition"], UnixMs(row["to_at"]), row["last_offset"])
        for row in await connection.fetch(SQL["newest"])
    }


async def between(
    connection: Connection, feed: str, from_at: UnixMs, to_at: UnixMs
) -> list[SegmentRow]:
    """Return a feed's segments that touch a stretch of its log's time, in the log's order."""
    rows = await connection.fetch(SQL["between"], feed, from_at, to_at)
    return [SegmentRow(**row) for row in rows]


async def forget(connection: Connection, before: UnixMs) -> None:
    """Forget segments whose minute lies before a moment."""
    await connection.execute(SQL["forget"], before)
