"""Outbox: what must be told, written in the transaction of its fact.

In        events, wake-ups and messages for a feed's log.
Out       rows that one relay at a time numbers, sends and marks.
Promises  an event of a room takes the room's next sequence number; every call rings the relay once;
          a public number is given only to what is committed, without gaps.
Why       a fact and the news of it are one commit, so that neither exists without the other.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from rooms.event import PUBLIC, Event, Kind
from rooms.units import Lamports, UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("outbox")

EVENTS: Final = "events"
LOG: Final = "ticks"
CHANNEL: Final = "outbox"


@dataclass(frozen=True, slots=True)
class Unsent:
    """A row that waits for the relay.

    Attributes:
        key: empty for a wake-up, which any worker may hear.
        number: the public number of an event; None until the relay has given one.
    """

    id: int
    topic: str
    key: str
    payload: Mapping[str, Any]
    number: int | None


async def tell(connection: Connection, events: Sequence[Event]) -> None:
    """Write what happened, in this order; public events number themselves within their room.

    Rooms are locked before accounts everywhere: tell a room's public events only when its row is
    locked already, or before any account is.
    """
    if not events:
        return
    await connection.execute(
        SQL["tell"],
        [event.room if event.kind in PUBLIC else None for event in events],
        [str(event.user if event.room is None else event.room) for event in events],
        [msgspec.json.encode(payload_of(event)).decode() for event in events],
    )


async def tell_bettors(
    connection: Connection,
    room: int,
    at: UnixMs,
    bettors: Sequence[tuple[int, Lamports, Lamports | None]],
) -> None:
    """Tell everybody who had a bet in a divided room what became of it.

    Args:
        bettors: person, what was staked, and what will be paid: None for a bet that lost.
    """
    if bettors:
        users, staked, paid = zip(*bettors, strict=True)
        kinds = Kind.BET_WON.value, Kind.BET_LOST.value
        await connection.execute(SQL["tell_bettors"], room, at, *kinds, users, staked, paid)


async def wake(connection: Connection, *topics: str) -> None:
    """Have the agents of these topics look for work once this is committed."""
    await connection.execute(SQL["wake"], topics)


async def to_log(connection: Connection, feed: str, message: Mapping[str, Any]) -> None:
    """Send a message into a feed's own log, where its order with the ticks is fixed."""
    await connection.execute(SQL["write"], LOG, feed, message)


def payload_of(event: Event) -> dict[str, Any]:
    """Return an event as it travels; the sequence within its room is added as it is written."""
    payload: dict[str, Any] = {"kind": event.kind.value, "at": event.at}
    if event.room is not None:
        payload["room"] = str(event.room)
    if event.user is not None:
        payload["user"] = event.user
    assert payload.keys().isdisjoint(event.facts), "facts do not hide what every event says"
    return {**payload, **event.facts}


async def unsent(connection: Connection, limit: int) -> list[Unsent]:
    """Read committed rows that have not been sent, in the order of their ids."""
    return [Unsent(**row) for row in await connection.fetch(SQL["unsent"], limit)]


async def give_numbers(connection: Connection, rows: Sequence[Unsent]) -> list[Unsent]:
    """Give each event among ``rows`` its public number and ring those who read events."""
    fresh = [row.id for row in rows if row.topic == EVENTS and row.number is None]
    if not fresh:
        return list(rows)
    async with connection.transaction():
        given = {
            row["id"]: row["number"] for row in await connection.fetch(SQL["give_numbers"], fresh)
        }
        await connection.execute(SQL["notify_events"])
    return [replace(row, number=given.get(row.id, row.number)) for row in rows]


async def mark_sent(connection: Connection, rows: Sequence[Unsent]) -> None:
    """Note that the broker has answered for ``rows``."""
    await connection.execute(SQL["mark_sent"], [row.id for row in rows])


async def delete_sent(connection: Connection, *, kept_ms: int, limit: int) -> int:
    """Delete what was sent longer ago than ``kept_ms``, but never an event; return how many."""
    return len(await connection.fetch(SQL["delete_sent"], kept_ms, limit))


@asynccontextmanager
async def listening(connection: Connection) -> AsyncIterator[asyncio.Event]:
    """Give a bell that rings whenever somebody has written here; clear it before reading.

    The connection must be nobody else's: one of many that dies with a listener cannot go back.
    """
    bell = asyncio.Event()

    def ring(*_: object) -> None:
        bell.set()

    await connection.add_listener(CHANNEL, ring)
    try:
        yield bell
    finally:
        if not connection.is_closed():
            await connection.remove_listener(CHANNEL, ring)
