"""Gateway: prices and settlements for programs, over a websocket that can be resumed.

In        `prices`, every partition of it, as a plain reader; public events from the database.
Out       /v1/prices?feeds=…&from=…, /v1/settlements?cursor=…, /healthz.
Holds     the newest frames of each feed and of the events; a place for each subscriber.
Promises  numbers rise and none is told twice on one line; who resumes from a number is told what
          came after it, or that it is not kept any more; who reads too slowly is told where to go
          on and closed, and costs the others nothing.
Why       a place in a shared ring is all that a subscriber costs; what is older than the ring comes
          from the database for events, and is said to be gone for prices.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from rooms.event import PUBLIC
from rooms.refusal import Impossible, Refused
from rooms.units import UnixMs
from storage import events, feeds
from storage.again import again
from storage.connections import Connections
from storage.events import NumberedEvent
from streams import frames, messages
from streams.ring import Ring
from streams.topics import PRICES

FEEDS_MAX: Final = 50
NUMBER_MAX: Final = 2**53 - 1
BATCH_MAX: Final = 500
EVENT_POLL_S: Final = 0.5
FRAME_IN_BYTES_MAX: Final = 4_096
REASON_BYTES_MAX: Final = 123

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Say where to listen and how patient to be.

    Attributes:
        kept_prices, kept_events: frames held of each feed, and of the events.
        behind_max: a subscriber so many frames behind the newest price is too slow.
        replay_ms: how much of `prices` is read again at start.
    """

    host: str = "127.0.0.1"
    port: int = 8701
    heartbeat_ms: int = 10_000
    kept_prices: int = 4_096
    kept_events: int = 4_096
    behind_max: int = 2_048
    send_limit_ms: int = 10_000
    subscribers_max: int = 2_000
    replay_ms: int = 60_000


class TooSlow(Exception):  # noqa: N818 - a verdict on a subscriber, no failure of ours
    """A subscriber does not keep up; the message says where it may go on."""


class Pulse:
    """Wake everybody who waits, whenever there is something new."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        """Wake all who wait now."""
        self._next.set()
        self._next = asyncio.Event()

    def take(self) -> asyncio.Event:
        """Return what the next beat will set; take it before looking for what is new."""
        return self._next


class PriceBoard:
    """The newest frames of each feed."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._at: dict[str, int] = {}
        self.rings: dict[str, Ring] = {}
        self.pulse = Pulse()

    def hear(self, payload: bytes | None) -> None:
        """Take a message of `prices`; one that was told already is passed over.

        Raises:
            Impossible: when it is none.
        """
        prices = messages.read_prices(payload)
        ring = self.ring(prices.feed)
        if prices.position <= ring.last_number:
            if prices.at <= self._at[prices.feed]:
                return
            log.warning("log_began_anew", feed=prices.feed, number=prices.position)
            ring.begin_anew()
        self._at[prices.feed] = prices.at
        ring.add(prices.position, frames.write(frames.told(prices)))
        self.pulse.beat()

    def ring(self, feed: str) -> Ring:
        """Return a feed's ring; one that has said nothing yet is empty."""
        return self.rings.setdefault(feed, Ring(self._kept))


class EventBoard:
    """The newest public events."""

    def __init__(self, kept: int, last_number: int) -> None:
        self.ring = Ring(kept)
        self.ring.gone_number = self.ring.last_number = last_number
        self.pulse = Pulse()

    def hear(self, found: NumberedEvent) -> None:
        """Take the next public event."""
        self.ring.add(found.number, frames.write(frames.happened(found)))


@dataclass(frozen=True, slots=True)
class PricesWish:
    """Which feeds, and after which number of each."""

    after: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class SettlementsWish:
    """After which event; None: only what comes."""

    cursor: int | None


Wish = PricesWish | SettlementsWish


def read_wish(target: str) -> Wish | None:
    """Read what a request's path and query ask for; None when there is no such path.

    Raises:
        Refused: when the query cannot be answered.
    """
    parts = urlsplit(target)
    if parts.path not in ("/v1/prices", "/v1/settlements"):
        return None
    try:
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise Refused("bad_query", "The query has too many fields.") from None
    known = {"feeds", "from"} if parts.path == "/v1/prices" else {"cursor"}
    for name, values in query.items():
        if name not in known:
            raise Refused(
                "bad_query", f"{name!r} is not known here; known: {', '.join(sorted(known))}."
            )
        if len(values) > 1:
            raise Refused("bad_query", f"{name!r} is given twice.")
    if parts.path == "/v1/settlements":
        cursor = query.get("cursor")
        return SettlementsWish(None if cursor is None else _number("cursor", cursor[0]))
    return _prices_wish(query.get("feeds", [""])[0], query.get("from", [""])[0])


def _prices_wish(feeds_text: str, from_text: str) -> PricesWish:
    names = [name for name in feeds_text.split(",") if name]
    if not names:
        raise Refused("bad_query", "Say which feeds: /v1/prices?feeds=SOL/USD,BTC/USD.")
    if len(names) > FEEDS_MAX:
        raise Refused("bad_query", f"Ask for at most {FEEDS_MAX} feeds.")
    after: dict[str, int | None] = dict.fromkeys(names)
    for pair in filter(None, from_text.split(",")):
        feed, colon, number = pair.rpartition(":")
        if not colon or feed not in after:
            raise Refused("bad_query", "'from' names feeds asked for: from=SOL/USD:1200.")
        after[feed] = _number("from", number)
    return PricesWish(after)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= NUMBER_MAX):
        raise Refused("bad_query", f"'{name}' is a whole number such as 1200, not {text[:40]!r}.")
    return int(text)


class Gateway:
    """All subscribers and what they are told."""

    def __init__(
        self,
        settings: GatewaySettings,
        connections: Connections,
        last_number: int,
        clock: Callable[[], UnixMs],
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._clock = clock
        self.prices = PriceBoard(settings.kept_prices)
        self.events = EventBoard(settings.kept_events, last_number)
        self._subscribers = 0
        self._price_heard_at: int | None = None

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no subscription, and refuse what cannot be one; None goes on."""
        if urlsplit(request.path).path == "/healthz":
            return self._json(connection, HTTPStatus.OK, self.health())
        try:
            wish = read_wish(request.path)
            if wish is None:
                there = "There is /v1/prices, /v1/settlements and /healthz."
                return self._refusal(connection, HTTPStatus.NOT_FOUND, "no_path", there)
            await self._check(wish)
        except Refused as refusal:
            return self._refusal(
                connection, HTTPStatus.BAD_REQUEST, refusal.code, refusal.sentence
            )
        if self._subscribers >= self._settings.subscribers_max:
            return self._refusal(
                connection, HTTPStatus.SERVICE_UNAVAILABLE, "full", "Try again in a minute."
            )
        return None

    async def follow(self, connection: ServerConnection) -> None:
        """Tell one subscriber until it leaves or falls behind."""
        assert connection.request is not None
        wish = read_wish(connection.request.path)
        assert wish is not None, "others were answered before"
        self._subscribers += 1
        telling = asyncio.create_task(self._tell(connection, wish))
        try:
            async for _ in connection:
                await connection.close(CloseCode.UNSUPPORTED_DATA, "this stream only tells")
        finally:
            self._subscribers -= 1
            telling.cancel()
            await asyncio.wait([telling])

    async def read_events(self) -> None:
        """Follow the public events until cancelled."""
        while True:
            await again(self._read_events_once)

    async def read_prices(self, consumer: AIOKafkaConsumer) -> None:
        """Follow `prices` until cancelled."""
        async for message in consumer:
            self._price_heard_at = self._clock()
            try:
                self.prices.hear(message.value)
            except Impossible as reason:
                log.warning(
                    "not_prices",
                    partition=message.partition,
                    offset=message.offset,
                    reason=str(reason),
                )

    def health(self) -> dict[str, Any]:
        """Say how the gateway does."""
        return {
            "ok": True,
            "subscribers": self._subscribers,
            "price_heard_at": self._price_heard_at,
            "last_number": self.events.ring.last_number,
        }

    async def _check(self, wish: Wish) -> None:
        async with self._connections.acquire() as connection:
            if isinstance(wish, PricesWish):
                known = await feeds.named(connection, wish.after)
                for name in wish.after:
                    if name not in known:
                        raise Refused("no_feed", f"There is no feed {name[:64]!r}.")
            elif wish.cursor is not None:
                last = await events.last_number(connection)
                if wish.cursor > last:
                    raise Refused(
                        "bad_cursor", f"The last number given is {last}; {wish.cursor} is not yet."
                    )

    async def _tell(self, connection: ServerConnection, wish: Wish) -> None:
        try:
            if isinstance(wish, PricesWish):
                await self._tell_prices(connection, wish)
            else:
                await self._tell_events(connection, wish)
        except TooSlow as verdict:
            log.info("subscriber_too_slow", why=str(verdict))
            await connection.close(
                CloseCode.TRY_AGAIN_LATER, str(verdict).encode()[:REASON_BYTES_MAX].decode()
            )
        except ConnectionClosed:
            return
        except Exception:
            # The subscriber must not wait for a task that is gone; the process hears of it too.
            await connection.close(CloseCode.INTERNAL_ERROR, "resume from the last number")
            raise

    async def _tell_prices(self, connection: ServerConnection, wish: PricesWish) -> None:
        rings = {feed: self.prices.ring(feed) for feed in wish.after}
        places: dict[str, int] = {}
        numbers: dict[str, int] = {}
        gaps: list[frames.Gap] = []
        for feed, number in wish.after.items():
            ring = rings[feed]
            gap = _gap(feed, ring, number)
            if gap is not None:
                gaps.append(gap)
                places[feed] = ring.first
            elif number is None:
                # Somebody new hears at once what holds now.
                places[feed] = max(ring.first, ring.end - 1)
            else:
                places[feed] = ring.index_after(number)
                numbers[feed] = number
        await self._send(
            connection, frames.Hello(self._settings.heartbeat_ms, numbers=numbers), numbers
        )
        for gap in gaps:
            await self._send(connection, gap, numbers)
        heartbeat = _Heartbeat(self._settings.heartbeat_ms)
        while True:
            news = self.prices.pulse.take()
            told = False
            for feed, ring in rings.items():
                if places[feed] < ring.first:
                    asked = numbers.get(feed, 0)
                    began_anew = frames.Gap(
                        feed, asked, "numbers began again", next=ring.first_number
                    )
                    await self._send(connection, began_anew, numbers)
                    places[feed] = ring.first
                    numbers.pop(feed, None)
                if ring.end - places[feed] > self._settings.behind_max:
                    raise TooSlow(f"too slow: resume from {feed}:{numbers.get(feed, 0)}")
                for text in ring.after(places[feed], BATCH_MAX):
                    await self._send_text(connection, text, numbers)
                    places[feed] += 1
                    told = True
                if told and places[feed] == ring.end:
                    numbers[feed] = ring.last_number
            if not told and await heartbeat.is_due(news):
                beat = frames.Heartbeat(self._clock(), numbers=numbers)
                await self._send(connection, beat, numbers)

    async def _tell_events(self, connection: ServerConnection, wish: SettlementsWish) -> None:
        ring = self.events.ring
        cursor = ring.last_number if wish.cursor is None else wish.cursor
        hello = frames.Hello(self._settings.heartbeat_ms, number=cursor)
        await self._send(connection, hello, cursor)
        heartbeat = _Heartbeat(self._settings.heartbeat_ms)
        while True:
            news = self.events.pulse.take()
            if cursor < ring.gone_number:
                gone_number = ring.gone_number
                found = await again(lambda after=cursor: self._events_after(after))  # type: ignore[misc]
                for each in found:
                    await self._send(connection, frames.happened(each), cursor)
                    cursor = each.number
                if not found:
                    # Nothing public lies between: what comes from here on is in the ring.
                    cursor = max(cursor, gone_number)
                continue
            place = ring.index_after(cursor)
            texts = ring.after(place, BATCH_MAX)
            for offset, text in enumerate(texts):
                await self._send_text(connection, text, cursor)
                cursor = ring.number_at(place + offset) or cursor
            if not texts and await heartbeat.is_due(news):
                await self._send(connection, frames.Heartbeat(self._clock(), number=cursor), cursor)

    async def _events_after(self, number: int) -> list[NumberedEvent]:
        async with self._connections.acquire() as connection:
            return await events.after(connection, number, BATCH_MAX, kinds=PUBLIC)

    async def _read_events_once(self) -> None:
        async with events.bell(self._connections) as bell:
            while True:
                bell.clear()
                found = await self._events_after(self.events.ring.last_number)
                for each in found:
                    self.events.hear(each)
                if found:
                    self.events.pulse.beat()
                    continue
                try:
                    async with asyncio.timeout(EVENT_POLL_S):
                        await bell.wait()
                except TimeoutError:
                    continue

    async def _send(
        self, connection: ServerConnection, frame: frames.Frame, place: Mapping[str, int] | int
    ) -> None:
        await self._send_text(connection, frames.write(frame), place)

    async def _send_text(
        self, connection: ServerConnection, text: str, place: Mapping[str, int] | int
    ) -> None:
        try:
            async with asyncio.timeout(self._settings.send_limit_ms / 1000):
                await connection.send(text)
        except TimeoutError:
            where = (
                f"cursor={place}"
                if isinstance(place, int)
                else ",".join(f"{feed}:{number}" for feed, number in place.items())
            )
            raise TooSlow(f"too slow: resume from {where}") from None

    def _refusal(
        self, connection: ServerConnection, status: HTTPStatus, code: str, sentence: str
    ) -> Response:
        return self._json(connection, status, {"error": {"code": code, "sentence": sentence}})

    def _json(
        self, connection: ServerConnection, status: HTTPStatus, body: Mapping[str, Any]
    ) -> Response:
        text = msgspec.json.encode(body).decode()
        response = connection.respond(status, text)
        response.headers = Headers(
            [
                (name, "application/json" if name == "Content-Type" else value)
                for name, value in response.headers.raw_items()
            ]
        )
        return response
