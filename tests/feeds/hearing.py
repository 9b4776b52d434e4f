"""Hearing: one listener at one sandbox venue, and a way to wait for what it hears.

In        a running sandbox, a venue's name, coins; waits made small.
Out       its ticks and frames in order; `until` a condition holds.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from random import Random

from rooms.tick import Tick
from rooms.units import UnixMs
from sandbox.venues import spoken
from sandbox.venues.serve import Rules, Venues, VenuesSettings
from streams.feeds.patience import Patience
from streams.feeds.poller import Poller
from streams.feeds.socket import Listener
from streams.feeds.sources import POLLS, SOCKETS, SOURCES
from streams.feeds.venue import Attempts, SymbolOf, Venue

QUICK = Patience(
    open_ms=2_000, close_ms=100, retry_first_ms=10, retry_max_ms=50, overlap_ms=60, calm_ms=100
)
BRISK = VenuesSettings(
    trade_ms=25,
    rules=Rules(heartbeat_ms=60, binance_messages_a_second=50, pyth_messages_a_second=50),
)
LIMIT_S = 20
LOOK_S = 0.05
SCALE = 8


def now() -> UnixMs:
    """Return the machine's moment, as the sandbox's venues do."""
    return UnixMs(time.time_ns() // 1_000_000)


def quick(venue: str) -> Venue:
    """Give a venue with its waits made small."""
    return replace(
        SOCKETS[venue],
        probe_ms=100,
        silence_ms=500,
        send_gap_ms=20,
        stream_silence_ms=60_000,
        attempts=Attempts(1_000, 1_000),
    )


class Hearing:
    """What one listener has heard so far."""

    def __init__(self) -> None:
        self.ticks: list[tuple[str, Tick]] = []
        self.frames: list[str] = []
        self._news = asyncio.Event()
        self.listener: Listener | Poller

    def sink(self, feed: str, tick: Tick) -> None:
        """Keep a tick."""
        self.ticks.append((feed, tick))
        self._news.set()

    def record(self, source: str, at: UnixMs, frame: str) -> None:
        """Keep a frame."""
        del source, at
        self.frames.append(frame)
        self._news.set()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until the condition holds, looking again at every frame and now and then."""
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._news.wait()

    async def more(self, count: int = 3) -> None:
        """Wait for so many more ticks."""
        wanted = len(self.ticks) + count
        await self.until(lambda: len(self.ticks) >= wanted)

    def count(self, feed: str) -> int:
        """Count a feed's ticks."""
        return sum(1 for heard, _ in self.ticks if heard == feed)


def symbol_at(source: str, coin: str) -> str:
    """Return what we call a coin at a source; where only a mint names it, the sandbox knows it."""
    ours = SOCKETS[source].symbol if source in SOCKETS else None
    return ours(coin) if ours is not None else spoken.symbol_at(source, coin)


def symbols_of(venue: str, coins: Iterable[str]) -> Mapping[str, SymbolOf]:
    """Give the venue's symbols of these coins."""
    return {
        symbol_at(venue, coin): SymbolOf(
            f"{coin}/USD", SCALE, value_max=10**30, is_cut=SOURCES[venue].computes
        )
        for coin in coins
    }


Story = Callable[[Venues, str], Coroutine[None, None, None]]


def at_every_venue(story: Story) -> Callable[[Venues], Coroutine[None, None, None]]:
    """Make one story of a venue a test of all of them, told at the same time."""
    return _at(story, SOCKETS)


def at_every_poll(story: Story) -> Callable[[Venues], Coroutine[None, None, None]]:
    """Make one story of a source that is asked a test of all of them."""
    return _at(story, POLLS)


def _at(story: Story, names: Iterable[str]) -> Callable[[Venues], Coroutine[None, None, None]]:

    async def at(venues: Venues, name: str) -> None:
        try:
            await story(venues, name)
        except Exception as error:
            error.add_note(f"at {name}")
            raise

    async def test(venues: Venues) -> None:
        async with asyncio.TaskGroup() as stories:
            for name in names:
                stories.create_task(at(venues, name))

    test.__name__ = story.__name__
    test.__doc__ = story.__doc__
    return test


@asynccontextmanager
async def hearing(
    venues: Venues,
    name: str,
    *coins: str,
    venue: Venue | None = None,
    patience: Patience = QUICK,
    keyed: bool = True,
) -> AsyncIterator[Hearing]:
    """Listen to one sandbox venue while the block runs."""
    heard = Hearing()
    url, symbols = venues.url(name), symbols_of(name, coins or ("SOL",))
    if name in POLLS:
        poll = replace(POLLS[name], every_ms=20, every_ms_keyless=None)
        heard.listener = Poller(
            poll,
            url,
            symbols,
            heard.sink,
            clock=now,
            random=Random(1),
            patience=patience,
            key="sandbox" if keyed else None,
            record=heard.record,
        )
    else:
        heard.listener = Listener(
            venue or quick(name),
            url,
            symbols,
            heard.sink,
            clock=now,
            random=Random(1),
            patience=patience,
            key="sandbox" if keyed else None,
            record=heard.record,
        )
    listening = asyncio.create_task(heard.listener.listen())
    try:
        yield heard
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        if not listening.cancelled():
            listening.result()
