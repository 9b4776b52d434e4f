"""Messages: what travels in `ticks` and `prices`, and nothing else.

In        bytes of a message; ticks, rooms and prices of ours.
Out       those again; bytes.
Promises  what is not exactly one of these shapes is `Impossible`; every value is a whole number.
Why       between our own processes numbers may pass 2^53; what leaves us goes out as text.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from rooms.feed_log import OpenRoom
from rooms.index_price import IndexPrice, LeftOut, Reason, Silence
from rooms.refusal import Impossible
from rooms.tick import Tick
from rooms.units import UnixMs, Value

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Moment = Annotated[int, msgspec.Meta(ge=10**12, lt=10**13)]
Feed = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Source = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
RoomId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,19}$")]

PlainTick = tuple[Source, Count, Count, Moment, Moment]
"""Source, sequence, value, source time, receive time."""


class Message(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """The shape that all share: ``kind`` says which it is."""


class Ticks(Message, frozen=True):
    """The ticks that arrived while the previous message was under way; none is a beat."""

    feed: Feed
    at: Moment
    ticks: list[PlainTick]

    def told(self) -> list[Tick]:
        """Return the ticks.

        Raises:
            Impossible: when one of them can never be true.
        """
        return [_tick(plain) for plain in self.ticks]


class Opened(Message, frozen=True):
    """A room is to be followed from here on."""

    room: OpenRoom


class Stopped(Message, frozen=True):
    """A room was decided elsewhere."""

    room: RoomId


class Price(Message, frozen=True):
    """An index price with the tick of every source, and why some did not count."""

    value: Count
    at: Moment
    ticks: list[PlainTick]
    left_out: list[tuple[PlainTick, LeftOut]]

    @property
    def known(self) -> int:
        """Return how many sources have ever spoken; a witness is none."""
        asked = sum(why is LeftOut.WITNESS for _, why in self.left_out)
        return len(self.ticks) + len(self.left_out) - asked


class Silent(Message, frozen=True):
    """No index price, and why."""

    reason: Reason
    at: Moment
    agreeing: Count
    known: Count
    quorum: Count


class Prices(Message, frozen=True):
    """What one message of a feed's log told.

    Attributes:
        position: the offset of that message; higher is later, and the same is a repeat.
        at: that message's time.
    """

    feed: Feed
    scale: Annotated[int, msgspec.Meta(ge=0, le=12)]
    position: Count
    at: Moment
    told: list[Price | Silent]


Heard = Ticks | Opened | Stopped
Shape = TypeVar("Shape")

_HEARD: Final[msgspec.json.Decoder[Heard]] = msgspec.json.Decoder(Heard)
_PRICES: Final = msgspec.json.Decoder(Prices)
_ENCODE: Final = msgspec.json.Encoder()


def read_heard(payload: bytes | None) -> Heard:
    """Read a message of a feed's log.

    Raises:
        Impossible: when it is none.
    """
    return _read(payload, _HEARD)


def read_prices(payload: bytes | None) -> Prices:
    """Read a message of `prices`.

    Raises:
        Impossible: when it is none.
    """
    return _read(payload, _PRICES)


def write(message: Message) -> bytes:
    """Write a message."""
    return _ENCODE.encode(message)


def ticks(feed: str, at: UnixMs, heard: Iterable[Tick]) -> Ticks:
    """Make the message that carries ``heard``; nothing heard makes a beat."""
    return Ticks(feed, at, [_plain(tick) for tick in heard])


def prices(
    feed: str, scale: int, position: int, at: UnixMs, told: Sequence[IndexPrice | Silence]
) -> Prices:
    """Make the message that tells what one message of a feed's log gave."""
    return Prices(feed, scale, position, at, [_told(each) for each in told])


def opened(room: OpenRoom) -> dict[str, Any]:
    """Make what is sent into a feed's log when a room opens."""
    plain: dict[str, Any] = msgspec.to_builtins(Opened(room))
    return plain


def stopped(room: int) -> dict[str, Any]:
    """Make what is sent into a feed's log when a room was decided elsewhere."""
    plain: dict[str, Any] = msgspec.to_builtins(Stopped(str(room)))
    return plain


def _read(payload: bytes | None, decoder: msgspec.json.Decoder[Shape]) -> Shape:
    if payload is None:
        raise Impossible("an empty message says nothing")
    try:
        return decoder.decode(payload)
    except (ValueError, RecursionError) as error:
        raise Impossible(f"not a message of ours: {error}") from error


def _told(told: IndexPrice | Silence) -> Price | Silent:
    if isinstance(told, Silence):
        return Silent(told.reason, told.at, told.agreeing, told.known, told.quorum)
    return Price(
        told.value,
        told.at,
        [_plain(tick) for tick in told.ticks],
        [(_plain(tick), why) for tick, why in told.left_out],
    )


def _plain(tick: Tick) -> PlainTick:
    return (tick.source, tick.sequence, tick.value, tick.source_at, tick.at)


def _tick(plain: PlainTick) -> Tick:
    source, sequence, value, source_at, at = plain
    return Tick(source, sequence, Value(value), UnixMs(source_at), UnixMs(at))
