"""Session: one client's conversation with one venue, without the socket.

In        what the client sent, what was traded, the passing of time.
Out       acts for the socket: say, ping, cut.
Promises  no waiting and no clock in any session: the moment is always an argument.
Why       a protocol that is a plain object can be checked line by line against the documents.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sandbox.venues.market import Trade


@dataclass(frozen=True, slots=True)
class Say:
    """Send this text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a websocket ping with this payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection."""

    code: int
    reason: str


Act = Say | Ping | Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The venues' limits; tests make the waits small."""

    lifetime_ms: int = 86_400_000
    notice_ms: int = 30_000
    heartbeat_ms: int = 1_000
    binance_ping_ms: int = 20_000
    binance_pong_ms: int = 60_000
    binance_messages_a_second: int = 5
    binance_streams_max: int = 1_024
    coinbase_subscribe_ms: int = 5_000
    coinbase_messages_a_second: int = 20
    okx_idle_ms: int = 30_000
    okx_operations_an_hour: int = 480
    bybit_idle_ms: int = 600_000
    bybit_args_max: int = 10
    bybit_characters_max: int = 21_000
    gemini_heartbeat_ms: int = 5_000
    pyth_ping_ms: int = 30_000
    pyth_messages_a_second: int = 10


@dataclass(frozen=True, slots=True)
class Told:
    """Something a venue publishes to whoever subscribed the channel and symbol."""

    channel: str
    symbol: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """What a session may ask of the world behind it.

    Attributes:
        knows: whether the venue lists this symbol.
        recent: its trades before a moment, oldest first, at most so many.
    """

    rules: Rules
    knows: Callable[[str], bool]
    recent: Callable[[str, int, int], list[Trade]]


class Rate:
    """Counts messages in a sliding window."""

    def __init__(self, count_max: int, window_ms: int) -> None:
        self._window_ms = window_ms
        self._count_max = count_max
        self._times: deque[int] = deque()

    def exceeded(self, now: int) -> bool:
        """Count one more message, and say whether that is one too many."""
        self._times.append(now)
        while self._times[0] <= now - self._window_ms:
            self._times.popleft()
        return len(self._times) > self._count_max


class Session(Protocol):
    """One client at one venue."""

    subscribed: set[tuple[str, str]]
    """Channel and symbol."""

    def opened(self, now: int) -> Iterable[Act]:
        """Greet."""

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a text frame."""

    def beat(self, payload: bytes, now: int, *, is_pong: bool) -> Iterable[Act]:
        """Take note of a websocket ping or pong."""

    def told(self, told: Told, now: int) -> Iterable[Act]:
        """Pass on what was published, in this session's form."""

    def passed(self, now: int) -> Iterable[Act]:
        """Do what is due."""

    def closing_soon(self, now: int) -> Iterable[Act]:
        """Say that the connection will be closed, where the venue says so."""


class PlainSession(Session):
    """A session that does not greet, passes on what is published, and closes without a word.

    A venue says only what it does otherwise.
    """

    def __init__(self, place: Place, now: int) -> None:
        self.subscribed = set()
        self._place = place
        self._opened_at = now

    def opened(self, now: int) -> Iterable[Act]:
        """Say nothing."""
        del now
        return ()

    def beat(self, payload: bytes, now: int, *, is_pong: bool) -> Iterable[Act]:
        """Take no note: the library has answered."""
        del payload, now, is_pong
        return ()

    def told(self, told: Told, now: int) -> Iterable[Act]:
        """Pass it on."""
        del now
        yield Say(told.text)

    def passed(self, now: int) -> Iterable[Act]:
        """Leave who has been here too long."""
        if now - self._opened_at >= self._place.rules.lifetime_ms:
            yield Cut(1001, "24 hours")

    def closing_soon(self, now: int) -> Iterable[Act]:
        """Say nothing."""
        del now
        return ()


@dataclass(frozen=True, slots=True)
class Spoken:
    """A venue: where it listens, how a trade looks there, how a conversation goes.

    Attributes:
        symbol: a coin's symbol there.
        publish: a trade as its trade channel says it.
        describe: the channel and symbol of a recorded frame, and what of it is published; None
            for acks and heartbeats.
        restamp: a recorded frame's text with its times and ids moved.
        one_in: it tells one trade in so many.
        key_header, key_query: the header, or name in the address, without which nobody comes in.
        is_alone: a second connection is refused.
        subprotocol: the one that it speaks, if it names one.
    """

    name: str
    paths: tuple[str, ...]
    symbol: Callable[[str], str]
    publish: Callable[[Trade, int], Told]
    describe: Callable[[str], Told | None]
    restamp: Callable[[str, int, int], str]
    session: Callable[[Place, str, int], Session]
    one_in: int = 1
    key_header: str | None = None
    key_query: str | None = None
    is_alone: bool = False
    subprotocol: str | None = None


def rfc3339(at: int, microsecond: int = 0) -> str:
    """Write a moment as ``2026-11-22T09:00:00.123456Z``."""
    whole = datetime.fromtimestamp(at // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}{microsecond:03d}Z"


def shift_rfc3339(text: str, shift_ms: int) -> str:
    """Move RFC 3339 text ending in Z, keeping its own digits below the millisecond."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    fraction = fraction.ljust(3, "0")
    moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    moved = moment + timedelta(milliseconds=int(fraction[:3]) + shift_ms)
    return f"{moved:%Y-%m-%dT%H:%M:%S}.{moved.microsecond // 1000:03d}{fraction[3:]}Z"


def compact(told: object) -> str:
    """Write JSON without blanks, as venues do."""
    return json.dumps(told, separators=(",", ":"))


def object_of(text: str) -> dict[str, object] | None:
    """Return the object that a client sent, or nothing when it is none."""
    try:
        asked = json.loads(text)
    except ValueError:
        return None
    return asked if isinstance(asked, dict) else None


def text_of(fields: Mapping[str, object], name: str) -> str:
    """Return a field if it is text, else nothing."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def texts_of(fields: Mapping[str, object], name: str) -> list[str]:
    """Return a field's texts if it is a list, else nothing."""
    value = fields.get(name)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
