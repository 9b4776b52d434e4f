"""Bus: a broker in this process: logs that keep everything, wake-ups that may be lost or doubled.

In        what the relay and the market send.
Out       streams as Faust gives them to agents, from where their group left off.
Promises  a log loses nothing that was answered and may hold something twice; a wake-up may come
          late, twice or never, as with any broker between a crash and its return.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

from rooms.units import UnixMs
from storage.live import LivePrice
from streams.relay import BrokerAwayError, Message
from tests.simulation.database import EPOCH_MS
from tests.simulation.lives import Life
from tests.simulation.turns import Turns
from tests.simulation.weather import Weather

WAKE_LATE_S_MAX = 4.0
LOG_APPEND_TIME = 1
PARTITION = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """A message in the feeds' log."""

    offset: int
    key: bytes
    value: bytes
    appended_ms: int


@dataclass
class Bus:
    """The broker of one story."""

    turns: Turns
    weather: Weather
    log: list[Kept] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    wakes: dict[str, list["Wakes"]] = field(default_factory=dict)
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    committed: int = 0
    generation: int = 0
    live: dict[str, LivePrice] = field(default_factory=dict)

    def append(self, key: bytes, value: bytes) -> None:
        """Keep a message of a feed's log."""
        self.log.append(Kept(len(self.log), key, value, EPOCH_MS + self.turns.now_ms))
        self.grown.set()

    def deliver(self, message: Message) -> None:
        """Take a message as the relay sends it."""
        match message.topic:
            case "ticks":
                assert message.key is not None, "a feed's log has keys"
                self.append(message.key, message.value)
            case "events":
                self.events.append(message.value)
            case topic:
                self._wake(topic)

    def _wake(self, topic: str) -> None:
        hearing = self.wakes.get(topic, [])
        if not hearing or self.weather.strikes("wake_up_lost"):
            return
        times = 2 if self.weather.strikes("wake_up_twice") else 1
        for _ in range(times):
            wakes = self.weather.random.choice(hearing)
            late_s = 0.0
            if self.weather.strikes("wake_up_late"):
                late_s = self.weather.random.uniform(0.0, WAKE_LATE_S_MAX)
            asyncio.get_running_loop().call_later(late_s, wakes.waiting.set)


class Wakes:
    """Look like a Faust stream of wake-ups."""

    def __init__(self, bus: Bus, topic: str, life: Life) -> None:
        self.waiting = asyncio.Event()
        hearing = bus.wakes.setdefault(topic, [])
        hearing.append(self)
        life.ends.append(lambda: hearing.remove(self))

    def noack(self) -> Self:
        """Return itself."""
        return self

    async def events(self) -> AsyncIterator[SimpleNamespace]:
        """Give one wake-up after another."""
        while True:
            await self.waiting.wait()
            self.waiting.clear()
            yield SimpleNamespace(ack=lambda: True)


class Ticks:
    """Look like a Faust stream of the feeds' log, acknowledged by hand."""

    def __init__(self, bus: Bus, life: Life) -> None:
        self._bus = bus
        self._life = life
        bus.generation += 1
        self.generation = bus.generation

    def noack(self) -> Self:
        """Return itself."""
        return self

    async def events(self) -> AsyncIterator[SimpleNamespace]:
        """Give one message after another, from where the group left off."""
        place = self._bus.committed
        while True:
            while place >= len(self._bus.log):
                self._bus.grown.clear()
                await self._bus.grown.wait()
            kept = self._bus.log[place]
            place += 1
            await self._bus.turns.turn(f"{self._life.name} hears")
            self._life.check()
            message = SimpleNamespace(
                topic="ticks",
                partition=PARTITION,
                offset=kept.offset,
                key=kept.key,
                timestamp=kept.appended_ms / 1000,
                timestamp_type=LOG_APPEND_TIME,
                generation_id=self.generation,
            )
            yield SimpleNamespace(
                message=message, value=kept.value, ack=self._acknowledge(kept.offset)
            )

    def _acknowledge(self, offset: int) -> Callable[[], bool]:
        def ack() -> bool:
            if self._life.lives and self._bus.generation == self.generation:
                self._bus.committed = max(self._bus.committed, offset + 1)
            return True

        return ack


@dataclass
class Producer:
    """Look like the way onto the broker, for the relay and for the prices stage."""

    bus: Bus
    life: Life

    async def send_all(self, messages: Sequence[Message]) -> None:
        """Send in this order; some may arrive though no answer comes."""
        weather = self.bus.weather
        await self.bus.turns.turn(f"{self.life.name} sends")
        self.life.check()
        if weather.strikes("broker_away_before"):
            raise BrokerAwayError("nothing arrived")
        if weather.strikes("broker_away_halfway"):
            for message in messages[: weather.random.randrange(len(messages))]:
                self.bus.deliver(message)
            raise BrokerAwayError("some of it arrived")
        for message in messages:
            self.bus.deliver(message)
        self.bus.turns.note(f"{self.life.name} sends {[each.topic for each in messages]}")
        if weather.strikes("broker_away_after"):
            raise BrokerAwayError("all of it arrived, and no answer")

    async def send(self, topic: str, value: bytes, key: bytes) -> "asyncio.Future[Any]":
        """Send one message of `prices`, which nobody here reads."""
        del topic, value, key
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.set_result(None)
        return answer


@dataclass
class Live:
    """Look like the live prices in Redis."""

    bus: Bus

    async def set_prices(self, prices: Iterable[LivePrice]) -> bool:
        """Keep them."""
        for price in prices:
            known = self.bus.live.get(price.feed)
            if known is None or known.seen_at <= price.seen_at:
                self.bus.live[price.feed] = price
        return True

    async def prices_of(self, feeds: Iterable[str]) -> dict[str, LivePrice]:
        """Return those that are known."""
        return {feed: self.bus.live[feed] for feed in sorted(feeds) if feed in self.bus.live}


@dataclass
class Ends:
    """Look like what knows the logs' ends."""

    bus: Bus

    async def ends(self, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return where the log ends."""
        return dict.fromkeys(partitions, len(self.bus.log))

    async def committed(
        self, group: str, partitions: Collection[tuple[str, int]]
    ) -> dict[tuple[str, int], int]:
        """Return from where the group would go on."""
        del group
        return dict.fromkeys(partitions, self.bus.committed)


@dataclass
class App:
    """Look like a Faust app, as far as the prices stage asks it anything."""

    bus: Bus
    stream: Ticks
    conf: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(id="rooms-worker"))

    @property
    def consumer_generation_id(self) -> int:
        """Return which assignment this is."""
        return self.stream.generation

    @property
    def consumer(self) -> SimpleNamespace:
        """Return what knows the assignment."""
        place = SimpleNamespace(topic="ticks", partition=PARTITION)
        return SimpleNamespace(assignment=lambda: [place])


def moment(turns: Turns) -> UnixMs:
    """Return the virtual time as a moment."""
    return UnixMs(EPOCH_MS + turns.now_ms)
