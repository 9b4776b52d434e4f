"""Flags: what is open for business, read inside the transaction that moves money.

Holds     one row each for bets, rooms, withdrawals, signing and all of them.
Promises  a flag that is missing or cannot be read is closed; whoever changes one is written down
          with a reason; a pause holds for every transaction that begins after it, and once
          `waited_out` says so, none that read "open" is under way.
Why       a pause stops new reserves and signatures, never watching, deciding or posting; it must
          not wait for a process that hangs, so reading takes a lock of its own, not the row's.
"""

from enum import StrEnum
from typing import Final

import asyncpg

from storage.connections import Connection, Connections, transaction
from storage.sql import queries

SQL: Final = queries("flags")

SYSTEM: Final = "rooms"
"""Who did what no person asked for."""


class Flag(StrEnum):
    """Name what can be paused."""

    BETS = "bets"
    ROOMS = "rooms"
    WITHDRAWALS = "withdrawals"
    SIGNING = "signing"
    ALL = "all"


async def is_open(connection: Connection, flag: Flag) -> bool:
    """Say whether ``flag`` and the one for all are both open, in the transaction that asks."""
    found: bool = await connection.fetchval(SQL["is_open"], flag.value)
    return found


async def change(
    connection: Connection,
    flag: Flag,
    *,
    open: bool,  # noqa: A002 - the flag's own word
    reason: str,
    who: str = SYSTEM,
) -> None:
    """Open or close ``flag``, and write down who did so and why."""
    kind = "resume" if open else "pause"
    await connection.execute(SQL["change"], flag.value, open, reason, kind, who)


async def close(connection: Connection, flag: Flag, reason: str) -> bool:
    """Close ``flag`` as the process that found the reason; say whether that was not known yet."""
    new: bool = await connection.fetchval(SQL["close"], flag.value, reason)
    return new


async def waited_out(connections: Connections, flag: Flag, *, limit_ms: int) -> bool:
    """Wait until no transaction is under way that read ``flag`` before; say whether none is."""
    try:
        async with transaction(connections) as connection:
            await connection.execute(SQL["limit_wait"], limit_ms)
            await connection.execute(SQL["wait_out"], flag.value)
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def reasons(connection: Connection) -> dict[Flag, str]:
    """Return why each flag that was closed after it had been open is closed."""
    rows = await connection.fetch(SQL["known"])
    return {Flag(row["name"]): row["reason"] for row in rows if not row["open"]}


async def known(connection: Connection) -> dict[Flag, bool]:
    """Return every flag that was ever set, and whether it is open."""
    return {Flag(row["name"]): row["open"] for row in await connection.fetch(SQL["known"])}
