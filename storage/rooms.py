"""Rooms: where a room's rule and its life rest.

In        rules from `rooms.room`.
Out       rules with the state that they are in.
Promises  `lock` takes rooms in the order of their ids; rooms are locked before accounts everywhere.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Final

import asyncpg

from rooms.event import Event, Kind
from rooms.feed import Guards
from rooms.room import Comparator, Outcome, Room, State, VoidReason
from rooms.units import Address, Lamports, UnixMs, Value
from storage import outbox
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("rooms")

_RULE: Final = tuple(field.name for field in fields(Room))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRoom:
    """A room's rule, and where it is in its life.

    Attributes:
        base: the index price that fixed a move's target.
        sealed_lamports: the pool written down at the seal, or None before it.
    """

    rule: Room
    state: State
    base: Value | None
    outcome: Outcome | None
    void_reason: VoidReason | None
    decided_at: UnixMs | None
    sealed_lamports: Lamports | None


async def insert_draft(connection: Connection, room: Room) -> None:
    """Keep a room's rule; it opens later."""
    values = asdict(room)
    await connection.execute(SQL["insert_draft"], *(values[name] for name in _RULE))


async def open_drafts(connection: Connection, ids: Iterable[int]) -> list[KeptRoom]:
    """Open drafts, the times that were asked for counted from now."""
    return [kept(row) for row in await connection.fetch(SQL["open"], list(ids))]


async def read(connection: Connection, ids: Iterable[int]) -> dict[int, KeptRoom]:
    """Read rooms by their ids."""
    return _by_id(await connection.fetch(SQL["read"], list(ids)))


async def lock(connection: Connection, ids: Iterable[int]) -> dict[int, KeptRoom]:
    """Read rooms and hold them as they are until the transaction ends."""
    return _by_id(await connection.fetch(SQL["lock"], list(ids)))


async def vaults(connection: Connection, ids: Iterable[int]) -> dict[int, Address]:
    """Return the vault of each room that has one."""
    rows = await connection.fetch(SQL["vaults"], list(ids))
    return {row["room_id"]: Address(row["address"]) for row in rows}


async def user_places(connection: Connection, users: Iterable[int]) -> set[tuple[int, str]]:
    """Return each person with each asset that they have a place for."""
    rows = await connection.fetch(SQL["user_places"], list(users))
    return {(row["user_id"], row["asset"]) for row in rows}


async def mark_paid(connection: Connection, ids: Iterable[int]) -> list[int]:
    """Turn settled rooms of which nothing can move any more into paid ones, and tell it.

    Returns:
        the rooms that became paid just now.
    """
    settled = list(ids)
    if not settled:
        return []
    rows = await connection.fetch(SQL["mark_paid"], settled)
    await outbox.tell(
        connection, [Event(Kind.ROOM_PAID, row["paid_at"], room=row["id"]) for row in rows]
    )
    return [row["id"] for row in rows]


async def finished(connection: Connection, limit: int) -> list[int]:
    """Claim settled rooms of which nothing can move any more."""
    return [row["id"] for row in await connection.fetch(SQL["finished"], limit)]


def kept(row: asyncpg.Record) -> KeptRoom:
    """Read a row of `rooms`."""
    values = {name: row[name] for name in _RULE}
    values["comparator"] = Comparator(row["comparator"])
    values["guards"] = Guards(**row["guards"])
    sealed = row["sealed_at"] is not None
    return KeptRoom(
        rule=Room(**values),
        state=State(row["state"]),
        base=row["base"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        void_reason=VoidReason(row["void_reason"]) if row["void_reason"] else None,
        decided_at=row["decided_at"],
        sealed_lamports=Lamports(row["sealed_yes"] + row["sealed_no"]) if sealed else None,
    )


def _by_id(rows: Iterable[asyncpg.Record]) -> dict[int, KeptRoom]:
    return {row["id"]: kept(row) for row in rows}
