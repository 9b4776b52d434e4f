"""Replay: what recorded segments give, by the same rules that decided when they were live.

In        segments of one feed in the order of its log; rooms to follow beside those in the log.
Out       what the worker told and stored, in the same bytes; whether it is what the worker stored.
Promises  no clock and no chance: the same segments give the same outcome at any speed; a stretch
          that is missing is said, never passed over; what the worker would set aside, this does.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import msgspec

from rooms.derived_log import log_of
from rooms.feed import Feed
from rooms.feed_log import (
    Decided,
    Locked,
    Memory,
    OpenRoom,
    SecondClosed,
    Strayed,
    Told,
    WatchStarted,
)
from rooms.index_price import IndexPrice, Silence
from rooms.recording import Line, Segment, follows
from rooms.refusal import Impossible, must
from rooms.units import UnixMs
from streams import messages
from streams.prices import given, read_message

SECOND: Final = ("second_at", "low", "high", "last", "changes", "silence")
"""What is stored of a second beside its memory."""

_ENCODE: Final = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Prices:
    """What one message of the log told: the bytes of its message in `prices`."""

    at: UnixMs
    position: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Second:
    """A second as it is stored.

    Attributes:
        position: the offset of the last message in it.
    """

    closed: SecondClosed
    position: int


@dataclass(frozen=True, slots=True)
class OfRoom:
    """What happened to a room."""

    what: Locked | WatchStarted | Decided


Outcome = Prices | Second | OfRoom


@dataclass(slots=True)
class Digests:
    """What a replay gave, in three numbers and three hashes.

    Attributes:
        told: messages of prices; ``seconds`` and ``of_rooms`` likewise.
        set_aside: messages that can never be applied.
        memories: segments that begin where the worker stored what it remembered.
        differ: what the worker stored and the replay remembers otherwise, in words.
    """

    feed: str
    from_at: UnixMs
    to_at: UnixMs
    messages: int = 0
    told: int = 0
    seconds: int = 0
    of_rooms: int = 0
    set_aside: int = 0
    memories: int = 0
    differ: list[str] = field(default_factory=list)
    _told: Any = field(default_factory=hashlib.sha256)
    _seconds: Any = field(default_factory=hashlib.sha256)
    _of_rooms: Any = field(default_factory=hashlib.sha256)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome and take its bytes in."""
        text = text_of(outcome) + b"\n"
        match outcome:
            case Prices():
                self.told += 1
                self._told.update(text)
            case Second():
                self.seconds += 1
                self._seconds.update(text)
            case OfRoom():
                self.of_rooms += 1
                self._of_rooms.update(text)

    def hashes(self) -> dict[str, str]:
        """Return the three hashes in hex: of prices, seconds, rooms."""
        return {
            "prices": self._told.hexdigest(),
            "seconds": self._seconds.hexdigest(),
            "rooms": self._of_rooms.hexdigest(),
        }


class Replay:
    """Play one feed's segments through the product's own feed log."""

    def __init__(self, first: Segment, rooms: Iterable[OpenRoom] = ()) -> None:
        """Begin where ``first`` begins, with what the worker remembered there."""
        self._feed = msgspec.convert(first.rule, Feed)
        memory = msgspec.convert(first.memory, Memory) if first.memory is not None else None
        self._log = log_of(self._feed, memory=memory, rooms=rooms)
        self._before: Segment | None = None
        self._decided: set[int] = set()
        self._position = first.first_offset - 1 if first.after is None else first.after
        self.digests = Digests(first.feed, first.from_at, first.to_at)

    def play(self, segment: Segment) -> Iterator[Outcome]:
        """Apply one segment and give what follows from it, in order.

        Raises:
            Impossible: when it is of another feed, or does not follow the one before.
        """
        digests = self.digests
        must(segment.feed == digests.feed, "one replay is of one feed")
        if self._before is not None:
            must(
                follows(segment, self._before),
                f"a part of the log is missing before offset {segment.first_offset}",
            )
            self._compare(segment)
        self._before = segment
        digests.to_at = segment.to_at
        for line in segment.lines:
            digests.messages += 1
            try:
                outcomes = self._apply(segment, line)
            except Impossible:
                digests.set_aside += 1
                continue
            for outcome in outcomes:
                digests.add(outcome)
                yield outcome
            self._position = line.offset

    def _apply(self, segment: Segment, line: Line) -> list[Outcome]:
        name, heard, ticks = read_message(segment.feed.encode(), line.payload, line.appended_at)
        match heard:
            case messages.Opened():
                # A log may say twice that a room opens, the second time after its end.
                if heard.room.id not in self._decided:
                    self._log.open(heard.room)
                return []
            case messages.Stopped():
                self._log.stop(int(heard.room))
                return []
        outcomes: list[Outcome] = []
        told: list[IndexPrice | Silence] = []
        at = UnixMs(heard.at)
        if isinstance(heard, messages.Inputs):
            effects = given(self._log, heard)
        else:
            effects = self._log.hear(at, ticks)
        for effect in effects:
            match effect:
                case Told():
                    told.append(effect.price)
                case SecondClosed():
                    outcomes.append(Second(effect, self._position))
                case Strayed():
                    continue  # Said to the operator, and decides nothing.
                case _:
                    if isinstance(effect, Decided):
                        self._decided.add(effect.room)
                    outcomes.append(OfRoom(effect))
        if isinstance(heard, messages.Inputs):
            at = self._log.at
        if told:
            message = messages.prices(name, self._feed.scale, line.offset, at, told)
            outcomes.append(Prices(at, line.offset, messages.write(message)))
        return outcomes

    def _compare(self, segment: Segment) -> None:
        """Compare what is remembered with what the worker stored before this segment."""
        if segment.memory is None:
            return
        self.digests.memories += 1
        here = memory_text(msgspec.to_builtins(self._log.memory()))
        if here != memory_text(segment.memory):
            self.digests.differ.append(
                f"before offset {segment.first_offset} the worker remembered something else"
            )


def stretches(segments: Iterable[Segment]) -> list[list[Segment]]:
    """Put segments together that follow one another without a hole, a feed at a time."""
    found: list[list[Segment]] = []
    ordered = sorted(segments, key=lambda each: (each.feed, each.from_at, each.first_offset))
    for _, of_feed in groupby(ordered, key=lambda each: each.feed):
        before: Segment | None = None
        for each in of_feed:
            if before is None or not follows(each, before):
                found.append([])
            found[-1].append(each)
            before = each
    return found


def text_of(outcome: Outcome) -> bytes:
    """Return an outcome's bytes: what is compared and hashed."""
    match outcome:
        case Prices():
            return outcome.payload
        case Second():
            return second_text(outcome.closed, outcome.position)
        case OfRoom():
            kind = type(outcome.what).__name__.lower()
            return _ENCODE.encode({"kind": kind, **msgspec.to_builtins(outcome.what)})


def second_text(second: SecondClosed, position: int) -> bytes:
    """Return the bytes of a second as it is stored, without its memory."""
    plain = msgspec.to_builtins(second)
    return stored_text({**{name: plain[name] for name in SECOND}, "log_position": position})


def stored_text(row: Mapping[str, Any]) -> bytes:
    """Return the bytes of a row of `feed_seconds`, without feed and memory."""
    return _ENCODE.encode({"kind": "second", **row})


def memory_text(memory: Mapping[str, Any]) -> bytes:
    """Return the bytes of a memory but for the gaps, which only rooms that are open keep."""
    return _ENCODE.encode({name: kept for name, kept in memory.items() if name != "gaps"})
