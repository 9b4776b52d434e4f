"""Notices: who must hear of what, kept until they have.

In        numbered events, from where the reader stopped.
Out       notices by person, those about money first.
Promises  a notice and the step past its event are one commit, so none is lost or made twice;
          people who blocked the bot keep theirs until they come back.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rooms.event import Kind
from storage.connections import Connection
from storage.sql import queries

SQL = queries("notices")

TOLD_BETTORS = (Kind.ROOM_LOCKED, Kind.WATCH_STARTED, Kind.ROOM_DECIDED, Kind.ROOM_SETTLED)
"""Public events that everyone with a bet in the room hears of."""
TOLD_CREATOR = (Kind.ROOM_OPENED,)
"""Public events that only whoever made the room hears of."""
ABOUT_MONEY = (
    Kind.BET_CONFIRMED,
    Kind.STAKE_MISSED,
    Kind.STAKE_RELEASED,
    Kind.BET_WON,
    Kind.BET_LOST,
    Kind.BET_PAID,
    Kind.DEPOSIT_POSTED,
    Kind.DEPOSIT_UNDONE,
    Kind.EARNING_LANDED,
    Kind.WITHDRAWAL_REFUSED,
    Kind.WITHDRAWAL_ACCEPTED,
    Kind.WITHDRAWAL_PAID,
    Kind.WITHDRAWAL_RELEASED,
)
"""Told before everything else."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that one person must hear."""

    id: int
    user: int
    chat_id: int
    event: Mapping[str, Any]


async def spread(connection: Connection, limit: int) -> int:
    """Turn the next events into notices; return how many events were read.

    Must run in a transaction of its own: the reader's place is locked until it ends.
    """
    position = await connection.fetchval(SQL["position"])
    return int(
        await connection.fetchval(
            SQL["spread"], int(position), limit, TOLD_BETTORS, TOLD_CREATOR, ABOUT_MONEY
        )
    )


async def due(connection: Connection, limit: int, *, but: Collection[int]) -> list[Notice]:
    """Read all notices of the ``limit`` people who come first, in the order of the events.

    Args:
        connection: where to read.
        limit: how many people at most.
        but: people who are being told something now.
    """
    rows = await connection.fetch(SQL["due"], limit, list(but))
    return [Notice(**row) for row in rows]


async def mark_told(connection: Connection, notices: Sequence[int]) -> None:
    """Note that these were told."""
    await connection.execute(SQL["mark_told"], list(notices))


async def give_up(connection: Connection, notices: Sequence[int], reason: str) -> None:
    """Note that these can never be told, and why."""
    await connection.execute(SQL["give_up"], list(notices), reason)


async def pass_over(connection: Connection, user: int) -> None:
    """Leave untold what a person who comes back need not hear any more: all but money."""
    await connection.execute(SQL["pass_over"], user)
