"""Messages: what travels in `ticks` and `prices`, and nothing else.

In        bytes of a message; ticks, rooms and prices of ours.
Out       those again; bytes.
Promises  what is not exactly one of these shapes is `Impossible`; every value is a whole number.
Why       between our own processes numbers may pass 2^53; what leaves us goes out as text.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Annotated, Any, Final, TypeVar

import msgspec

from rooms.derived import Word
from rooms.feed_log import OpenRoom
from rooms.index_price import IndexPrice, LeftOut, Reason, Silence
from rooms.look_back import LookBack
from rooms.meeting import Given
from rooms.refusal import Impossible, must
from rooms.tick import Tick
from rooms.units import UnixMs, Value

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Moment = Annotated[UnixMs, msgspec.Meta(ge=10**12, lt=10**13)]
Quoted = Annotated[Value, msgspec.Meta(ge=0, le=2**63 - 1)]
Feed = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Source = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
RoomId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,19}$")]

PlainTick = tuple[Source, Count, Quoted, Moment, Moment]
"""Source, sequence, value, source time, receive time: as `Tick` takes them."""

_plain: Final[Callable[[Tick], PlainTick]] = attrgetter(
    "source", "sequence", "value", "source_at", "at"
)


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
        return [Tick(*plain) for plain in self.ticks]


class Opened(Message, frozen=True):
    """A room is to be followed from here on."""

    room: OpenRoom


class Stopped(Message, frozen=True):
    """A room was decided elsewhere."""

    room: RoomId


class Price(Message, frozen=True):
    """An index price with the tick of every source, and why some did not count.

    That of a derived feed has no ticks, but the index price of every input.
    """

    value: Count
    at: Moment
    ticks: list[PlainTick]
    left_out: list[tuple[PlainTick, LeftOut]]
    inputs: list["PlainInput"] = []

    @property
    def sources(self) -> list[str]:
        """Return who said it: sources, or the feeds that a derived feed is made of."""
        return [source for source, *_ in self.ticks] or [feed for feed, *_ in self.inputs]

    @property
    def known(self) -> int:
        """Return how many sources have ever spoken; a witness is none."""
        asked = sum(why is LeftOut.WITNESS for _, why in self.left_out)
        return len(self.ticks) + len(self.inputs) + len(self.left_out) - asked


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


PlainInput = tuple[Feed, Price, list["PlainLook"]]
"""Feed, its index price, its looks back."""

PlainLook = tuple[Count, Count | None, Count | None, Count | None, Count, Count | None]
"""Span, low, high, total, count, then."""

PlainWord = tuple[Moment, Price | Silent | None, list[PlainLook]]
"""When; what the input is then, or that it is still so; its looks back."""


class Inputs(Message, frozen=True):
    """What one message of an input's log gave to a feed that is derived from it.

    Attributes:
        position: the offset of that message in the input's log; ``at``: until when that was read.
    """

    feed: Feed
    input: Feed
    position: Count
    at: Moment
    words: list[PlainWord]

    def told(self) -> Given:
        """Return what was given.

        Raises:
            Impossible: when it can never be true.
        """
        words = tuple(
            Word(
                feed=self.input,
                position=self.position,
                nth=nth,
                at=UnixMs(at),
                price=_index_price(told) if isinstance(told, Price) else None,
                silence=_silence(told) if isinstance(told, Silent) else None,
                looks=tuple(_look(plain) for plain in looks),
            )
            for nth, (at, told, looks) in enumerate(self.words)
        )
        return Given(feed=self.input, position=self.position, at=UnixMs(self.at), words=words)


Heard = Ticks | Inputs | Opened | Stopped
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
    return Ticks(feed, at, list(map(_plain, heard)))


def prices(
    feed: str, scale: int, position: int, at: UnixMs, told: Sequence[IndexPrice | Silence]
) -> Prices:
    """Make the message that tells what one message of a feed's log gave."""
    return Prices(feed, scale, position, at, [_told(each) for each in told])


def inputs(
    feed: str,
    of: str,
    position: int,
    at: UnixMs,
    words: Iterable[tuple[UnixMs, IndexPrice | Silence | None, Iterable[LookBack]]],
) -> Inputs:
    """Make the message that tells a derived feed what an input of it is."""
    plain: list[PlainWord] = [
        (
            word_at,
            None if price is None else _told(price),
            _plain_looks(looks),
        )
        for word_at, price, looks in words
    ]
    return Inputs(feed, of, position, at, plain)


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
    return _price(told)


def _price(told: IndexPrice) -> Price:
    return Price(
        told.value,
        told.at,
        list(map(_plain, told.ticks)),
        [(_plain(tick), why) for tick, why in told.left_out],
        [(each.feed, _price(each.price), _plain_looks(each.looks)) for each in told.inputs],
    )


def _plain_looks(looks: Iterable[LookBack]) -> list[PlainLook]:
    return [(x.span_ms, x.low, x.high, x.total, x.count, x.then) for x in looks]


def _silence(told: Silent) -> Silence:
    return Silence(told.reason, UnixMs(told.at), told.agreeing, told.known, told.quorum)


def _index_price(told: Price) -> IndexPrice:
    must(not told.inputs, "a derived feed is made of plain feeds")
    return IndexPrice(
        Value(told.value),
        UnixMs(told.at),
        tuple(Tick(*plain) for plain in told.ticks),
        tuple((Tick(*plain), why) for plain, why in told.left_out),
    )


def _look(plain: PlainLook) -> LookBack:
    span_ms, low, high, total, count, then = plain
    must(count > 0, "a look back counts its own moment")
    return LookBack(
        span_ms=span_ms,
        low=None if low is None else Value(low),
        high=None if high is None else Value(high),
        total=total,
        count=count,
        then=None if then is None else Value(then),
    )
