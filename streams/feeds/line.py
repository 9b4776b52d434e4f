"""Line: one connection to a venue, from its opening to its end.

In        an open wire, the venue's rules, the symbols wanted now.
Out       every frame, in order, to one plain function; why the line ended.
Promises  a dead line ends within its silence; frames of ours keep the venue's pace; what cannot be
          read at once waits in the wire's own bounded buffer and then in TCP: nothing is dropped.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, Protocol

from websockets.exceptions import ConnectionClosed, WebSocketException

from rooms.units import UnixMs
from streams.feeds.venue import Denied, Venue

STREAM_WAIT_MAX_MS = 600_000
REQUESTS_KEPT = 256


class Wire(Protocol):
    """What a line needs of a websocket."""

    async def recv(self, decode: Literal[False]) -> bytes: ...

    async def send(self, message: str) -> None: ...

    async def ping(self) -> Awaitable[float]: ...

    async def close(self) -> None: ...


class Stream:
    """One symbol on one line."""

    __slots__ = ("asked_at", "denied", "heard_at", "heard_ms", "wait_ms")

    def __init__(self, asked_at: UnixMs, now_ms: int, wait_ms: int) -> None:
        self.asked_at = asked_at
        self.heard_at: UnixMs | None = None
        self.heard_ms = now_ms
        self.wait_ms = wait_ms
        self.denied = False


class Line:
    """One connection.

    It is `ready` when the venue answered, `leaving` when it wants a successor, `over` when it is
    closed.
    """

    def __init__(
        self,
        venue: Venue,
        wire: Wire,
        hear: Callable[["Line", bytes], None],
        clock: Callable[[], UnixMs],
    ) -> None:
        self.venue = venue
        self.opened_at = clock()
        self.streams: dict[str, Stream] = {}
        self.ready = False
        self.late_ticks = 0
        self.settled = asyncio.Event()
        self.leaving = asyncio.Event()
        self.over = asyncio.Event()
        self.ended: str | None = None
        self._wire = wire
        self._hear = hear
        self._clock = clock
        self._outbox: deque[str] = deque()
        self._requests: dict[int, tuple[str, ...]] = {}
        self._request = 0
        self._sends = 0
        self._changed = asyncio.Event()
        now = _now_ms()
        self._opened_ms = self._heard_ms = self._probed_ms = self._probed_always_ms = now
        self._send_ms = now
        self._first_good_ms: int | None = None
        self._last_good_ms = now

    async def carry(self) -> str:
        """Hear every frame until the line ends, and say why it did."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch())
                try:
                    while True:
                        frame = await self._wire.recv(decode=False)
                        self._heard_ms = _now_ms()
                        self._hear(self, frame)
                except ConnectionClosed as closed:
                    self.ended = self.ended or f"closed: {closed}"
                finally:
                    watch.cancel()
        finally:
            self.ended = self.ended or "stopped"
            self.settled.set()
            self.leaving.set()
            try:
                await self._wire.close()
            finally:
                self.over.set()
        return self.ended

    def want(self, symbols: Iterable[str]) -> None:
        """Subscribe what is new and unsubscribe what is gone."""
        wanted = dict.fromkeys(symbols)
        gone = [symbol for symbol in self.streams if symbol not in wanted]
        new = [symbol for symbol in wanted if symbol not in self.streams]
        for symbol in gone:
            del self.streams[symbol]
        for symbol in new:
            self.streams[symbol] = Stream(self._clock(), _now_ms(), self.venue.stream_silence_ms)
        if self.venue.asks_for_all:
            if (gone or new) and wanted:
                self._ask(self.venue.subscribe, list(wanted))
            elif gone:
                self._ask(self.venue.unsubscribe, gone)
            return
        size = self.venue.symbols_per_request
        for start in range(0, len(gone), size):
            self._ask(self.venue.unsubscribe, gone[start : start + size])
        for start in range(0, len(new), size):
            self._ask(self.venue.subscribe, new[start : start + size])

    def answered(self) -> None:
        """Note that the venue took a subscription or sent a trade."""
        self.ready = True
        self.settled.set()

    def good(self, symbol: str, at: UnixMs) -> None:
        """Note a tick."""
        stream = self.streams[symbol]
        stream.heard_at, stream.heard_ms = at, self._heard_ms
        stream.wait_ms, stream.denied = self.venue.stream_silence_ms, False
        if self._first_good_ms is None:
            self._first_good_ms = self._heard_ms
        self._last_good_ms = self._heard_ms

    def good_for_ms(self) -> int:
        """Say how long this line has carried ticks."""
        return 0 if self._first_good_ms is None else self._last_good_ms - self._first_good_ms

    def denied(self, denied: Denied) -> Sequence[str]:
        """Say which symbols a refusal is about; where only the request is known, ask for each."""
        if denied.request is not None and denied.symbol is not None:
            blamed: Sequence[str] = (denied.symbol,)  # The others were answered for themselves.
        else:
            newest = next(reversed(self._requests), 0)
            request = newest if denied.request is None else denied.request
            asked = self._requests.pop(request, ())
            blamed = asked if denied.symbol is None else (denied.symbol,)
            if len(asked) > 1 and blamed[0] in asked and not self.venue.asks_for_all:
                for symbol in asked:
                    if symbol in self.streams and symbol != denied.symbol:
                        self._ask(self.venue.subscribe, [symbol])
        if len(blamed) == 1 and blamed[0] in self.streams:
            self.streams[blamed[0]].denied = True
        return blamed

    async def end(self, reason: str) -> None:
        """End the line for this reason; its `carry` returns it."""
        self.ended = self.ended or reason
        self.leaving.set()  # A dead peer delays the close; the successor need not wait for it.
        await self._wire.close()

    def give_up(self, reason: str) -> None:
        """End the line for this reason, soon."""
        self.ended = self.ended or reason
        self._changed.set()

    def _ask(self, ask: Callable[[Sequence[str], int], str], symbols: Sequence[str]) -> None:
        self._request += 1
        self._requests[self._request] = tuple(symbols)
        self._requests.pop(self._request - REQUESTS_KEPT, None)
        self._outbox.append(ask(symbols, self._request))
        self._changed.set()

    async def _watch(self) -> None:
        try:
            while True:
                now = _now_ms()
                if self.ended is not None:
                    await self.end(self.ended)
                    return
                if now - self._heard_ms >= self.venue.silence_ms:
                    await self.end(f"silent for {self.venue.silence_ms} ms")
                    return
                if now - self._opened_ms >= self.venue.lifetime_ms:
                    self.leaving.set()
                self._ask_quiet_streams(now)
                await self._probe_when_due(now)
                await self._send_when_due(now)
                self._changed.clear()
                try:
                    async with asyncio.timeout(max(1, self._due_ms() - _now_ms()) / 1000):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        except WebSocketException:
            return  # The reader meets the same end, and says why.

    def _due_ms(self) -> int:
        venue = self.venue
        due = [self._heard_ms + venue.silence_ms]
        if not self.leaving.is_set():
            due.append(self._opened_ms + venue.lifetime_ms)
        if self._outbox:
            due.append(self._send_ms)
        elif not venue.beats:
            due.append(max(self._heard_ms, self._probed_ms) + venue.probe_ms)
        if venue.probe_always_ms is not None and not self._outbox:
            due.append(self._probed_always_ms + venue.probe_always_ms)
        due.extend(stream.heard_ms + stream.wait_ms for stream in self.streams.values())
        return min(due)

    def _ask_quiet_streams(self, now: int) -> None:
        for symbol, stream in self.streams.items():
            if now - stream.heard_ms >= stream.wait_ms:
                stream.heard_ms = now
                stream.wait_ms = min(stream.wait_ms * 2, STREAM_WAIT_MAX_MS)
                if self.venue.asks_for_all:
                    self._ask(self.venue.subscribe, list(self.streams))
                    continue
                self._ask(self.venue.unsubscribe, [symbol])
                self._ask(self.venue.subscribe, [symbol])

    async def _probe_when_due(self, now: int) -> None:
        venue = self.venue
        if self._outbox:
            return  # What is about to go out will be answered too.
        quiet = not venue.beats and now - max(self._heard_ms, self._probed_ms) >= venue.probe_ms
        always = (
            venue.probe_always_ms is not None
            and now - self._probed_always_ms >= venue.probe_always_ms
        )
        if not quiet and not always:
            return
        self._probed_ms = self._probed_always_ms = now
        if venue.probe is None:
            asyncio.ensure_future(await self._wire.ping()).add_done_callback(self._ponged)
        else:
            self._request += 1
            self._outbox.append(venue.probe(self._request))

    def _ponged(self, answer: "asyncio.Future[float]") -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._heard_ms = _now_ms()

    async def _send_when_due(self, now: int) -> None:
        if not self._outbox or now < self._send_ms:
            return
        await self._wire.send(self._outbox.popleft())
        self._send_ms = now + self.venue.send_gap_ms
        self._sends += 1
        if self._sends >= self.venue.sends_max:
            self.leaving.set()


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
