"""Updates: what Telegram told us, stored before it is acknowledged, answered once it is done.

In        updates as they came, without what must never be stored.
Out       one at a time to whoever handles it, each person's in the order of their numbers.
Promises  the same update twice is one row; what an update caused and the mark that it is done are
          one commit, and its replies wait in the row until they are sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from storage.connections import Connection
from storage.sql import queries

SQL = queries("updates")

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """One stored update; ``person`` is who it came from."""

    id: int
    person: int
    payload: JsonObject


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What a handled update still has to answer."""

    id: int
    person: int
    replies: list[JsonObject]


async def keep(connection: Connection, updates: Sequence[Update]) -> int:
    """Store updates; return how many were new."""
    rows = await connection.fetch(
        SQL["keep"],
        [update.id for update in updates],
        [update.person for update in updates],
        [update.payload for update in updates],
    )
    return len(rows)


async def claim(connection: Connection) -> Update | None:
    """Take the oldest update that waits for nobody else's turn, until this transaction ends."""
    row = await connection.fetchrow(SQL["claim"])
    return Update(**row) if row else None


async def finish(connection: Connection, update: int, replies: Sequence[JsonObject]) -> None:
    """Mark an update as done, with what it has to answer."""
    await connection.execute(SQL["finish"], update, list(replies) or None)


async def note_failure(connection: Connection, update: int, reason: str) -> int | None:
    """Note that handling failed; return how often it has by now, None when it is done."""
    attempts: int | None = await connection.fetchval(SQL["note_failure"], update, reason)
    return attempts


async def unanswered(connection: Connection, limit: int) -> list[Unanswered]:
    """Read handled updates whose replies were never sent, oldest first."""
    return [Unanswered(**row) for row in await connection.fetch(SQL["unanswered"], limit)]


async def mark_answered(connection: Connection, updates: Sequence[int]) -> None:
    """Note that the replies of these updates were sent."""
    await connection.execute(SQL["mark_answered"], list(updates))


async def forget(connection: Connection, *, kept_ms: int) -> None:
    """Delete updates that were done longer ago than ``kept_ms``."""
    await connection.execute(SQL["forget"], kept_ms)


async def take_turn(connection: Connection) -> bool:
    """Try to become the one bot process for as long as this connection lives."""
    taken: bool = await connection.fetchval(SQL["take_turn"])
    return taken


async def leave_turn(connection: Connection) -> None:
    """Let another be the one bot: the connection goes on to be used for something else."""
    await connection.fetchval(SQL["leave_turn"])
