"""Recorder: hears the messages of many feeds' logs and says which stretches are complete.

In        messages of partitions in their order, each with its feed and its log's time.
Out       stretches: a feed's messages of one minute, or of a part of it.
Holds     the stretches that are open; how far each feed and each partition was heard.
Promises  every message heard lies in exactly one stretch; a message that comes twice counts once;
          what could not be heard is said in the next stretch of every feed it may have been of;
          whoever goes on from `safe_offset` misses nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rooms.recording import MINUTE_MS, Line, minute_of
from rooms.units import UnixMs

STRETCH_BYTES_MAX: Final = 16 * 2**20
QUIET_MS: Final = 5_000
"""A minute is closed when it is over and its feed has said nothing for so long."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a feed was heard."""

    partition: int
    to_at: UnixMs
    last_offset: int


@dataclass(slots=True, kw_only=True)
class Stretch:
    """A segment to be: its attributes are those of `rooms.recording.Segment`."""

    feed: str
    partition: int
    minute_at: UnixMs
    from_at: UnixMs
    to_at: UnixMs
    after: int | None
    missed: tuple[int, int] | None
    lines: list[Line] = field(default_factory=list)
    size: int = 0


class Recorder:
    """Cut feeds' logs into stretches."""

    def __init__(self, heard: Mapping[str, Place]) -> None:
        """Go on where each feed was heard last."""
        self._heard = dict(heard)
        self._next: dict[int, int] = {}
        self._open: dict[str, Stretch] = {}
        self._missed: dict[str, tuple[int, int]] = {}

    def begin(self, partition: int, offset: int) -> None:
        """Say from where a partition is heard."""
        self._next[partition] = offset

    def heard_until(self, partition: int) -> int | None:
        """Return the offset after the last one that is known of a partition's feeds."""
        lasts = [each.last_offset for each in self._heard.values() if each.partition == partition]
        return max(lasts) + 1 if lasts else None

    def hear(
        self, partition: int, line: Line, feed: str | None, at: UnixMs | None
    ) -> Iterator[Stretch]:
        """Take one message and give the stretches that are complete by it.

        Args:
            partition: where it lies.
            line: the message.
            feed: whose it is; None when it is no feed's.
            at: its log's time; None when it says none.
        """
        expected = self._next.get(partition, line.offset)
        if line.offset != expected:
            yield from self._miss(partition, expected, line.offset)
        self._next[partition] = line.offset + 1
        if feed is not None and not self._is_known(feed, line, at):
            yield from self._note(partition, line, feed, at)
        yield from self.quiet(line.appended_at, partition)

    def quiet(self, at: UnixMs, partition: int | None = None) -> Iterator[Stretch]:
        """Give the stretches of feeds that are quiet, by the broker's time ``at``."""
        over = [
            feed
            for feed, stretch in self._open.items()
            if partition in (None, stretch.partition)
            and max(stretch.minute_at + MINUTE_MS, stretch.lines[-1].appended_at) + QUIET_MS <= at
        ]
        for feed in over:
            yield self._close(feed)

    def cut(self, feed: str, until_at: UnixMs) -> Iterator[Stretch]:
        """Give a feed's open stretch now, when its log has come as far as ``until_at``."""
        stretch = self._open.get(feed)
        if stretch is not None and stretch.to_at >= until_at:
            yield self._close(feed)

    def safe_offset(self, partition: int) -> int:
        """Return from where a partition must be heard again so that nothing is lost."""
        firsts = [
            each.lines[0].offset for each in self._open.values() if each.partition == partition
        ]
        return min([*firsts, self._next[partition]])

    def _is_known(self, feed: str, line: Line, at: UnixMs | None) -> bool:
        place = self._heard.get(feed)
        if place is None or feed in self._missed or line.offset > place.last_offset:
            return False
        if at is not None and at > place.to_at:
            # A lower offset at a later time: the log began anew while nobody listened.
            self._missed[feed] = (place.last_offset + 1, line.offset)
            return False
        return True

    def _note(self, partition: int, line: Line, feed: str, at: UnixMs | None) -> Iterator[Stretch]:
        place = self._heard.get(feed)
        floor = place.to_at if place else UnixMs(0)
        # A message that says no time happens at the time that the log has come to.
        now = max(floor, at if at is not None else floor or line.appended_at)
        minute_at = minute_of(now)
        stretch = self._open.get(feed)
        if stretch is not None and (
            minute_at > stretch.minute_at or stretch.size >= STRETCH_BYTES_MAX
        ):
            yield self._close(feed)
            stretch = None
        if stretch is None:
            stretch = self._open[feed] = Stretch(
                feed=feed,
                partition=partition,
                minute_at=minute_at,
                from_at=now,
                to_at=now,
                after=place.last_offset if place else None,
                missed=self._missed.pop(feed, None),
            )
        stretch.lines.append(line)
        stretch.size += len(line.payload or b"")
        stretch.to_at = now
        self._heard[feed] = Place(partition, now, line.offset)

    def _miss(self, partition: int, expected: int, heard: int) -> Iterator[Stretch]:
        """Close what is open here, and remember that something may be missing before what comes."""
        for feed, place in self._heard.items():
            if place.partition == partition:
                first, _ = self._missed.get(feed, (expected, heard))
                self._missed[feed] = (first, heard)
        for feed in [name for name, each in self._open.items() if each.partition == partition]:
            yield self._close(feed)

    def _close(self, feed: str) -> Stretch:
        return self._open.pop(feed)
