"""Tail: what the gateway tells, for a program of ours, through every outage.

In        where the gateway is; feeds, or the number to go on from.
Out       frames, each once, in order.
Promises  after a lost line it goes on from the last number; a line that has said nothing for too
          long is given up; a request that cannot be answered is refused at once, not repeated.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from rooms.refusal import Impossible, Refused
from streams import frames
from streams.frames import AnyFrame, Gap, Happened, Heartbeat, Hello, Told
from streams.wishes import PRICES_PATH, SETTLEMENTS_PATH

OPEN_LIMIT_S: Final = 10.0
HELLO_LIMIT_S: Final = 10.0
HEARTBEATS_MISSED: Final = 2.5
FRAME_BYTES_MAX: Final = 2**20

_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait before the next line: twice as long each time, spread over all of it."""

    first_s: float = 0.2
    max_s: float = 10.0


@dataclass(slots=True)
class _Place:
    """Where we are, and how to ask to go on from there."""

    target: Callable[["_Place"], str]
    numbers: dict[str, int] = field(default_factory=dict)
    number: int | None = None

    def takes(self, frame: AnyFrame) -> bool:
        """Note where a frame brings us; say whether it is for whoever listens."""
        match frame:
            case Hello():
                if self.number is None:
                    self.number = frame.number
                return False
            case Heartbeat():
                self.number = self.number if frame.number is None else frame.number
                return False
            case Gap():
                self.numbers.pop(frame.feed, None)
                return True
            case Told():
                is_new = frame.number > self.numbers.get(frame.feed, -1)
                if is_new:
                    self.numbers[frame.feed] = frame.number
                return is_new
            case Happened():
                is_new = self.number is None or frame.number > self.number
                if is_new:
                    self.number = frame.number
                return is_new


async def tail_prices(
    url: str, feeds: Iterable[str], *, random: Random, patience: Patience | None = None
) -> AsyncGenerator[Told | Gap, None]:
    """Tell prices and silences of ``feeds``: what holds now, and then what comes.

    Args:
        url: of the gateway, such as ``ws://127.0.0.1:8701``; ``http`` is as good as ``ws``.
        feeds: their names.
        random: spreads the waits.
        patience: how long those are.

    Raises:
        Refused: when the gateway says that this cannot be answered.
    """
    names = list(feeds)

    def target(place: _Place) -> str:
        after = ",".join(f"{feed}:{number}" for feed, number in place.numbers.items())
        return f"{PRICES_PATH}?feeds={_text(','.join(names))}&from={_text(after)}"

    async for frame in _tail(url, _Place(target), random, patience or Patience()):
        assert isinstance(frame, Told | Gap), "prices are told by these"
        yield frame


async def tail_settlements(
    url: str, cursor: int | None = None, *, random: Random, patience: Patience | None = None
) -> AsyncGenerator[Happened, None]:
    """Tell public events after ``cursor``, or only what comes.

    Raises:
        Refused: when the gateway says that this cannot be answered.
    """

    def target(place: _Place) -> str:
        return SETTLEMENTS_PATH + ("" if place.number is None else f"?cursor={place.number}")

    place = _Place(target, number=cursor)
    async for frame in _tail(url, place, random, patience or Patience()):
        assert isinstance(frame, Happened), "settlements are told by these"
        yield frame


async def _tail(
    url: str, place: _Place, random: Random, patience: Patience
) -> AsyncGenerator[AnyFrame, None]:
    pause_max_s = patience.first_s
    url = _address(url)
    while True:
        try:
            async with connect(
                url + place.target(place),
                compression=None,
                open_timeout=OPEN_LIMIT_S,
                max_size=FRAME_BYTES_MAX,
            ) as connection:
                limit_s = HELLO_LIMIT_S
                while True:
                    frame = await _next(connection, limit_s)
                    if isinstance(frame, Hello):
                        limit_s = HEARTBEATS_MISSED * frame.heartbeat_ms / 1000
                        pause_max_s = patience.first_s
                    if place.takes(frame):
                        yield frame
        except InvalidStatus as answer:
            if answer.response.status_code in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
                raise _refused(answer.response.body) from None
            why = f"HTTP {answer.response.status_code}"
        except (OSError, TimeoutError, EOFError, WebSocketException, Impossible) as trouble:
            why = str(trouble) or type(trouble).__name__
        pause_s = random.uniform(0, pause_max_s)
        log.info("gateway_away", why=why, pause_s=round(pause_s, 2))
        await asyncio.sleep(pause_s)
        pause_max_s = min(2 * pause_max_s, patience.max_s)


def _address(url: str) -> str:
    try:
        found = urlsplit(url)
        is_whole = bool(found.hostname) and found.port != 0
    except ValueError:
        is_whole = False
    scheme = _SCHEMES.get(url.partition("://")[0].lower())
    if scheme is None or not is_whole:
        raise Refused(
            "bad_url", f"{url} is no address of a gateway: write one such as ws://127.0.0.1:8701"
        )
    return f"{scheme}://{url.partition('://')[2]}".rstrip("/")


async def _next(connection: ClientConnection, limit_s: float) -> AnyFrame:
    async with asyncio.timeout(limit_s):
        return frames.read(await connection.recv())


def _refused(body: bytes | bytearray | None) -> Refused:
    try:
        error: Any = msgspec.json.decode(body or b"")["error"]
        return Refused(str(error["code"]), str(error["sentence"]))
    except (ValueError, KeyError, TypeError):
        return Refused("bad_query", "The gateway cannot answer this.")


def _text(text: str) -> str:
    return quote(text, safe="/,:")
