"""Frames: what the gateway says to subscribers, and what its client reads.

Out       JSON objects with a ``kind``; ids, values and lamports as text; prices in digits too.
Promises  numbers rise; what is not one of these shapes is `Impossible` to the client.
Why       every JSON reader keeps text exact; many bend whole numbers past 2^53.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rooms.decimal_text import text_from_whole
from rooms.refusal import Impossible
from storage.events import NumberedEvent
from streams.messages import Price, Prices, Silent

_MONEY: Final = frozenset({"lamports", "yes", "no", "pool", "staked"})
_IDS: Final = frozenset({"room", "stake", "value", "target", "base"})


class Frame(msgspec.Struct, frozen=True, tag_field="kind", tag=str.lower, omit_defaults=True):
    """The shape that all share."""


class Hello(Frame, frozen=True):
    """The first frame: how often we say something at least, and where this subscription begins."""

    heartbeat_ms: int
    numbers: dict[str, int] = {}
    number: int | None = None


class Heartbeat(Frame, frozen=True):
    """Nothing was missed up to these numbers: of each feed, or of the events."""

    at: int
    numbers: dict[str, int] = {}
    number: int | None = None


class Gap(Frame, frozen=True):
    """What was asked for is not kept any more; the stream goes on at ``next``, if there is one."""

    feed: str
    asked: int
    reason: str
    next: int | None = None


class ToldPrice(msgspec.Struct, frozen=True, tag_field="kind", tag="price"):
    """An index price: as text to read, and as a whole number of ``10**-scale`` units."""

    at: int
    price: str
    value: str
    scale: int
    sources: list[str]
    known: int


class ToldSilence(msgspec.Struct, frozen=True, tag_field="kind", tag="silence"):
    """No index price, and why."""

    at: int
    reason: str
    agreeing: int
    known: int
    quorum: int


class Told(Frame, frozen=True, tag="prices"):
    """What one message of a feed's log told, in order."""

    feed: str
    number: int
    at: int
    told: list[ToldPrice | ToldSilence]


class Happened(Frame, frozen=True, tag="event"):
    """A public event: its kind, room, sequence number within the room, and facts."""

    number: int
    event: dict[str, Any]


AnyFrame = Hello | Heartbeat | Gap | Told | Happened

_READ: Final[msgspec.json.Decoder[AnyFrame]] = msgspec.json.Decoder(AnyFrame)
_WRITE: Final = msgspec.json.Encoder()


def write(frame: Frame) -> str:
    """Write a frame as JSON text."""
    return _WRITE.encode(frame).decode()


def read(text: str | bytes) -> AnyFrame:
    """Read a frame.

    Raises:
        Impossible: when it is none.
    """
    try:
        return _READ.decode(text)
    except (ValueError, RecursionError) as error:
        raise Impossible(f"not a frame of the gateway: {error}") from error


def told(prices: Prices) -> Told:
    """Make the frame of a message of `prices`; its number is the position in the feed's log."""
    return Told(
        prices.feed, prices.position, prices.at, [_told(each, prices.scale) for each in prices.told]
    )


def happened(event: NumberedEvent) -> Happened:
    """Make the frame of a public event."""
    return Happened(event.number, {name: _safe(name, fact) for name, fact in event.payload.items()})


def _told(each: Price | Silent, scale: int) -> ToldPrice | ToldSilence:
    if isinstance(each, Silent):
        return ToldSilence(each.at, each.reason.value, each.agreeing, each.known, each.quorum)
    return ToldPrice(
        at=each.at,
        price=text_from_whole(each.value, scale),
        value=str(each.value),
        scale=scale,
        sources=each.sources,
        known=each.known,
    )


def _safe(name: str, fact: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
    if isinstance(fact, Mapping):
        return {inner: _safe(inner, value) for inner, value in fact.items()}
    is_whole = isinstance(fact, int) and not isinstance(fact, bool)
    return str(fact) if is_whole and (name in _MONEY or name in _IDS) else fact
