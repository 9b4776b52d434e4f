"""What sources say becomes messages: batched, beating, bounded; and the process on sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from rooms.feed import Feed, Guards
from rooms.refusal import must
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value
from storage import feeds
from storage.connections import Connections
from streams import messages
from streams.feeds.sources import made_with
from streams.messages import Ticks
from streams.producer import open_producer
from streams.ticks import (
    Batcher,
    ClockWentBackError,
    FeedsSettings,
    SteadyClock,
    conflate,
    run_feeds,
    symbols_of,
)
from streams.topics import TICKS
from tests.kafka import Kafka

AT = UnixMs(1_700_000_000_000)


def tick(source: str, sequence: int, value: int) -> Tick:
    return Tick(source, sequence, Value(value), AT, AT)


streams_of_ticks = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=60).map(
    lambda told: [tick(source, n, value) for n, (source, value) in enumerate(told)]
)


@given(streams_of_ticks)
def test_conflating_keeps_each_sources_extremes_and_last_in_order(told: list[Tick]) -> None:
    kept = conflate(told)
    assert kept == [each for each in told if each in kept]
    for source in {each.source for each in told}:
        before = [each for each in told if each.source == source]
        after = [each for each in kept if each.source == source]
        assert after[-1] == before[-1]
        for extreme in (min, max):
            assert extreme(e.value for e in after) == extreme(e.value for e in before)
        assert len(after) <= 3


@given(streams_of_ticks)
def test_conflating_twice_is_conflating_once(told: list[Tick]) -> None:
    assert conflate(conflate(told)) == conflate(told)


def test_the_clock_never_goes_back_and_says_when_the_machines_did() -> None:
    told = iter([1_000, 900, 1_001, 0])
    clock = SteadyClock(lambda: next(told))
    assert [clock(), clock(), clock()] == [1_000, 1_000, 1_001]
    with pytest.raises(ClockWentBackError):
        clock()


class Broker:
    """Takes messages one after another, each when it is allowed to."""

    def __init__(self) -> None:
        self._sent: asyncio.Queue[Ticks] = asyncio.Queue()
        self._answers = asyncio.Semaphore(0)

    async def __call__(self, feed: str, payload: bytes) -> None:
        heard = messages.read_heard(payload)
        assert isinstance(heard, Ticks)
        must(heard.feed == feed, "a message names its feed")
        self._sent.put_nowait(heard)
        await self._answers.acquire()

    async def sent(self) -> Ticks:
        """Return the next message; the one after it is not sent before `answer`."""
        return await self._sent.get()

    def answer(self) -> None:
        self._answers.release()


@asynccontextmanager
async def running(batcher: Batcher) -> AsyncIterator[None]:
    task = asyncio.create_task(batcher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_ticks_that_arrive_while_a_message_is_under_way_travel_together() -> None:
    broker = Broker()
    batcher = Batcher("SOL/USD", broker, lambda: AT)
    async with running(batcher):
        batcher.hear(tick("a", 1, 5))
        first = await broker.sent()
        batcher.hear(tick("a", 2, 6))
        batcher.hear(tick("b", 1, 7))
        broker.answer()
        second = await broker.sent()

    assert [[each.sequence for each in sent.told()] for sent in (first, second)] == [[1], [2, 1]]


async def test_a_feed_with_nothing_to_say_beats_four_times_a_second() -> None:
    broker = Broker()
    began = time.monotonic()
    async with running(Batcher("SOL/USD", broker, lambda: AT)):
        for _ in range(3):
            assert (await broker.sent()).ticks == []
            broker.answer()

    assert time.monotonic() - began >= 0.7


async def test_a_broker_that_is_away_costs_ticks_between_the_extremes_never_memory() -> None:
    broker = Broker()
    batcher = Batcher("SOL/USD", broker, lambda: AT, held_max=100)
    async with running(batcher):
        batcher.hear(tick("a", 1, 5))
        await broker.sent()
        for sequence in range(2, 10_000):
            batcher.hear(tick("a", sequence, 1_000 + sequence % 77))
        broker.answer()
        held = (await broker.sent()).told()

    assert len(held) < 100
    assert batcher.conflated + len(held) == 9_998
    assert (min(t.value for t in held), max(t.value for t in held)) == (1_000, 1_076)
    assert held[-1].sequence == 9_999


class Venue:
    """Speaks enough of Binance's protocol to be subscribed to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.lines: list[ServerConnection] = []
        self.subscribed = asyncio.Event()

    async def follow(self, line: ServerConnection) -> None:
        self.lines.append(line)
        async for text in line:
            asked = msgspec.json.decode(text)
            self.asked.append([asked["method"], *asked["params"]])
            await line.send(msgspec.json.encode({"result": None, "id": asked["id"]}).decode())
            self.subscribed.set()

    async def trade(self, symbol: str, sequence: int, price: str) -> None:
        data = {"e": "aggTrade", "s": symbol, "a": sequence, "p": price, "T": _now_ms()}
        await self.lines[-1].send(msgspec.json.encode(data).decode())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def feed(coin: str) -> Feed:
    return Feed(
        name=f"{coin}/USD",
        unit="USD",
        scale=8,
        symbols={"binance": f"{coin}USDT"},
        volatility_bps=Bps(9_000),
    )


RATE = Feed(
    name="USDT/USD",
    unit="USD",
    scale=8,
    symbols={"binance": "USDTUSD"},
    volatility_bps=Bps(100),
    guards=Guards(quorum=1, tick_age_ms_max=60_000, dead_ms=60_000),
)


async def test_the_process_hears_what_is_wanted_and_writes_it_to_each_feeds_log(
    kafka: Kafka, connections: Connections
) -> None:
    venue = Venue()
    async with connections.acquire() as connection:
        await feeds.upsert(connection, RATE, standing=False)
        for coin, standing in (("SOL", True), ("BTC", False)):
            told_in = made_with(feed(coin))
            await feeds.upsert(connection, feed(coin), standing=standing, made_with=told_in)
    consumer = AIOKafkaConsumer(
        TICKS, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest"
    )
    async with (
        serve(venue.follow, "127.0.0.1", 0) as server,
        open_producer(kafka.bootstrap, name="feeds") as producer,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        ready = asyncio.Event()
        task = asyncio.create_task(
            run_feeds(
                FeedsSettings(
                    urls={"binance": f"ws://127.0.0.1:{port}"}, sources=frozenset({"binance"})
                ),
                connections=connections,
                producer=producer,
                random=Random(1),
                ready=ready.set,
            )
        )
        await consumer.start()
        try:
            async with asyncio.timeout(15):
                await ready.wait()
                await venue.subscribed.wait()
                await venue.trade("SOLUSDT", 6, "205.25")  # In what it is not known yet.
                await venue.trade("USDTUSD", 1, "0.9990")
                await venue.trade("SOLUSDT", 7, "205.25")
                first = await _first_tick(consumer, "SOL/USD")
                # Somebody begins a room on another feed.
                venue.subscribed.clear()
                async with connections.acquire() as connection:
                    await feeds.draft(connection, "BTC/USD")
                await venue.subscribed.wait()
                await venue.trade("BTCUSDT", 9, "65000.5")
                second = await _first_tick(consumer, "BTC/USD")
        finally:
            task.cancel()
            await asyncio.wait([task])
            await consumer.stop()

    assert (first.source, first.sequence, first.value) == ("binance", 7, 20_504_475_000)
    assert (second.source, second.sequence, second.value) == ("binance", 9, 6_493_549_950_000)
    assert venue.asked[:2] == [
        ["SUBSCRIBE", "solusdt@aggTrade", "usdtusd@aggTrade"],
        ["SUBSCRIBE", "btcusdt@aggTrade"],
    ]


async def _first_tick(consumer: AIOKafkaConsumer, name: str) -> Tick:
    while True:
        message = await consumer.getone()
        assert message.timestamp_type == 1
        heard = messages.read_heard(message.value)
        assert isinstance(heard, Ticks)
        assert heard.at <= message.timestamp + 250
        if heard.feed == name and heard.ticks:
            assert message.key == name.encode()
            return heard.told()[0]


def test_a_source_is_asked_only_for_feeds_that_it_knows() -> None:
    wanted = [
        feeds.WantedFeed("SOL/USD", 8, {"binance": "SOLUSDT", "okx": "SOL-USDT"}),
        feeds.WantedFeed("BONK/USD", 12, {"okx": "BONK-USDT"}),
    ]
    assert set(symbols_of("binance", wanted)) == {"SOLUSDT"}
    assert set(symbols_of("okx", wanted)) == {"SOL-USDT", "BONK-USDT"}
    assert symbols_of("kraken", wanted) == {}
