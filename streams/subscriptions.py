"""Subscriptions: one subscriber told from its place on, until it leaves or falls behind.

In        a board; a place in it; a line to the subscriber.
Out       frames in order; a heartbeat when there was nothing to say for a while.
Promises  nothing is skipped in silence: what is gone is said to be gone; who is too slow is told
          from where to go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from rooms.units import UnixMs
from storage.events import NumberedEvent
from streams import frames
from streams.boards import EventBoard, PriceBoard
from streams.ring import NONE_GONE, Ring

BATCH_MAX: Final = 500


class TooSlow(Exception):
    """A subscriber does not keep up; the message says from where it may go on."""


class Connection(Protocol):
    """What a line needs of a websocket."""

    async def send(self, message: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How subscribers are told.

    Attributes:
        send_limit_ms: who does not take a frame in this time is too slow.
    """

    clock: Callable[[], UnixMs]
    heartbeat_ms: int = 10_000
    send_limit_ms: int = 10_000


class Line:
    """The way to one subscriber; `place` is where it may go on."""

    def __init__(self, connection: Connection, manners: Manners) -> None:
        self.place = ""
        self._connection = connection
        self._manners = manners
        self._spoke_s = 0.0

    async def say(self, text: str) -> None:
        """Send a frame.

        Raises:
            TooSlow: when the subscriber does not take it in time.
        """
        try:
            async with asyncio.timeout(self._manners.send_limit_ms / 1000):
                await self._connection.send(text)
        except TimeoutError:
            raise self.too_slow() from None
        self._spoke_s = asyncio.get_running_loop().time()

    def too_slow(self) -> TooSlow:
        """Return the verdict."""
        return TooSlow(f"too slow: resume with {self.place}" if self.place else "too slow")

    async def wait(self, news: asyncio.Event) -> bool:
        """Wait for news; say False when it is time for a heartbeat instead."""
        until_s = self._spoke_s + self._manners.heartbeat_ms / 1000
        try:
            async with asyncio.timeout_at(until_s):
                await news.wait()
        except TimeoutError:
            return False
        return True


async def tell_prices(
    line: Line, board: PriceBoard, after: Mapping[str, int | None], manners: Manners
) -> None:
    """Tell feeds from their places on, until the line ends.

    Raises:
        TooSlow: when the subscriber falls behind what is kept.
    """
    told = {feed: number for feed, number in after.items() if number is not None}
    places: dict[str, int] = {}
    beginnings = {feed: board.ring(feed).beginnings for feed in after}
    gaps: list[frames.Gap] = []
    for feed, number in after.items():
        ring = board.ring(feed)
        places[feed] = _place(ring, number)
        gap = None if number is None else _gap(feed, ring, number)
        if gap is not None:
            places[feed] = ring.first
            gaps.append(gap)
    await line.say(frames.write(frames.Hello(manners.heartbeat_ms, numbers=told)))
    for gap in gaps:
        await line.say(frames.write(gap))
    while True:
        news = board.pulse.take()
        if not await _tell_news(line, board, places, beginnings, told):
            if await line.wait(news):
                continue
            beat = frames.Heartbeat(manners.clock(), numbers=told)
            await line.say(frames.write(beat))


async def _tell_news(
    line: Line,
    board: PriceBoard,
    places: dict[str, int],
    beginnings: dict[str, int],
    told: dict[str, int],
) -> bool:
    spoke = False
    for feed in places:
        ring = board.ring(feed)
        if beginnings[feed] != ring.beginnings:
            beginnings[feed] = ring.beginnings
            reason = "numbers began again"
            gap = frames.Gap(feed, told.pop(feed, 0), reason, next=ring.first_number)
            places[feed] = ring.first
            await line.say(frames.write(gap))
        if places[feed] < ring.first:
            raise line.too_slow()
        for number, text in ring.after(places[feed], BATCH_MAX):
            await line.say(text)
            spoke = True
            places[feed] += 1
            told[feed] = number
            line.place = f"from={feed}:{number}"
    return spoke


def _place(ring: Ring, number: int | None) -> int:
    if number is None:
        # Somebody new hears at once what holds now.
        return max(ring.first, ring.end - 1)
    return ring.index_after(number)


def _gap(feed: str, ring: Ring, asked: int) -> frames.Gap | None:
    if ring.gone_number is None:
        return frames.Gap(feed, asked, "nothing is kept")
    if asked > max(ring.last_number, NONE_GONE):
        return frames.Gap(feed, asked, "numbers began again", next=ring.first_number)
    if asked < ring.gone_number:
        return frames.Gap(feed, asked, "older than what is kept", next=ring.first_number)
    return None


async def tell_events(
    line: Line,
    board: EventBoard,
    read_after: Callable[[int], Awaitable[list[NumberedEvent]]],
    cursor: int,
    manners: Manners,
) -> None:
    """Tell public events after ``cursor``, first what is only in the database, until the line ends.

    Raises:
        TooSlow: when the subscriber does not take a frame in time.
    """
    ring = board.ring
    line.place = f"cursor={cursor}"
    await line.say(frames.write(frames.Hello(manners.heartbeat_ms, number=cursor)))
    while True:
        news = board.pulse.take()
        gone_number = ring.gone_number
        assert gone_number is not None, "events are read from a known number on"
        if cursor < gone_number:
            found = [
                (each.number, frames.write(frames.happened(each)))
                for each in await read_after(cursor)
            ]
            if not found:
                # Nothing public lies between, and what comes after that is in the ring.
                cursor = gone_number
        else:
            found = ring.after(ring.index_after(cursor), BATCH_MAX)
            if not found and not await line.wait(news):
                await line.say(frames.write(frames.Heartbeat(manners.clock(), number=cursor)))
        for number, text in found:
            await line.say(text)
            cursor = number
            line.place = f"cursor={cursor}"
