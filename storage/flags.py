"""Flags: what is open for business, read inside the transaction that moves money.

Holds     one row each for bets, rooms, withdrawals, signing and all of them.
Promises  a flag that is missing is closed; one that is read stays as it is until the commit.
Why       a pause stops new reserves and signatures, never watching, deciding or posting.
"""

from enum import StrEnum
from typing import Final

from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("flags")


class Flag(StrEnum):
    """Name what can be paused."""

    BETS = "bets"
    ROOMS = "rooms"
    WITHDRAWALS = "withdrawals"
    SIGNING = "signing"
    ALL = "all"


async def is_open(connection: Connection, flag: Flag) -> bool:
    """Say whether ``flag`` and the one for all are both open, and hold them so to the end."""
    names = [flag.value, Flag.ALL.value]
    rows = await connection.fetch(SQL["read"], names)
    found = {row["name"]: row["open"] for row in rows}
    return all(found.get(name, False) for name in names)


async def change(connection: Connection, flag: Flag, *, open: bool, reason: str) -> None:  # noqa: A002 - the flag's own word
    """Open or close ``flag``, saying why."""
    await connection.execute(SQL["change"], flag.value, open, reason)


async def known(connection: Connection) -> dict[Flag, bool]:
    """Return every flag that was ever set, and whether it is open."""
    return {Flag(row["name"]): row["open"] for row in await connection.fetch(SQL["known"])}
