"""Conversations: where a person is in a dialogue, so that a restart loses no typed word.

Promises  a person is in one dialogue at a time; what is stored is JSON the bot alone understands.
"""

from collections.abc import Sequence
from typing import Any

from storage.connections import Connection
from storage.sql import queries

SQL = queries("conversations")


async def begin(connection: Connection, user: int, state: dict[str, Any]) -> None:
    """Put a person at this point of a dialogue, in place of any other."""
    await connection.execute(SQL["begin"], user, state)


async def end(connection: Connection, user: int) -> None:
    """Take a person out of whatever dialogue they were in."""
    await connection.execute(SQL["end"], user)


async def topics(connection: Connection, users: Sequence[int]) -> dict[int, str]:
    """Read what each person was asked last, of those who were asked something."""
    rows = await connection.fetch(SQL["topics"], list(users))
    return {row["user_id"]: row["about"] for row in rows}
