"""Set aside: what can never work, kept with its reason for a person to look at.

Holds     where it came from (topic/partition/offset, or table/id), what it said, why it cannot be.
Promises  the same origin is kept once; nothing that waits behind it is held up.
"""

from typing import Final

from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("set_aside")


async def set_aside(connection: Connection, origin: str, payload: str, reason: str) -> None:
    """Keep ``payload`` with the reason why it can never work."""
    await connection.execute(SQL["set_aside"], origin, payload, reason)


async def is_set_aside(connection: Connection, origin: str) -> bool:
    """Say whether what came from ``origin`` was set aside."""
    found: bool = await connection.fetchval(SQL["is_set_aside"], origin)
    return found
