"""Decisions: what the prices stage writes about rooms, each fact with its event and its wake-up.

In        rooms that the log locked, watches that began, targets fixed, outcomes with crossings.
Promises  a target is fixed once and an outcome is given once, whoever comes second; a second try
          writes nothing and tells nothing; NO is not said against the stored seconds.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import structlog

from rooms.event import Event, Kind
from rooms.feed_log import Decided, Locked, WatchStarted
from rooms.room import LIVE_CUT_MS, Outcome, VoidReason
from rooms.units import UnixMs
from storage import crossings, outbox
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("decisions")

log = structlog.get_logger()


class TargetsDiffer(Exception):
    """A room's target is fixed at another value than this log gives: two logs disagree."""


async def lock(connection: Connection, locked: Sequence[Locked]) -> None:
    """Lock rooms, tell it, and have custody look for what is to be sealed."""
    if not locked:
        return
    rows = await connection.fetch(SQL["lock"], [each.room for each in locked])
    fresh = {row["id"] for row in rows}
    events = [Event(Kind.ROOM_LOCKED, each.at, each.room) for each in locked if each.room in fresh]
    if events:
        await outbox.tell(connection, events)
        await outbox.wake(connection, "custody")


async def watch(connection: Connection, started: Sequence[WatchStarted]) -> None:
    """Tell that rooms with a fixed value are watched now."""
    if not started:
        return
    rows = await connection.fetch(
        SQL["watch"], [each.room for each in started], [each.at for each in started]
    )
    fresh = {row["id"] for row in rows}
    await outbox.tell(connection, [_watch_event(each) for each in started if each.room in fresh])


async def fix_target(connection: Connection, started: WatchStarted) -> bool:
    """Fix the target of a move, and tell it; say whether the room is still to be decided.

    Raises:
        TargetsDiffer: when it is fixed already at another value.
    """
    assert started.price is not None, "a move's target is fixed by a price"
    fixed = await connection.fetchval(
        SQL["fix_target"],
        started.room,
        started.at,
        started.target,
        started.price.value,
        msgspec.to_builtins(started.price),
    )
    if fixed:
        await outbox.tell(connection, [_watch_event(started)])
        return True
    room = await connection.fetchrow(SQL["fixed_target"], started.room)
    assert room is not None, "a room that is watched has a row"
    if room["outcome"] is not None:
        return False
    if room["target"] not in (None, started.target):
        raise TargetsDiffer(
            f"room {started.room}: {room['target']} is fixed, the log says {started.target}"
        )
    return True


async def decide(connection: Connection, decided: Sequence[Decided]) -> list[int]:
    """Decide rooms, with their crossings; return those that were not decided before.

    No is said only when the stored seconds know of no touch either.
    """
    if not decided:
        return []
    missed = await touch_missed(
        connection, [each.room for each in decided if each.outcome is Outcome.NO]
    )
    decided = [_missed(each) if each.room in missed else each for each in decided]
    rows = await connection.fetch(
        SQL["decide"],
        [each.room for each in decided],
        [each.outcome.value for each in decided],
        [each.reason.value if each.reason else None for each in decided],
        [each.at for each in decided],
        [_touched_at(each) for each in decided],
        LIVE_CUT_MS,
    )
    former = {row["id"]: row["state"] for row in rows}
    fresh = [each for each in decided if each.room in former]
    if not fresh:
        return []
    found = [each.crossing for each in fresh if each.crossing is not None]
    if found:
        await crossings.store(connection, found)
    covered = [(each.room, each.coverage) for each in fresh if each.coverage is not None]
    if covered:
        await connection.execute(
            SQL["cover"],
            [room for room, _ in covered],
            [coverage.since for _, coverage in covered],
            [coverage.until for _, coverage in covered],
            [coverage.missing_ms for _, coverage in covered],
            [coverage.longest_gap_ms for _, coverage in covered],
        )
    events: list[Event] = []
    for each in fresh:
        if former[each.room] == "OPEN":
            events.append(Event(Kind.ROOM_LOCKED, each.at, each.room))
        events.append(Event(Kind.ROOM_DECIDED, each.at, each.room, facts=_facts(each)))
    await outbox.tell(connection, events)
    await outbox.wake(connection, "settlements", "custody")
    return [each.room for each in fresh]


async def touch_missed(connection: Connection, rooms: Sequence[int]) -> set[int]:
    """Return rooms whose target the stored seconds of their watch reached.

    The log compares every price, so that there is none; if there is one, it cannot be NO.
    """
    if not rooms:
        return set()
    ranges = await connection.fetch(SQL["ranges"], list(rooms))
    near = await connection.fetch(
        SQL["within"],
        list(rooms),
        *([row[name] for row in ranges] for name in ("feed", "deadline_at", "low", "high")),
    )
    if not near:
        return set()
    found = await connection.fetch(SQL["touched"], [row["id"] for row in near])
    return {row["id"] for row in found}


def log_ended(room: int, at: UnixMs) -> Decided:
    """Return the void of a room whose feed's log stopped before it could be decided."""
    return Decided(room, Outcome.VOID, VoidReason.LOG_ENDED, at, None)


def _missed(decided: Decided) -> Decided:
    log.error("touch_missed", room=decided.room)
    return replace(decided, outcome=Outcome.VOID, reason=VoidReason.TOUCH_MISSED)


def _touched_at(decided: Decided) -> UnixMs | None:
    if decided.outcome is not Outcome.YES or decided.crossing is None:
        return None
    return decided.crossing.source_at


def _watch_event(started: WatchStarted) -> Event:
    facts: dict[str, Any] = {"target": str(started.target)}
    if started.price is not None:
        facts["base"] = str(started.price.value)
    return Event(Kind.WATCH_STARTED, started.at, started.room, facts=facts)


def _facts(decided: Decided) -> dict[str, Any]:
    facts: dict[str, Any] = {"outcome": decided.outcome.value}
    if decided.reason is not None:
        facts["reason"] = decided.reason.value
    if decided.crossing is not None:
        facts["value"] = str(decided.crossing.price.value)
        facts["crossing_at"] = decided.crossing.price.at
    return facts
