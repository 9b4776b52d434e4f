"""Contestants: everybody who turns the same log of ticks into the same prices and decisions.

Run       python -m benchmarks.contestants NAME COURSE; `benchmarks.ticks` does.
In        a course as JSON: where the log is, what it holds, which rooms are open.
Out       one line of JSON: messages, prices told, rooms decided, seconds from first to last.
Why       each decides with `rooms.feed_log`, so what differs is the engine around it. Ours also
          stores seconds, decisions and evidence in PostgreSQL; the others only send what they say.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from tempfile import TemporaryDirectory
from typing import Any, Final

import faust
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.market import START
from cli.clock import now_ms
from cli.logs import set_up_logs
from rooms.feed import Guards
from rooms.feed_log import Decided, FeedLog, OpenRoom, Told
from rooms.index_price import IndexPrice, Silence
from rooms.room import Comparator
from rooms.units import Bps, UnixMs, Value
from storage.connections import open_connections
from storage.live import Live, open_live
from streams import messages
from streams.app import build_app, positions, run_app
from streams.log_ends import open_log_ends
from streams.prices import PriceDeps, attach_prices
from streams.producer import open_producer
from streams.topics import PARTITIONS, TICKS

SAID: Final = "peer-prices"
DECISIONS: Final = "peer-decisions"
SINGLE: Final = "peer-ticks"
"""The same log, a tick a message, for those who do not batch."""

LIMIT_S: Final = 300.0
LOOK_EVERY_S: Final = 0.05
ROOM_STEP: Final = START // 20_000
FAR: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a contestant is given.

    Attributes:
        messages: how many there are to read.
        rooms: how many are open on each feed; the nearest targets are reached on the way.
        first_at: the log's first moment; ``last_at`` its last.
    """

    bootstrap: str
    dsn: str
    redis_url: str
    feeds: tuple[str, ...]
    rooms: int
    messages: int
    first_at: int
    last_at: int


@dataclass(slots=True)
class Result:
    """What a contestant did."""

    messages: int = 0
    told: int = 0
    decided: int = 0
    seconds: float = 0.0


def target(number: int) -> Value:
    """Return the target of a feed's room: a step further away each, above the start."""
    return Value(START + ROOM_STEP * number)


def room(identity: int, number: int, first_at: int) -> OpenRoom:
    """Make a room that has been watched since the log began."""
    return OpenRoom(
        id=identity,
        comparator=Comparator.UP,
        move_bps=Bps(50),
        target=target(number),
        opened_at=UnixMs(first_at - 9_000),
        lock_at=UnixMs(first_at - 8_000),
        watch_at=UnixMs(first_at - 1_000),
        deadline_at=UnixMs(first_at + FAR),
        target_wait_ms=10_000,
        gap_ms_max=60_000,
    )


class Deciding:
    """The rules, for those who only send what they say."""

    def __init__(self, course: Course) -> None:
        self.result = Result()
        self._course = course
        self._logs = {
            name: FeedLog(
                Guards(),
                rooms=[
                    room(index * FAR + number, number, course.first_at)
                    for number in range(1, course.rooms + 1)
                ],
            )
            for index, name in enumerate(course.feeds)
        }
        self._began = 0.0
        self.done = asyncio.Event()

    def hear(self, heard: messages.Ticks) -> tuple[list[IndexPrice | Silence], list[Decided]]:
        """Apply a message and return what follows from it."""
        if not self.result.messages:
            self._began = time.perf_counter()
        told: list[IndexPrice | Silence] = []
        decided: list[Decided] = []
        for effect in self._logs[heard.feed].hear(UnixMs(heard.at), heard.told()):
            if isinstance(effect, Told):
                told.append(effect.price)
            elif isinstance(effect, Decided):
                decided.append(effect)
        self.result.told += len(told)
        self.result.decided += len(decided)
        return told, decided

    def note(self) -> None:
        """Count a message as done, with all that followed."""
        self.result.messages += 1
        if self.result.messages == self._course.messages:
            self.result.seconds = time.perf_counter() - self._began
            self.done.set()


def said(heard: messages.Ticks, position: int, told: list[IndexPrice | Silence]) -> bytes:
    """Write the message that tells prices, as ours is written."""
    return messages.write(messages.prices(heard.feed, 8, position, UnixMs(heard.at), told))


async def ours(course: Course) -> Result:
    """Run the product's own stage, as a worker does."""
    async with AsyncExitStack() as held:
        connections = await held.enter_async_context(open_connections(course.dsn, name="bench"))
        live = await held.enter_async_context(open_live(course.redis_url))
        app = build_app(f"bench-{os.getpid()}", course.bootstrap)
        places = positions(app)
        attach_prices(
            app,
            PriceDeps(
                connections=connections,
                live=live,
                producer=await held.enter_async_context(
                    open_producer(course.bootstrap, name="bench")
                ),
                ends=await held.enter_async_context(open_log_ends(course.bootstrap)),
                partitions=PARTITIONS,
                clock=now_ms,
            ),
        )
        working = asyncio.create_task(run_app(app))
        began = 0.0
        try:
            # Live prices are asked for only at the end: every question costs the loop time.
            while sum(places.next_offset.values()) < course.messages or not await _all_handled(
                live, course
            ):
                began = began or (time.perf_counter() if places.next_offset else 0.0)
                if working.done():
                    working.result()
                await asyncio.sleep(LOOK_EVERY_S)
            seconds = time.perf_counter() - began
        finally:
            working.cancel()
            await asyncio.wait([working])
        decided = await connections.fetchval("SELECT count(*) FROM crossings")
        told = await connections.fetchval("SELECT sum(changes) FROM feed_seconds")
        return Result(course.messages, told or 0, decided, seconds)


async def _all_handled(live: Live, course: Course) -> bool:
    """Say whether the stage has shown a live price of the last moment of every feed."""
    shown = await live.prices_of(course.feeds)
    return len(shown) == len(course.feeds) and all(
        price.seen_at >= course.last_at for price in shown.values()
    )


async def plain_faust(course: Course) -> Result:
    """Run an agent as the library's tutorial writes it: a JSON message a tick, its own acks."""
    deciding = Deciding(course)
    app = faust.App(
        f"bench-{os.getpid()}",
        broker=f"kafka://{course.bootstrap}",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        autodiscover=False,
        store="memory://",
        consumer_auto_offset_reset="earliest",
    )
    prices = app.topic(SAID, value_serializer="raw")
    decisions = app.topic(DECISIONS, value_serializer="raw")

    async def agent(stream: Any) -> None:  # noqa: ANN401 - a Faust stream
        position = 0
        async for value in stream:
            heard = messages.read_heard(value)
            assert isinstance(heard, messages.Ticks)
            told, decided = deciding.hear(heard)
            if told:
                await prices.send(key=heard.feed.encode(), value=said(heard, position, told))
            for each in decided:
                await decisions.send(key=heard.feed.encode(), value=msgspec.json.encode(each))
            position += 1
            deciding.note()

    app.agent(app.topic(SINGLE, value_serializer="raw"), name="plain")(agent)
    await app.start()
    try:
        await deciding.done.wait()
    finally:
        await app.stop()
    return deciding.result


async def bare_aiokafka(course: Course) -> Result:
    """Run a loop over aiokafka's own consumer, the same batches as ours, no database."""
    deciding = Deciding(course)
    consumer = AIOKafkaConsumer(
        TICKS,
        bootstrap_servers=course.bootstrap,
        group_id=f"bench-{os.getpid()}",
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=course.bootstrap, acks="all")
    await consumer.start()
    await producer.start()
    try:
        async for record in consumer:
            heard = messages.read_heard(record.value)
            assert isinstance(heard, messages.Ticks)
            told, decided = deciding.hear(heard)
            if told:
                await producer.send(SAID, said(heard, record.offset, told), key=record.key)
            for each in decided:
                await producer.send(DECISIONS, msgspec.json.encode(each), key=record.key)
            deciding.note()
            if deciding.done.is_set():
                break
    finally:
        await consumer.stop()
        await producer.stop()
    return deciding.result


async def quix(course: Course) -> Result:
    """Run Quix Streams with the same join, a message a tick."""
    from quixstreams import Application

    deciding = Deciding(course)

    with TemporaryDirectory() as folder:
        app = Application(
            broker_address=course.bootstrap,
            consumer_group=f"bench-{os.getpid()}",
            auto_offset_reset="earliest",
            auto_create_topics=False,
            state_dir=folder,
            loglevel="ERROR",
        )

        def decide(value: bytes) -> bytes | None:
            heard = messages.read_heard(value)
            assert isinstance(heard, messages.Ticks)
            told, decided = deciding.hear(heard)
            deciding.note()
            if deciding.done.is_set():
                app.stop()
            if not told and not decided:
                return None
            return said(heard, deciding.result.messages, told)

        frame = app.dataframe(
            app.topic(SINGLE, key_deserializer="bytes", value_deserializer="bytes")
        )
        frame = frame.apply(decide).filter(lambda value: value is not None)
        frame.to_topic(app.topic(SAID, key_serializer="bytes", value_serializer="bytes"))
        app.run()  # It takes the main thread, and its signals, for itself.
    return deciding.result


NAMES: Final[dict[str, Callable[[Course], Awaitable[Result]]]] = {
    "ours": ours,
    "plain Faust": plain_faust,
    "bare aiokafka": bare_aiokafka,
    "Quix Streams": quix,
}
BATCHED: Final = ("ours", "bare aiokafka")


async def _compete(name: str, course: Course) -> Result:
    async with asyncio.timeout(LIMIT_S):
        return await NAMES[name](course)


if __name__ == "__main__":
    set_up_logs("bench", "people", level=logging.WARNING)
    _course = msgspec.json.decode(sys.argv[2].encode(), type=Course)
    _profile = os.environ.get("BENCH_PROFILE")
    if _profile:
        import cProfile

        _profiler = cProfile.Profile()
        _profiler.enable()
    _result = asyncio.run(_compete(sys.argv[1], _course))
    if _profile:
        _profiler.disable()
        _profiler.dump_stats(_profile)
    print(json.dumps(asdict(_result)), flush=True)
