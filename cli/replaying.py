"""Replaying: plays recorded segments again, and says whether they give what was decided then.

In        files or folders of segments; how fast; where what is told is written.
Out       a table of hashes a feed; exit code 1 when anything differs from what was stored.
Promises  nothing is changed anywhere; the same segments give the same hashes at any speed.
"""

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from rich.console import Console
from rich.table import Table

from cli.settings import Settings
from rooms.feed_log import Decided
from rooms.recording import Segment
from rooms.refusal import CannotGoOn, Impossible
from rooms.units import UnixMs
from storage import crossings, feed_seconds, recordings
from storage.connections import Connections, open_connections
from streams.replay import (
    Digests,
    OfRoom,
    Outcome,
    Prices,
    Replay,
    Second,
    stored_text,
    stretches,
    text_of,
)

WIDE: Final = 140


class RecordingDiffersError(CannotGoOn):
    """A replay gave something else than what was stored; the message says where."""


@dataclass(slots=True)
class Played:
    """What a stretch of one feed gave.

    Attributes:
        is_warm: it began with the worker's memory, or with the log itself.
        seconds: by their beginning, in bytes; ``decided`` by room.
        compared: how many seconds and rooms were compared with the database.
    """

    digests: Digests
    is_warm: bool
    seconds: dict[int, bytes] = field(default_factory=dict)
    decided: dict[int, Decided] = field(default_factory=dict)
    compared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be replayed, and how.

    Attributes:
        feeds: only these; none means all.
        speed: times as fast as it was; 0 is as fast as possible.
        to: where to write what is told, a JSON line each; ``-`` is standard output.
        until: stop after the segment in which this moment of the log lies.
    """

    files: Sequence[Path]
    feeds: frozenset[str]
    speed: float
    to: str | None
    until: UnixMs | None
    as_json: bool


async def run_replay(wish: Wish, against: Settings | None) -> None:
    """Replay and print; compare with a database too when one is given.

    Raises:
        RecordingDiffersError: when something is not as it was stored.
        CannotGoOn: when the segments cannot be played.
    """
    try:
        found = stretches_of(wish)
        with ExitStack() as held:
            out = _opened(wish.to, held)
            played = [await _play(each, wish, out) for each in found]
    except Impossible as wrong:
        raise CannotGoOn(str(wrong)) from None
    if against is not None:
        async with open_connections(against.dsn, name="replay", size_max=2) as connections:
            for each in played:
                await _compare(connections, each)
    if wish.as_json:
        sys.stdout.write(json.dumps(facts(played)) + "\n")
    else:
        to_terminal = sys.stdout.isatty()
        _show(Console(stderr=wish.to == "-", width=None if to_terminal else WIDE), played)
    faults = [f"{each.digests.feed}: {what}" for each in played for what in each.digests.differ]
    if faults:
        raise RecordingDiffersError("the replay is not what was decided: " + "; ".join(faults))


def stretches_of(wish: Wish) -> list[list[Segment]]:
    """Read the segments and put those together that follow one another, a feed at a time."""
    segments = [recordings.read(path) for path in recordings.found(wish.files)]
    wanted = {
        (each.feed, each.from_at, each.first_offset): each
        for each in segments
        if (not wish.feeds or each.feed in wish.feeds)
        and (wish.until is None or each.from_at <= wish.until)
    }
    if not wanted:
        raise Impossible("none of these segments is of the feeds and the time that are wanted")
    return stretches([wanted[key] for key in sorted(wanted)])


def facts(played: Iterable[Played]) -> dict[str, Any]:
    """Return what a program may want to know."""
    return {
        "stretches": [
            {
                "feed": each.digests.feed, "from_at": each.digests.from_at,
                "to_at": each.digests.to_at, "messages": each.digests.messages,
                "told": each.digests.told, "seconds": each.digests.seconds,
                "of_rooms": each.digests.of_rooms, "set_aside": each.digests.set_aside,
                "sha256": each.digests.hashes(), "begins_with_memory": each.is_warm,
                "memories_compared": each.digests.memories, "rows_compared": each.compared,
                "differs": each.digests.differ,
            }
            for each in played
        ]
    }  # fmt: skip


async def _play(segments: Sequence[Segment], wish: Wish, out: BinaryIO | None) -> Played:
    first = segments[0]
    replay = Replay(first)
    played = Played(replay.digests, first.is_warm)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for segment in segments:
        for outcome in replay.play(segment):
            if wish.speed:
                due = begun + (_at(outcome) - first.from_at) / 1000 / wish.speed
                await asyncio.sleep(max(0.0, due - loop.time()))
            _note(played, outcome)
            if out is not None:
                out.write(text_of(outcome) + b"\n")
                if wish.speed:
                    out.flush()
        await asyncio.sleep(0)
    return played


def _note(played: Played, outcome: Outcome) -> None:
    match outcome:
        case Second():
            played.seconds[outcome.closed.second_at] = text_of(outcome)
        case OfRoom(Decided() as decided):
            played.decided[decided.room] = decided


def _at(outcome: Outcome) -> int:
    match outcome:
        case Prices():
            return outcome.at
        case Second():
            return outcome.closed.second_at
        case OfRoom():
            return outcome.what.at


async def _compare(connections: Connections, played: Played) -> None:
    """Compare seconds and crossings with what the worker stored."""
    if not played.is_warm or not played.seconds:
        return
    digests = played.digests
    async with connections.acquire() as connection:
        rows = await feed_seconds.between(
            connection, digests.feed, UnixMs(min(played.seconds)), UnixMs(max(played.seconds))
        )
        found = {
            room: await crossings.of(connection, room)
            for room, decided in played.decided.items()
            if decided.crossing is not None
        }
    for row in rows:
        played.compared += 1
        if played.seconds.get(row["second_at"]) != stored_text(row):
            digests.differ.append(f"the second {row['second_at']} was stored otherwise")
    for room, crossing in found.items():
        if crossing is not None:
            played.compared += 1
            if crossing != played.decided[room].crossing:
                digests.differ.append(f"the crossing of room {room} was stored otherwise")


def _opened(to: str | None, held: ExitStack) -> BinaryIO | None:
    if to is None:
        return None
    return sys.stdout.buffer if to == "-" else held.enter_context(Path(to).open("wb"))


def _show(console: Console, played: Sequence[Played]) -> None:
    table = Table()
    for heading in ("feed", "what"):
        table.add_column(heading)
    table.add_column("how many", justify="right")
    table.add_column("sha256 of it")
    for each in played:
        digests = each.digests
        hashes = digests.hashes()
        table.add_row(digests.feed, "messages of prices", str(digests.told), hashes["prices"])
        table.add_row("", "seconds", str(digests.seconds), hashes["seconds"])
        table.add_row("", "targets and outcomes", str(digests.of_rooms), hashes["rooms"],
                      end_section=True)  # fmt: skip
    console.print(table)
    for each in played:
        digests = each.digests
        said = [
            f"{digests.messages} messages",
            f"{(digests.to_at - digests.from_at) / 1000:.1f} s of the log",
        ]
        if not each.is_warm:
            said.append("begins without the worker's memory: nothing is compared")
        if digests.set_aside:
            said.append(f"{digests.set_aside} set aside")
        same = digests.memories + each.compared - len(digests.differ)
        said.append(f"{same} of {digests.memories + each.compared} stored results are the same")
        console.print(f"{digests.feed}: {'; '.join(said)}")
