"""Recording: a feed's log, kept in segments that are named by what is in them.

In        messages of one feed's log as they lie on the broker: offset, append time, bytes.
Out       a segment's canonical content, its hash, its name; the segment again from its content.
Promises  the same messages give the same content; what is read back is what was written, byte for
          byte; content that is not exactly a segment is `Impossible`.
Why       a name that follows from the content needs nobody's word that it was not changed.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from rooms.canonical import canonical, content_hash, plain_of
from rooms.refusal import Impossible, must
from rooms.units import UnixMs

FORM: Final = "rooms-segment/1"
MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Line:
    """One message as the broker has it.

    Attributes:
        appended_at: the broker's own time of it.
        payload: its bytes; None for an empty message.
    """

    offset: int
    appended_at: UnixMs
    payload: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One feed's messages of one minute of its log, or of a part of that minute.

    Attributes:
        partition: of the log.
        rule: the feed as it was then: unit, scale, guards; plain JSON values.
        minute_at: the log's minute.
        from_at: the log's time after its first message; ``to_at`` after its last.
        after: the offset of the feed's message before; None when none was recorded.
        missed: the first offset that could not be heard, and the one that was heard next; a log
            that began anew is heard next at a lower one. None when nothing is missing before.
        memory: what the worker stored after the message before this segment, to go on from;
            None where it stored nothing just there.
    """

    feed: str
    partition: int
    rule: Mapping[str, Any]
    minute_at: UnixMs
    from_at: UnixMs
    to_at: UnixMs
    after: int | None
    missed: tuple[int, int] | None
    memory: Mapping[str, Any] | None
    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        must(self.lines, "a segment holds something")
        offsets = [line.offset for line in self.lines]
        must(
            all(one < other for one, other in pairwise(offsets)),
            "a segment's messages are in the order of the log",
        )
        must(self.from_at <= self.to_at, "a log's time does not go back")

    @property
    def first_offset(self) -> int:
        """Return the offset of its first message."""
        return self.lines[0].offset

    @property
    def last_offset(self) -> int:
        """Return the offset of its last message."""
        return self.lines[-1].offset

    @property
    def is_warm(self) -> bool:
        """Say whether a replay may begin here: with a memory, or with the log itself."""
        return self.memory is not None or self.after is None


def minute_of(at: int) -> UnixMs:
    """Return the minute that a moment lies in."""
    return UnixMs(at // MINUTE_MS * MINUTE_MS)


def content_of(segment: Segment) -> bytes:
    """Write a segment: a line of JSON that says what it is, then a line a message."""
    head = {
        "form": FORM,
        "feed": segment.feed,
        "partition": segment.partition,
        "rule": segment.rule,
        "minute_at": segment.minute_at,
        "from_at": segment.from_at,
        "to_at": segment.to_at,
        "after": segment.after,
        "missed": segment.missed,
        "memory": segment.memory,
        "messages": len(segment.lines),
    }
    lines = [canonical(head)]
    lines += [
        canonical([line.offset, line.appended_at, _plain(line.payload)]) for line in segment.lines
    ]
    return ("\n".join(lines) + "\n").encode()


def hash_of(segment: Segment) -> str:
    """Return a segment's name: the SHA-256 of its content."""
    return content_hash(content_of(segment))


def segment_of(content: bytes) -> Segment:
    """Read a segment.

    Raises:
        Impossible: when the content is none, or not in its canonical form.
    """
    try:
        head, *rows = content.decode().removesuffix("\n").split("\n")
        said = plain_of(head)
        must(said["form"] == FORM, f"its form is {said['form']!r}, not {FORM!r}")
        segment = Segment(
            feed=str(said["feed"]),
            partition=int(said["partition"]),
            rule=dict(said["rule"]),
            minute_at=UnixMs(said["minute_at"]),
            from_at=UnixMs(said["from_at"]),
            to_at=UnixMs(said["to_at"]),
            after=said["after"],
            missed=tuple(said["missed"]) if said["missed"] else None,
            memory=said["memory"],
            lines=tuple(_line(plain_of(row)) for row in rows),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Impossible(f"not a segment of a recording: {error}") from error
    must(content_of(segment) == content, "a segment is in its canonical form")
    return segment


def follows(segment: Segment, before: Segment) -> bool:
    """Say whether nothing is missing between two segments of one feed."""
    return segment.missed is None and segment.after == before.last_offset


def _plain(payload: bytes | None) -> str | dict[str, str] | None:
    if payload is None:
        return None
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode()}


def _line(plain: Any) -> Line:  # noqa: ANN401 - what JSON says
    offset, appended_at, said = plain
    payload: bytes | None
    match said:
        case None:
            payload = None
        case str():
            payload = said.encode()
        case {"base64": str(text)}:
            payload = base64.b64decode(text, validate=True)
        case _:
            raise TypeError("a message is text, bytes or nothing")
    return Line(int(offset), UnixMs(appended_at), payload)
