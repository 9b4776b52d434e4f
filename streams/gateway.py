"""Gateway: prices and settlements for programs, over a websocket that can be resumed.

In        `prices`, every partition of it, as a plain reader; public events from the database.
Out       /v1/prices?feeds=…&from=…, /v1/settlements?cursor=…, /v1/rooms/ROOM/evidence, /healthz.
Promises  numbers rise and none is told twice on one line; who resumes from a number is told what
          came after it, or that it is not kept any more; who reads too slowly is told where to go
          on and closed, and costs the others nothing.
Why       it keeps nothing that must survive it: a cursor means the same after a restart, because
          it is a number of the log or of the database.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from rooms.event import PUBLIC
from rooms.refusal import Impossible, Refused
from rooms.units import UnixMs
from storage import events, evidence, feeds
from storage.again import again
from storage.connections import Connections
from storage.events import NumberedEvent
from streams.boards import EventBoard, PriceBoard
from streams.subscriptions import BATCH_MAX, Line, Manners, TooSlow, tell_events, tell_prices
from streams.topics import PRICES
from streams.wishes import (
    EvidenceWish,
    PricesWish,
    Wish,
    path_of,
    read_evidence_wish,
    read_wish,
)

EVENT_POLL_S: Final = 0.5
MESSAGE_BYTES_MAX: Final = 4_096
REASON_BYTES_MAX: Final = 120
REQUEST_LIMIT_MS: Final = 10_000
CAUGHT_UP_LIMIT_S: Final = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Say where to listen and how patient to be.

    Attributes:
        port: 0 takes any free one.
        partitions: of `prices`.
        kept: frames held of each feed, and of the events; who is further behind is too slow.
        replayed: messages of each partition of `prices` that are read again at start.
    """

    host: str = "127.0.0.1"
    port: int = 8701
    partitions: int = 8
    heartbeat_ms: int = 10_000
    send_limit_ms: int = 10_000
    kept: int = 4_096
    replayed: int = 20_000
    subscribers_max: int = 2_000


class Gateway:
    """The subscribers and what they are told."""

    def __init__(
        self,
        settings: GatewaySettings,
        connections: Connections,
        prices: PriceBoard,
        happened: EventBoard,
        clock: Callable[[], UnixMs],
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._prices = prices
        self._events = happened
        self._clock = clock
        self._price_heard_at: UnixMs | None = None
        self._subscribers = 0
        self._manners = Manners(
            clock=clock,
            heartbeat_ms=settings.heartbeat_ms,
            send_limit_ms=settings.send_limit_ms,
        )

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no subscription and refuse what cannot be one; None lets it begin."""
        if path_of(request.path) == "/healthz":
            return _json(connection, HTTPStatus.OK, self.health())
        try:
            asked = read_evidence_wish(request.path)
            if asked is not None:
                return await self._evidence(connection, asked)
            wish = read_wish(request.path)
            if wish is None:
                there = (
                    "There are /v1/prices, /v1/settlements, /v1/rooms/ROOM/evidence and /healthz."
                )
                return _no(connection, HTTPStatus.NOT_FOUND, "no_path", there)
            await self._check(wish)
        except Refused as refusal:
            return _no(connection, HTTPStatus.BAD_REQUEST, refusal.code, refusal.sentence)
        if self._subscribers >= self._settings.subscribers_max:
            return _no(connection, HTTPStatus.SERVICE_UNAVAILABLE, "full", "Try again later.")
        return None

    async def follow(self, connection: ServerConnection) -> None:
        """Tell one subscriber until it leaves or falls behind."""
        assert connection.request is not None, "a subscription begins with a request"
        wish = read_wish(connection.request.path)
        assert wish is not None, "everything else was answered before"
        self._subscribers += 1
        telling = asyncio.create_task(self._tell(connection, wish))
        try:
            async for _ in connection:
                await connection.close(CloseCode.UNSUPPORTED_DATA, "this stream only tells")
        except ConnectionClosed:
            pass  # It left without a word, which is its right.
        finally:
            self._subscribers -= 1
            telling.cancel()
            await asyncio.wait([telling])
        if not telling.cancelled():
            telling.result()

    async def hear_prices(self, consumer: AIOKafkaConsumer) -> None:
        """Follow `prices` until cancelled."""
        async for message in consumer:
            self.hear_price(message.partition, message.offset, message.value)

    def hear_price(self, partition: int, offset: int, payload: bytes | None) -> None:
        """Take one message of `prices`; what is none is passed over, and said."""
        self._price_heard_at = self._clock()
        try:
            self._prices.hear(payload)
        except Impossible as reason:
            log.warning("not_prices", partition=partition, offset=offset, reason=str(reason))

    async def hear_events(self) -> None:
        """Follow the public events until cancelled."""
        while True:
            await again(self._hear_events)

    def health(self) -> dict[str, Any]:
        """Say how the gateway does."""
        return {
            "ok": True,
            "subscribers": self._subscribers,
            "price_heard_at": self._price_heard_at,
            "last_number": self._events.ring.last_number,
        }

    async def _check(self, wish: Wish) -> None:
        """Refuse feeds and numbers that are not there."""
        async with self._connections.acquire() as connection:
            if isinstance(wish, PricesWish):
                known = await feeds.named(connection, wish.after)
                for name in wish.after:
                    if name not in known:
                        raise Refused("no_feed", f"There is no feed {name[:64]!r}.")
            elif wish.cursor is not None:
                last = await events.last_number(connection)
                if wish.cursor > last:
                    raise Refused("bad_cursor", f"The last number is {last}, not {wish.cursor}.")

    async def _evidence(self, connection: ServerConnection, asked: EvidenceWish) -> Response:
        """Show what a settlement follows from; its text is the one that was hashed."""
        found = await again(partial(self._read_evidence, asked.room))
        if found is None:
            sentence = "There is no such room, or it is not settled yet."
            return _no(connection, HTTPStatus.NOT_FOUND, "no_evidence", sentence)
        hash_, text = found
        response = connection.respond(HTTPStatus.OK, text)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        response.headers["ETag"] = f'"{hash_}"'
        return response

    async def _read_evidence(self, room: int) -> tuple[str, str] | None:
        async with self._connections.acquire() as connection:
            return await evidence.of(connection, room)

    async def _tell(self, connection: ServerConnection, wish: Wish) -> None:
        line = Line(connection, self._manners)
        try:
            if isinstance(wish, PricesWish):
                await tell_prices(line, self._prices, wish.after, self._manners)
            else:
                cursor = self._events.ring.last_number if wish.cursor is None else wish.cursor
                await tell_events(line, self._events, self._read_after, cursor, self._manners)
        except ConnectionClosed:
            return
        except TooSlow as verdict:
            log.info("subscriber_too_slow", why=str(verdict))
            reason = str(verdict).encode()[:REASON_BYTES_MAX].decode(errors="ignore")
            await connection.close(CloseCode.TRY_AGAIN_LATER, reason)
        except Exception:
            # Whoever listens must not wait for one who is gone; the error goes on its way.
            await connection.close(CloseCode.INTERNAL_ERROR, "resume from your last number")
            raise

    async def _read_after(self, number: int) -> list[NumberedEvent]:
        return await again(partial(self._public_after, number))

    async def _public_after(self, number: int) -> list[NumberedEvent]:
        async with self._connections.acquire() as connection:
            return await events.after(connection, number, BATCH_MAX, kinds=PUBLIC)

    async def _hear_events(self) -> None:
        async with events.bell(self._connections) as bell:
            while not bell.is_lost:
                bell.clear()
                found = await self._public_after(self._events.ring.last_number)
                for each in found:
                    self._events.hear(each)
                if not found:
                    await bell.wait(EVENT_POLL_S)


async def run_gateway(
    settings: GatewaySettings,
    *,
    connections: Connections,
    bootstrap: str,
    clock: Callable[[], UnixMs],
    ready: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serve subscribers until cancelled; ``ready`` is told the port once all is caught up.

    Raises:
        OSError: when the port is in use.
        ExceptionGroup: when the database was away for too long.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        request_timeout_ms=REQUEST_LIMIT_MS,
    )
    await consumer.start()
    try:
        whole, ends = await _seek(consumer, settings)
        gateway = Gateway(
            settings,
            connections,
            PriceBoard(settings.kept, partitions=settings.partitions, whole=whole),
            EventBoard(settings.kept, last_number=await again(partial(_last_number, connections))),
            clock,
        )
        await _catch_up(gateway, consumer, ends)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(gateway.hear_prices(consumer))
            tasks.create_task(gateway.hear_events())
            async with serve(
                gateway.follow,
                settings.host,
                settings.port,
                process_request=gateway.answer,
                compression=None,
                max_size=MESSAGE_BYTES_MAX,
                max_queue=1,
            ) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                log.info("gateway_ready", host=settings.host, port=port)
                ready(port)
                await server.wait_closed()
    finally:
        await consumer.stop()


async def _seek(
    consumer: AIOKafkaConsumer, settings: GatewaySettings
) -> tuple[list[int], dict[TopicPartition, int]]:
    """Go back a little in each partition; return those read whole, and where each ends."""
    partitions = [TopicPartition(PRICES, number) for number in range(settings.partitions)]
    consumer.assign(partitions)
    starts = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    for partition in partitions:
        from_offset = max(starts[partition], ends[partition] - settings.replayed)
        consumer.seek(partition, from_offset)
    whole = [each.partition for each in partitions if ends[each] <= settings.replayed]
    return [number for number in whole if not starts[partitions[number]]], ends


async def _catch_up(
    gateway: Gateway, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> None:
    async with asyncio.timeout(CAUGHT_UP_LIMIT_S):
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for messages in (await consumer.getmany(timeout_ms=1_000)).values():
                    for message in messages:
                        gateway.hear_price(message.partition, message.offset, message.value)


async def _last_number(connections: Connections) -> int:
    async with connections.acquire() as connection:
        return await events.last_number(connection)


def _no(connection: ServerConnection, status: HTTPStatus, code: str, sentence: str) -> Response:
    return _json(connection, status, {"error": {"code": code, "sentence": sentence}})


def _json(connection: ServerConnection, status: HTTPStatus, body: Mapping[str, Any]) -> Response:
    response = connection.respond(status, msgspec.json.encode(body).decode())
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
