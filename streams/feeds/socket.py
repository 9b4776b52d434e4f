"""Socket: the life of one source: connect, subscribe, notice silence, reconnect, rotate.

In        a venue, its address, the symbols wanted; a clock, a random source, a way to connect.
Out       ticks, each to one plain function, as soon as they arrive.
Holds     the open lines (two while one replaces the other), and what was refused, by reason.
Promises  a bad frame never ends a line; no wait is unbounded; a stop leaves nothing open.
Why       there is no queue of ours between a frame and its tick: a backlog would make old prices
          look new. A line that falls behind is given up with its backlog and opened again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import structlog
from websockets.exceptions import WebSocketException
from websockets.uri import parse_uri

from rooms.units import UnixMs
from streams.feeds.admission import Reason
from streams.feeds.dial import dial, told_to_wait_ms
from streams.feeds.intake import Clock, Convert, Intake, Record, Sink
from streams.feeds.line import Line, Wire
from streams.feeds.patience import Pace, Patience, retry_ms
from streams.feeds.status import SourceStatus, StreamStatus
from streams.feeds.venue import (
    Accepted,
    Denied,
    Heard,
    History,
    Leave,
    SymbolOf,
    Trade,
    Venue,
    address_of,
    headers_of,
)

log = structlog.get_logger()

Dial = Callable[[str, Patience, Mapping[str, str], str | None], Awaitable[Wire]]

SHOWN_MAX = 200


class Listener:
    """One source, listened to until cancelled."""

    def __init__(
        self,
        venue: Venue,
        url: str,
        symbols: Mapping[str, SymbolOf],
        sink: Sink,
        *,
        clock: Clock,
        random: Random,
        patience: Patience | None = None,
        dial: Dial = dial,
        key: str | None = None,
        convert: Convert | None = None,
        record: Record | None = None,
    ) -> None:
        """Prepare to listen; nothing is opened before `listen`.

        Args:
            symbols: the venue's symbols, each with the feed and scale that it speaks for.
            sink: called for each tick with its feed, at once and in order; must not wait.
            key: the venue's API key, for those that want one.
            convert: makes a tick its feed's; raises `Unfit` when it cannot.
            record: called for each frame as it came, with the source and the receive time.

        Raises:
            InvalidURI: when the address is not a websocket's.
        """
        parse_uri(url)
        self.venue = venue
        self.url = url
        self._clock = clock
        self._random = random
        self._patience = patience or Patience()
        self._dial = dial
        self._address = address_of(venue.key, key, url)
        self._headers = {**venue.headers, **headers_of(venue.key, key, url)}
        self._intake = Intake(venue.name, venue.parse, sink, clock, convert=convert, record=record)
        self._pace = Pace(venue.attempts)
        self._lines: set[Line] = set()
        self._wanted = asyncio.Event()
        self._failures = 0
        self._connections = 0
        self._last_end: str | None = None
        self._log = log.bind(source=venue.name)
        self.update(symbols)

    def update(self, symbols: Mapping[str, SymbolOf]) -> None:
        """Want these symbols from now on; what stays is not disturbed.

        Raises:
            ValueError: when two symbols speak for one feed: a source has one voice.
        """
        changed = self._intake.want(symbols, self.venue.symbols_max)
        kept = self._intake.symbols
        for line in self._lines:
            # A symbol that now speaks for another feed starts afresh there.
            line.want(symbol for symbol in kept if symbol not in changed)
            line.want(kept)
        if kept:
            self._wanted.set()
        else:
            self._wanted.clear()

    async def listen(self) -> None:
        """Listen until cancelled, through every outage."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self._follow_one_line(tasks)
        finally:
            for line in set(self._lines):
                await line.end("stopped")

    def status(self) -> SourceStatus:
        """Say how this source is doing."""
        newest = max(self._lines, key=lambda line: line.opened_at, default=None)
        streams = newest.streams if newest is not None else {}
        intake = self._intake
        return SourceStatus(
            source=self.venue.name,
            url=self.url,
            connected=any(line.ready and line.ended is None for line in self._lines),
            frame_at=intake.frame_at,
            lag_ms=intake.lag_ms,
            ticks=intake.ticks,
            connections=self._connections,
            reconnects=max(0, self._connections - 1),
            denied=intake.denied,
            last_denial=intake.last_denial,
            last_end=self._last_end,
            refused={why.value: count for why, count in intake.refused.items()},
            streams={
                symbol: StreamStatus(
                    of.feed,
                    streams[symbol].heard_at if symbol in streams else None,
                    symbol in streams and streams[symbol].denied,
                )
                for symbol, of in intake.symbols.items()
            },
        )

    async def _follow_one_line(self, tasks: asyncio.TaskGroup) -> None:
        await self._wanted.wait()
        await self._wait_for_turn()
        line = await self._open()
        if line is None:
            self._failures += 1
            return
        before = set(self._lines)
        self._lines.add(line)
        line.want(self._intake.symbols)
        tasks.create_task(self._carry(line))
        if before:
            tasks.create_task(self._replace(before, line))
        await line.leaving.wait()
        if self.venue.is_alone:
            await line.end("replaced")
            await line.over.wait()
        calm = line.good_for_ms() >= self._patience.calm_ms or not self._wanted.is_set()
        self._failures = 0 if calm else self._failures + 1

    async def _wait_for_turn(self) -> None:
        wait_ms = max(
            retry_ms(self._failures, self._patience, self._random),
            self._pace.wait_ms(_now_ms()),
        )
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)
        self._pace.tried(_now_ms())

    async def _open(self) -> Line | None:
        try:
            wire = await self._dial(
                self._address, self._patience, self._headers, self.venue.subprotocol
            )
        except (OSError, EOFError, WebSocketException) as error:
            self._last_end = f"not opened: {error}"
            self._log.warning("line_not_opened", why=str(error), failures=self._failures + 1)
            await asyncio.sleep(told_to_wait_ms(error, self._patience) / 1000)
            return None
        self._connections += 1
        self._log.info("line_opened", url=self.url, symbols=len(self._intake.symbols))
        return Line(self.venue, wire, self._hear, self._clock)

    async def _carry(self, line: Line) -> None:
        try:
            self._last_end = await line.carry()
        finally:
            self._lines.discard(line)
        self._log.info("line_ended", why=self._last_end, good_for_ms=line.good_for_ms())

    async def _replace(self, before: set[Line], heir: Line) -> None:
        await heir.settled.wait()
        await asyncio.sleep(self._patience.overlap_ms / 1000)
        if heir.ready and heir.ended is None:
            for line in before:
                await line.end("replaced")

    def _hear(self, line: Line, frame: bytes) -> None:
        at, heard = self._intake.read(frame)
        for each in heard:
            self._take(line, each, at, frame)

    def _take(self, line: Line, heard: Heard, at: UnixMs, frame: bytes) -> None:
        match heard:
            case Trade():
                self._trade(line, heard, at, frame)
            case Accepted():
                line.answered()
            case Denied():
                self._intake.note_denial(heard, line.denied(heard))
            case History():
                self._intake.refused[Reason.HISTORY] += heard.count
            case Leave():
                self._log.info("asked_to_leave", why=heard.reason[:SHOWN_MAX])
                line.leaving.set()

    def _trade(self, line: Line, trade: Trade, at: UnixMs, frame: bytes) -> None:
        line.answered()
        stream = line.streams.get(trade.symbol)
        told = self._intake.admit(trade, at, stream.asked_at if stream else at, frame)
        if told is None:
            return
        feed, tick = told
        lag_ms = at - tick.source_at
        line.late_ticks = line.late_ticks + 1 if lag_ms > self._patience.behind_ms else 0
        if not line.late_ticks:
            line.good(trade.symbol, at)
        elif line.late_ticks >= self._patience.behind_count:
            line.give_up(f"behind by {lag_ms} ms")
        self._intake.tell(feed, tick, frame)


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
