"""Ticks: the feeds process, which joins what every source says into one log a feed.

In        the view `wanted`; the sockets of the sources.
Out       `ticks`: a message carries what arrived while the one before it was under way; a feed
          with nothing to say beats.
Promises  ticks of a source keep their order; a message's time never goes back in this process; a
          broker that is away costs ticks between the extremes, never memory, and in the end the
          process. A second process that does the same changes nothing: a tick that is known is
          passed over by its sequence.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final, Protocol

import structlog
from aiokafka import AIOKafkaProducer

from rooms.tick import Tick
from rooms.units import UnixMs
from storage import feeds
from storage.again import again
from storage.connections import Connections
from storage.feeds import WantedFeed
from streams import messages
from streams.doors import listening, serve
from streams.feeds.conversion import Conversion, symbol_of
from streams.feeds.poll import Poll
from streams.feeds.poller import Poller
from streams.feeds.socket import Listener
from streams.feeds.sources import SOURCES
from streams.feeds.venue import DOLLAR, SymbolOf
from streams.pushes import Pushes, door
from streams.topics import TICKS

BEAT_MS: Final = 250
WANTED_POLL_S: Final = 1.0
STATUS_EVERY_S: Final = 30.0
SEND_LIMIT_S: Final = 30.0
HELD_MAX: Final = 1_000
"""Ticks of one feed that wait for the broker before they are conflated."""

CLOCK_BACK_MS_MAX: Final = 1_000

log = structlog.get_logger()


class ClockWentBackError(Exception):
    """The machine's clock went back further than can be waited out: start again with it."""


class SteadyClock:
    """The machine's clock, which never goes back here."""

    def __init__(self, wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._wall_ms = wall_ms
        self._last = 0

    def __call__(self) -> UnixMs:
        """Return the time now.

        Raises:
            ClockWentBackError: when the machine's clock was set back.
        """
        now = self._wall_ms()
        if self._last - now > CLOCK_BACK_MS_MAX:
            raise ClockWentBackError(f"the clock went back by {self._last - now} ms")
        self._last = max(self._last, now)
        return UnixMs(self._last)


def conflate(ticks: Sequence[Tick]) -> list[Tick]:
    """Keep of each source its lowest, its highest and its last tick, in the order they came."""
    kept: set[int] = set()
    by_source: dict[str, list[int]] = {}
    for index, tick in enumerate(ticks):
        by_source.setdefault(tick.source, []).append(index)
    for indices in by_source.values():
        kept.add(min(indices, key=lambda index: ticks[index].value))
        kept.add(max(indices, key=lambda index: ticks[index].value))
        kept.add(indices[-1])
    return [ticks[index] for index in sorted(kept)]


class Sender(Protocol):
    """What takes a message to the broker and returns when it has answered."""

    async def __call__(self, feed: str, payload: bytes) -> None:
        """Send, and wait for the answer."""


class Batcher:
    """One feed's messages: at most one under way, the rest waits together."""

    def __init__(
        self, feed: str, send: Sender, clock: Callable[[], UnixMs], *, held_max: int = HELD_MAX
    ) -> None:
        self.feed = feed
        self.conflated = 0
        self._send = send
        self._clock = clock
        self._held_max = held_max
        self._held: list[Tick] = []
        self._full_at = held_max
        self._arrived = asyncio.Event()

    def hear(self, tick: Tick) -> None:
        """Take a tick; when too many wait, those between the extremes are let go."""
        self._held.append(tick)
        if len(self._held) >= self._full_at:
            kept = conflate(self._held)
            self.conflated += len(self._held) - len(kept)
            self._held = kept
            # With very many sources the extremes alone may fill it: then it grows with them only.
            self._full_at = max(self._held_max, 2 * len(kept))
        self._arrived.set()

    async def run(self) -> None:
        """Send until cancelled: at once when there are ticks, else a beat when it is time."""
        while True:
            await self._wait_for_tick()
            self._arrived.clear()
            held, self._held, self._full_at = self._held, [], self._held_max
            message = messages.ticks(self.feed, self._clock(), held)
            await self._send(self.feed, messages.write(message))

    async def _wait_for_tick(self) -> None:
        try:
            async with asyncio.timeout(BEAT_MS / 1000):
                await self._arrived.wait()
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedsSettings:
    """Say where the sources are.

    Attributes:
        urls: source to its address; one that is not named is heard at its public address.
        keys: source to its API key; one that wants a key and has none is off.
        sources: only these are heard; None: every one.
        push_at: host and port at which signed values are taken; None: nowhere.
    """

    urls: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    sources: frozenset[str] | None = None
    push_at: tuple[str, int] | None = None


class Feeding:
    """All sources and all feeds of the process."""

    def __init__(
        self, settings: FeedsSettings, send: Sender, *, clock: SteadyClock, random: Random
    ) -> None:
        self._send = send
        self._clock = clock
        self._batchers: dict[str, tuple[Batcher, asyncio.Task[None]]] = {}
        self._wanted: list[WantedFeed] | None = None
        self._conversion = Conversion()
        unknown = (set(settings.urls) | set(settings.keys)) - set(SOURCES)
        if unknown:
            raise ValueError(f"no such source: {', '.join(sorted(unknown))}")
        self.listeners: dict[str, Listener | Poller] = {}
        for name, source in SOURCES.items():
            if settings.sources is not None and name not in settings.sources:
                continue
            if source.needs_key and name not in settings.keys:
                continue
            url = settings.urls.get(name, source.default_url)
            convert = (
                None
                if source.quote == DOLLAR
                else partial(self._conversion.in_dollars, source.quote)
            )
            key = settings.keys.get(name)
            self.listeners[name] = (
                Poller(
                    source, url, {}, self.hear,
                    clock=clock, random=random, key=key, convert=convert,
                )
                if isinstance(source, Poll)
                else Listener(
                    source, url, {}, self.hear,
                    clock=clock, random=random, key=key, convert=convert,
                )
            )  # fmt: skip
        off = sorted(set(SOURCES) - set(self.listeners))
        if off:
            log.info("sources_off", sources=off)

    def want(self, wanted: list[WantedFeed], tasks: asyncio.TaskGroup) -> None:
        """Hear these feeds from now on, and no others."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._conversion.want(wanted, {each.venue.quote for each in self.listeners.values()})
        names = {feed.name for feed in wanted}
        for name in [known for known in self._batchers if known not in names]:
            self._batchers.pop(name)[1].cancel()
        for name in sorted(names - set(self._batchers)):
            batcher = Batcher(name, self._send, self._clock)
            self._batchers[name] = (batcher, tasks.create_task(batcher.run()))
        for source, listener in self.listeners.items():
            listener.update(symbols_of(source, wanted))
        log.info("feeds_wanted", feeds=sorted(names))

    def wanted_feed(self, name: str) -> WantedFeed | None:
        """Return a feed that is wanted now, or None."""
        return next((feed for feed in self._wanted or () if feed.name == name), None)

    def hear(self, feed: str, tick: Tick) -> None:
        """Take a tick of a feed, and what is made with it."""
        self._conversion.note(feed, tick)
        for name, told in ((feed, tick), *self._conversion.caps(feed, tick)):
            known = self._batchers.get(name)
            if known is not None:
                known[0].hear(told)

    def log_status(self) -> None:
        """Say how each source does."""
        for name, listener in self.listeners.items():
            status = listener.status()
            log.info(
                "source",
                source=name,
                connected=status.connected,
                ticks=status.ticks,
                lag_ms=status.lag_ms,
                reconnects=status.reconnects,
                refused=dict(status.refused),
                last_end=status.last_end,
            )


def symbols_of(source: str, wanted: Iterable[WantedFeed]) -> dict[str, SymbolOf]:
    """Return what to ask a source for."""
    return {
        feed.symbols[source]: symbol_of(
            feed, SOURCES[source].quote, is_cut=SOURCES[source].computes
        )
        for feed in wanted
        if source in feed.symbols
    }


async def run_feeds(
    settings: FeedsSettings,
    *,
    connections: Connections,
    producer: AIOKafkaProducer,
    random: Random,
    clock: SteadyClock | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Hear what is wanted and send it on, until cancelled.

    Raises:
        ExceptionGroup: when the broker or the database was away for too long.
        OSError: when somebody listens where signed values are to be taken.
    """

    async def send(feed: str, payload: bytes) -> None:
        async with asyncio.timeout(SEND_LIMIT_S):
            await producer.send_and_wait(TICKS, payload, key=feed.encode())

    async def read_wanted() -> list[WantedFeed]:
        async with connections.acquire() as connection:
            return await feeds.wanted(connection)

    clock = clock or SteadyClock()
    feeding = Feeding(settings, send, clock=clock, random=random)
    async with AsyncExitStack() as held, asyncio.TaskGroup() as tasks:
        if settings.push_at is not None:
            at = held.enter_context(listening(*settings.push_at))
            pushes = Pushes(feeding.wanted_feed, feeding.hear, clock)
            tasks.create_task(serve(door(pushes), at))
        feeding.want(await again(read_wanted), tasks)
        for listener in feeding.listeners.values():
            tasks.create_task(listener.listen())
        tasks.create_task(_tell_status(feeding))
        ready()
        while True:
            await asyncio.sleep(WANTED_POLL_S)
            feeding.want(await again(read_wanted), tasks)


async def _tell_status(feeding: Feeding) -> None:
    while True:
        await asyncio.sleep(STATUS_EVERY_S)
        feeding.log_status()
