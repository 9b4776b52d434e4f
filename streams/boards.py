"""Boards: what the gateway has heard, where every subscriber reads it.

In        messages of `prices`; public events in the order of their numbers.
Out       rings of frames; a pulse whenever one has grown.
Promises  what was told once is not told again, though a worker that took over may say it twice; a
          log that began anew is seen as such.
"""

import asyncio
from collections.abc import Collection
from typing import Final

import structlog

from storage.events import NumberedEvent
from streams import frames, messages
from streams.ring import NONE_GONE, Ring
from streams.topics import partition_of

log = structlog.get_logger()


class Pulse:
    """Wake everybody who waits, whenever there is something new."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        """Wake all who wait now."""
        self._next.set()
        self._next = asyncio.Event()

    def take(self) -> asyncio.Event:
        """Return what the next beat will set; take it before looking for what is new."""
        return self._next


class PriceBoard:
    """The newest frames of each feed."""

    def __init__(self, kept: int, *, partitions: int, whole: Collection[int]) -> None:
        """Prepare to hear; ``whole`` are the partitions that are read from their first message."""
        self._kept: Final = kept
        self._partitions: Final = partitions
        self._whole: Final = frozenset(whole)
        self._at: dict[str, int] = {}
        self._rings: dict[str, Ring] = {}
        self.pulse: Final = Pulse()

    def hear(self, payload: bytes | None) -> None:
        """Take a message of `prices`.

        Raises:
            Impossible: when it is none.
        """
        prices = messages.read_prices(payload)
        ring = self.ring(prices.feed)
        if prices.position <= ring.last_number:
            if prices.at <= self._at[prices.feed]:
                return
            log.warning("log_began_anew", feed=prices.feed, number=prices.position)
            ring.begin_anew()
        self._at[prices.feed] = prices.at
        ring.add(prices.position, frames.write(frames.told(prices)))
        self.pulse.beat()

    def ring(self, feed: str) -> Ring:
        """Return a feed's ring; one that has said nothing yet is empty."""
        ring = self._rings.get(feed)
        if ring is None:
            is_whole = partition_of(feed, self._partitions) in self._whole
            ring = Ring(self._kept, gone_number=NONE_GONE if is_whole else None)
            self._rings[feed] = ring
        return ring


class EventBoard:
    """The newest public events."""

    def __init__(self, kept: int, *, last_number: int) -> None:
        self.ring: Final = Ring(kept, gone_number=last_number)
        self.pulse: Final = Pulse()

    def hear(self, event: NumberedEvent) -> None:
        """Take the next public event."""
        self.ring.add(event.number, frames.write(frames.happened(event)))
        self.pulse.beat()
