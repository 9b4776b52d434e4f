"""Openings: what people ask rooms to be, until they are open or refused.

In        requests as people made them; drafts whose vault and feed are ready.
Out       each request once, to whoever claims it.
Promises  a request becomes one room or one refusal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rooms.feed import Feed
from rooms.refusal import Refused
from rooms.room import Comparator
from rooms.units import Bps, UnixMs, Value
from storage.connections import Connection
from storage.feeds import feed_of
from storage.sql import queries

SQL: Final = queries("openings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for a room, with its feed.

    Attributes:
        request: as it was written, to be read with `rooms.room.RoomRequest` in mind.
        now: the database's clock at the claim.
    """

    id: int
    creator: int
    feed: Feed
    request: Mapping[str, Any]
    now: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A room that is asked for, to be opened or refused now.

    Attributes:
        last: the feed's newest stored index price, or None.
        ready: whether vault and feed are ready; if not, it has waited too long.
    """

    request_id: int
    room_id: int
    creator: int
    comparator: Comparator
    move_bps: Bps | None
    target: Value | None
    last: Value | None
    ready: bool
    now: UnixMs


async def claim(connection: Connection, limit: int) -> list[Asked]:
    """Claim requests that nobody has looked at, in the order of asking."""
    rows = await connection.fetch(SQL["claim"], limit)
    return [
        Asked(
            id=row["id"],
            creator=row["creator"],
            feed=feed_of(row),
            request=row["request"],
            now=row["now"],
        )
        for row in rows
    ]


async def drafted(connection: Connection, request_id: int, room_id: int) -> None:
    """Note which room a request became."""
    await connection.execute(SQL["drafted"], request_id, room_id)


async def refuse(connection: Connection, request_id: int, refusal: Refused) -> None:
    """Note why a request became no room."""
    said = {"code": refusal.code, "sentence": refusal.sentence}
    await connection.execute(SQL["refuse"], request_id, said)


async def opened(connection: Connection, requests: Iterable[int]) -> None:
    """Note that the rooms of these requests are open."""
    await connection.execute(SQL["opened"], list(requests))


async def claim_drafts(
    connection: Connection, *, warm_ms: int, wait_ms_max: int, limit: int
) -> list[Draft]:
    """Claim drafts that are ready to open, or have waited longer than ``wait_ms_max``."""
    rows = await connection.fetch(SQL["claim_drafts"], warm_ms, wait_ms_max, limit)
    return [Draft(**{**row, "comparator": Comparator(row["comparator"])}) for row in rows]
