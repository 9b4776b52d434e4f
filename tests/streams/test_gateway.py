"""Programs subscribe, leave, come back and miss nothing; bad wishes get clear answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from rooms.canonical import canonical, content_hash
from rooms.catalogue import CATALOGUE
from rooms.index_price import IndexPrice, Reason, Silence
from rooms.refusal import Refused
from rooms.room import room_code
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from storage import evidence, feeds
from storage.connections import Connections
from streams import messages
from streams.frames import Gap, Told
from streams.gateway import GatewaySettings, run_gateway
from streams.producer import open_producer
from streams.tail import Patience, tail_prices, tail_settlements
from streams.topics import PRICES
from tests.kafka import Kafka
from tests.postgres import free_port
from tests.pricing import now_ms

FEED = "SOL/USD"
LIMIT_S = 10.0
QUICK = Patience(first_s=0.05, max_s=0.1)


class World:
    """A gateway that can be stopped and started, and what it tells of."""

    def __init__(self, kafka: Kafka, connections: Connections, producer: AIOKafkaProducer) -> None:
        self.kafka = kafka
        self.connections = connections
        self.producer = producer
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def gateway(
        self, *, kept: int = 4_096, send_limit_ms: int = 10_000, subscribers_max: int = 10
    ) -> AsyncIterator[None]:
        settings = GatewaySettings(
            port=self.port,
            partitions=self.kafka.partitions,
            heartbeat_ms=200,
            kept=kept,
            send_limit_ms=send_limit_ms,
            subscribers_max=subscribers_max,
        )
        ready = asyncio.Event()
        task = asyncio.create_task(
            run_gateway(
                settings,
                connections=self.connections,
                bootstrap=self.kafka.bootstrap,
                clock=now_ms,
                ready=lambda _: ready.set(),
            )
        )
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        try:
            yield
            if task.done():
                task.result()
        finally:
            waiting.cancel()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def line(self, path: str) -> AsyncIterator["Subscriber"]:
        async with connect(self.url + path, compression=None) as connection:
            yield Subscriber(connection)

    async def price(
        self, number: int, dollars: int | None = None, *, feed: str = FEED, at: int | None = None
    ) -> None:
        at = UnixMs(at or 1_700_000_000_000 + number)
        told: IndexPrice | Silence = Silence(Reason.TOO_FEW, at, 1, 2, 3)
        if dollars is not None:
            value = Value(dollars * 10**8)
            told = IndexPrice(value, at, (Tick("okx", number, value, at, at),), ())
        payload = messages.write(messages.prices(feed, 8, number, at, [told]))
        await self.producer.send_and_wait(PRICES, payload, key=feed.encode())

    async def event(self, number: int, kind: str = "room.locked", **facts: object) -> None:
        """Write an event that the relay has numbered."""
        who = {"user": 1} if kind.startswith("bet.") else {"room": "7"}
        payload = {"kind": kind, "at": 1_700_000_000_000, "seq": number, **who, **facts}
        await self.connections.execute(
            "INSERT INTO outbox (topic, key, payload, number) VALUES ('events', '7', $1, $2)",
            payload,
            number,
        )
        await self.connections.execute("SELECT pg_notify('events', '')")


class Subscriber:
    """One line, frame by frame."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(LIMIT_S):
            frame: dict[str, Any] = msgspec.json.decode(await self.connection.recv())
            return frame

    async def until(self, kind: str) -> dict[str, Any]:
        while True:
            frame = await self.next()
            if frame["kind"] == kind:
                return frame

    async def numbers(self, count: int, kind: str) -> list[int]:
        return [(await self.until(kind))["number"] for _ in range(count)]


@pytest_asyncio.fixture
async def world(kafka: Kafka, connections: Connections) -> AsyncIterator[World]:
    async with connections.acquire() as connection:
        for name in (FEED, "BTC/USD"):
            await feeds.upsert(connection, CATALOGUE[name], standing=True)
    async with open_producer(kafka.bootstrap, name="test") as producer:
        yield World(kafka, connections, producer)


async def test_prices_are_streamed_with_numbers_and_heartbeats(world: World) -> None:
    async with world.gateway():
        await world.price(1, 200)
        async with world.line(f"/v1/prices?feeds={FEED},BTC/USD") as line:
            hello = await line.next()
            assert hello == {"kind": "hello", "heartbeat_ms": 200}
            await world.price(2)
            await world.price(5, 65_000, feed="BTC/USD")
            first = await line.until("prices")
            told = {first["feed"]: first}
            while {each["number"] for each in told.values()} != {2, 5}:
                frame = await line.until("prices")
                told[frame["feed"]] = frame
            heartbeat = await line.until("heartbeat")

    assert told[FEED]["told"][0]["reason"] == "too_few"
    price = told["BTC/USD"]["told"][0]
    assert (price["price"], price["value"], price["scale"]) == ("65000", "6500000000000", 8)
    assert heartbeat["numbers"] == {FEED: 2, "BTC/USD": 5}


async def test_who_is_new_hears_at_once_what_holds_and_who_resumes_what_came_after(
    world: World,
) -> None:
    async with world.gateway():
        for number in (10, 20, 30):
            await world.price(number, number)
        async with world.line(f"/v1/prices?feeds={FEED}") as line:
            while (await line.until("prices"))["number"] != 30:
                pass
        async with world.line(f"/v1/prices?feeds={FEED}") as line:
            assert await line.numbers(1, "prices") == [30]
        async with world.line(f"/v1/prices?feeds={FEED}&from={FEED}:10") as line:
            assert await line.numbers(2, "prices") == [20, 30]
    # A number means the same to the next gateway.
    await world.price(40, 40)
    async with world.gateway(), world.line(f"/v1/prices?feeds={FEED}&from={FEED}:20") as line:
        assert await line.numbers(2, "prices") == [30, 40]


async def test_what_is_not_kept_is_said_to_be_gone(world: World) -> None:
    for number in range(1, 31):
        await world.price(number, number)
    async with world.gateway(kept=8):
        async with world.line(f"/v1/prices?feeds={FEED}&from={FEED}:2") as line:
            gap = await line.until("gap")
            first = (await line.numbers(1, "prices"))[0]
        async with world.line(f"/v1/prices?feeds={FEED}&from={FEED}:99") as line:
            ahead = await line.until("gap")

    assert (gap["asked"], gap["next"]) == (2, first)
    assert gap["reason"] == "older than what is kept"
    assert first > 3
    assert ahead["reason"] == "numbers began again"


async def test_settlements_come_from_the_cursor_on_and_only_public_ones(world: World) -> None:
    await world.event(1, "room.opened", feed=FEED, target=205 * 10**8)
    await world.event(2, "bet.taken", lamports=5)
    await world.event(3, "room.sealed", yes=10**16, no=5, bettors=2)
    async with world.gateway():
        async with world.line("/v1/settlements?cursor=0") as line:
            assert (await line.next())["number"] == 0
            opened, sealed = await line.until("event"), await line.until("event")
            await world.event(4)
            live = await line.until("event")
            await world.event(5, "bet.won", lamports=7)
            heartbeat = await line.until("heartbeat")
        async with world.line("/v1/settlements") as line:
            await line.next()
            await world.event(6)
            assert await line.numbers(1, "event") == [6]

    assert (opened["number"], opened["event"]["target"]) == (1, "20500000000")
    assert (sealed["number"], sealed["event"]["yes"]) == (3, "10000000000000000")
    assert sealed["event"]["bettors"] == 2
    assert (live["number"], heartbeat["number"]) == (4, 4)


async def test_a_long_backlog_meets_what_happens_meanwhile_without_loss_or_doubles(
    world: World,
) -> None:
    total = 1_600
    await world.connections.execute(
        """
        INSERT INTO outbox (topic, key, payload, number)
        SELECT 'events', '7', jsonb_build_object('kind', CASE WHEN n % 3 = 0 THEN 'bet.lost'
            ELSE 'room.locked' END, 'at', 1, 'room', '7'), n FROM generate_series(1, 1500) n
        """
    )
    wanted = [n for n in range(1, total + 1) if n > 1500 or n % 3]
    async with world.gateway(kept=16):

        async def go_on() -> None:
            for number in range(1_501, total + 1):
                await world.event(number)

        async with world.line("/v1/settlements?cursor=0") as line, asyncio.TaskGroup() as tasks:
            tasks.create_task(go_on())
            assert await line.numbers(len(wanted), "event") == wanted


async def test_a_tail_goes_on_through_restarts_of_the_gateway(world: World) -> None:
    settled: list[int] = []
    priced: list[int] = []
    heard = asyncio.Condition()

    async def follow_settlements() -> None:
        async for frame in tail_settlements(world.url, 0, random=Random(1), patience=QUICK):
            async with heard:
                settled.append(frame.number)
                heard.notify_all()

    async def follow_prices() -> None:
        async for frame in tail_prices(world.url, [FEED], random=Random(2), patience=QUICK):
            assert isinstance(frame, Told)
            async with heard:
                priced.append(frame.number)
                heard.notify_all()

    async def until(last: int) -> None:
        async with asyncio.timeout(LIMIT_S), heard:
            await heard.wait_for(lambda: settled[-1:] == [last] and priced[-1:] == [last])

    following = [asyncio.create_task(each()) for each in (follow_settlements, follow_prices)]
    try:
        number = 0
        for _ in range(3):
            # Something happens while nobody serves, and something while somebody does.
            number += 1
            await world.event(number)
            await world.price(number, number)
            async with world.gateway():
                await until(number)
                number += 1
                await world.event(number)
                await world.price(number, number)
                await until(number)
    finally:
        for task in following:
            task.cancel()
        await asyncio.wait(following)

    assert settled == priced == list(range(1, number + 1))


async def test_a_tail_gives_up_a_line_that_says_nothing(world: World) -> None:
    lines = 0

    async def mute(connection: Any) -> None:  # noqa: ANN401 - a websocket
        nonlocal lines
        lines += 1
        await connection.send('{"kind":"hello","heartbeat_ms":20,"number":4}')
        if lines == 2:
            await connection.send('{"kind":"event","number":5,"event":{"kind":"room.locked"}}')
        await connection.wait_closed()

    from websockets.asyncio.server import serve

    async with serve(mute, "127.0.0.1", world.port):
        following = tail_settlements(world.url, 4, random=Random(1), patience=QUICK)
        async with asyncio.timeout(LIMIT_S):
            frame = await anext(following)
        await following.aclose()

    assert (frame.number, lines) == (5, 2)


async def _refused(world: World, path: str, status: int, code: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with world.line(path):
            pass
    response = refused.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    body = msgspec.json.decode(response.body or b"")
    assert body["error"]["code"] == code
    assert body["error"]["sentence"]


async def test_bad_wishes_get_clear_answers_and_health_is_told(world: World) -> None:
    async with world.gateway(subscribers_max=1):
        await _refused(world, "/v1/prices", 400, "bad_query")
        await _refused(world, "/v1/prices?feeds=NO/FEED", 400, "no_feed")
        await _refused(world, "/v1/settlements?cursor=abc", 400, "bad_query")
        await _refused(world, "/v1/settlements?cursor=5", 400, "bad_cursor")
        await _refused(world, "/v2/prices", 404, "no_path")
        async with world.line("/v1/settlements") as line:
            await line.next()
            await _refused(world, "/v1/settlements", 503, "full")
            # This stream only tells.
            await line.connection.send("hello?")
            with pytest.raises(ConnectionClosedError) as closed:
                while True:
                    await line.next()
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{world.port}/healthz")
        following = tail_settlements(world.url, 99, random=Random(1), patience=QUICK)
        with pytest.raises(Refused, match="The last number is 0"):
            await anext(following)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["ok"] is True


async def test_the_evidence_of_a_room_is_shown_as_it_was_hashed(world: World) -> None:
    room = 3_000_000_000_000_000_007
    text = canonical({"é": [1, None]})
    async with world.connections.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")  # its room is not here
        await evidence.store(connection, [(room, content_hash(text), text)])
        await connection.execute("RESET session_replication_role")
    async with world.gateway(), httpx.AsyncClient(trust_env=False) as client:
        base = f"http://127.0.0.1:{world.port}/v1/rooms"
        for name in (str(room), room_code(room)):
            answer = await client.get(f"{base}/{name}/evidence")
            assert (answer.status_code, answer.content) == (200, text.encode())
            assert answer.headers["ETag"] == f'"{content_hash(text)}"'
        for name, status in (("2222", 404), ("oil1", 400), (f"{room}?x=1", 404)):
            answer = await client.get(f"{base}/{name}/evidence")
            assert answer.status_code == status
            assert answer.json()["error"]["sentence"]


async def test_who_reads_too_slowly_is_told_where_to_go_on(world: World) -> None:
    async with world.gateway(send_limit_ms=100):
        async with connect(
            world.url + "/v1/settlements?cursor=0", compression=None, max_queue=1
        ) as slow:
            for number in range(1, 61):
                await world.event(number, text="x" * 100_000)
            async with asyncio.timeout(LIMIT_S):
                last = 0
                with pytest.raises(ConnectionClosedError) as closed:
                    await asyncio.sleep(1.0)
                    while True:
                        frame = msgspec.json.decode(await slow.recv())
                        last = frame.get("number", last)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        reason = closed.value.rcvd.reason
        assert reason.startswith("too slow: resume with cursor=")
        # What the reason says is not after what was read, so that nothing is skipped.
        cursor = int(reason.rpartition("=")[2])
        assert 0 < cursor <= last
        async with world.line(f"/v1/settlements?cursor={cursor}") as line:
            assert await line.numbers(60 - cursor, "event") == list(range(cursor + 1, 61))


async def test_a_log_that_began_anew_is_told_as_a_gap_and_followed(world: World) -> None:
    async with world.gateway():
        await world.price(50, 50)
        following = tail_prices(world.url, [FEED], random=Random(1), patience=QUICK)
        async with asyncio.timeout(LIMIT_S):
            first = await anext(following)
            # The log's time goes on though its numbers do not.
            await world.price(3, 60, at=1_700_000_000_060)
            gap, second = await anext(following), await anext(following)
        await following.aclose()

    assert isinstance(first, Told)
    assert first.number == 50
    assert isinstance(gap, Gap)
    assert (gap.asked, gap.next) == (50, 3)
    assert isinstance(second, Told)
    assert second.number == 3
