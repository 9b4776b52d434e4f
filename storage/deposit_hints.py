"""Deposit hints: where a webhook says that something came in.

In        signatures and addresses, as they were told.
Out       addresses of ours to look at, each once.
Promises  the same signature told again is nothing new; an address that is not ours is passed over;
          nothing but where to look follows from any of it.
"""

from collections.abc import Sequence
from typing import Final

from rooms.units import Address, Signature
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("deposit_hints")

TAKEN_MAX: Final = 500
KEPT_MS: Final = 24 * 3_600_000
"""A webhook is sent again for minutes; what is told again after a day is looked at again."""


async def hear(connection: Connection, told: Sequence[tuple[Signature, Address]]) -> int:
    """Write down where to look, and wake custody; return how many of these are new."""
    heard: int = await connection.fetchval(
        SQL["hear"], [signature for signature, _ in told], [address for _, address in told]
    )
    return heard


async def take(connection: Connection) -> list[Address]:
    """Return addresses to look at, once."""
    return [Address(row["address"]) for row in await connection.fetch(SQL["take"], TAKEN_MAX)]


async def forget(connection: Connection) -> None:
    """Forget what was taken long ago."""
    await connection.execute(SQL["forget"], KEPT_MS)
