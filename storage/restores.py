"""Restores: what an old database has forgotten and the chain has not.

In        signatures that custody gave and this database does not know.
Out       whether a restore is open; what waits to be placed; the rows that are rebuilt.
Promises  while a restore is open PostgreSQL takes no signing; a row is rebuilt only for a
          transaction that was found on chain, by PostgreSQL's own functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncpg import IntegrityConstraintViolationError, PLPGSQLError

from rooms.transfer import TransferKind
from rooms.units import Address, Lamports, Signature, Slot, UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("restores")


class NotRebuiltError(Exception):
    """What the chain says does not fit what the database has; the message says how."""


@dataclass(frozen=True, slots=True)
class OpenRestore:
    """A restore that is under way; ``is_read`` once the whole history was read for it."""

    is_read: bool


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A transaction of ours that this database does not know, and why it is not placed yet."""

    signature: Signature
    memo: str
    waits_for: str | None


@dataclass(frozen=True, slots=True)
class LastRestore:
    """The restore that began last; ``done_at`` is None while it is under way."""

    reason: str
    begun_at: UnixMs
    read_at: UnixMs | None
    done_at: UnixMs | None


async def begin(connection: Connection, reason: str, who: str) -> bool:
    """Close everything until the chain was read again; say whether no restore was open before."""
    begun: bool = await connection.fetchval(SQL["begin"], reason, who)
    return begun


async def under_way(connection: Connection) -> OpenRestore | None:
    """Return the restore that is open, if there is one."""
    row = await connection.fetchrow(SQL["state"])
    return None if row is None else OpenRestore(row["is_read"])


async def last(connection: Connection) -> LastRestore | None:
    """Return the restore that began last, if there ever was one; nothing is changed."""
    row = await connection.fetchrow(SQL["last"])
    return None if row is None else LastRestore(**row)


async def has_read(connection: Connection) -> None:
    """Note that the chain's whole history was read."""
    await connection.execute(SQL["has_read"])


async def end(connection: Connection) -> None:
    """Note that everything is placed; flags stay as they are."""
    await connection.execute(SQL["end"])


async def remember(
    connection: Connection, signature: Signature, slot: Slot, at: UnixMs, memo: str
) -> None:
    """Keep a transaction of ours that this database does not know."""
    await connection.execute(SQL["remember"], signature, slot, at, memo)


async def waiting(connection: Connection) -> list[Forgotten]:
    """Return what is not placed yet, in the order of the chain."""
    return [
        Forgotten(Signature(row["signature"]), row["memo"], row["waits_for"])
        for row in await connection.fetch(SQL["waiting"])
    ]


async def placed(connection: Connection, signature: Signature) -> None:
    """Note that a transaction has its rows again."""
    await connection.execute(SQL["placed"], signature)


async def waits(connection: Connection, signature: Signature, why: str) -> None:
    """Note why a transaction cannot be placed yet."""
    await connection.execute(SQL["waits"], signature, why)


async def planned(
    connection: Connection,
    source: Address,
    destination: Address,
    lamports: Lamports,
    kinds: Sequence[TransferKind],
    taken: Sequence[int],
) -> tuple[int, bool] | None:
    """Return a transfer of just this, and whether no other attempt of it is open."""
    row = await connection.fetchrow(
        SQL["planned"], source, destination, lamports, list(kinds), list(taken)
    )
    return None if row is None else (row["id"], row["state"] == "PLANNED")


async def restore_room(
    connection: Connection, signature: Signature, room: int, vault: Address, asset: str
) -> None:
    """Make a room of which only its vault is known: every stake in it goes back."""
    await _rebuild(connection, "room", signature, room, vault, asset)


async def restore_stake(
    connection: Connection,
    signature: Signature,
    stake: int,
    source: Address,
    vault: Address,
    side: str,
    lamports: Lamports,
) -> None:
    """Make a stake with its bet, its hold and its plan."""
    await _rebuild(connection, "stake", signature, stake, source, vault, side, lamports)


async def restore_withdrawal(
    connection: Connection,
    signature: Signature,
    withdrawal: int,
    source: Address,
    destination: Address,
    lamports: Lamports,
) -> None:
    """Make a withdrawal with its hold and its plan."""
    await _rebuild(connection, "withdrawal", signature, withdrawal, source, destination, lamports)


async def restore_return(
    connection: Connection, signature: Signature, source: Address, lamports: Lamports
) -> None:
    """Make the plan of a floor that came back."""
    await _rebuild(connection, "return", signature, source, lamports)


async def restore_earning(
    connection: Connection, signature: Signature, destination: Address, lamports: Lamports
) -> None:
    """Make the plan of earned shares that went to a person."""
    await _rebuild(connection, "earning", signature, destination, lamports)


async def restore_outcome(
    connection: Connection, signature: Signature, room: int, outcome: str
) -> None:
    """Decide a room as it was told on chain, unless it is settled already."""
    await _rebuild(connection, "outcome", signature, room, outcome)


async def holds_seals(connection: Connection) -> bool:
    """Say whether a stake may be missing in this database, so that no pool is whole."""
    held: bool = await connection.fetchval(SQL["holds_seals"])
    return held


async def is_attempt_open(connection: Connection) -> bool:
    """Say whether the fate of any attempt is open."""
    is_open: bool = await connection.fetchval(SQL["is_attempt_open"])
    return is_open


async def _rebuild(connection: Connection, name: str, *facts: object) -> None:
    try:
        async with connection.transaction():
            await connection.execute(SQL[name], *facts)
    except (IntegrityConstraintViolationError, PLPGSQLError) as why:
        raise NotRebuiltError(f"{name}: {str(why).partition(chr(10))[0]}") from why


def room_of(memo: str) -> int | None:
    """Return the room that a memo of ours names, if it names one."""
    words = memo.split(" ")
    named = len(words) > 2 and words[:1] == ["r1"] and words[1] in ("stake", "pay", "settled")
    return int(words[2]) if named and words[2].isdecimal() else None
