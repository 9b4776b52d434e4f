"""Buttons: what a pressed button means, kept on our side of the wire.

In        random tokens, each with its owner, what it does and until when.
Out       the meaning of a token, its row locked until the transaction that acts ends.
Promises  a token that acts is used once, in the transaction of its act.
Why       whatever a client sends back can be forged; a token it cannot guess means nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rooms.units import UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL = queries("buttons")


@dataclass(frozen=True, slots=True)
class Button:
    """A button as it was shown: what it does for whom, and until when."""

    token: str
    user: int
    action: dict[str, Any]
    expires_at: UnixMs
    used_at: UnixMs | None = None


async def show(connection: Connection, buttons: Sequence[Button]) -> None:
    """Write down buttons that are about to be shown."""
    await connection.execute(
        SQL["show"],
        [button.token for button in buttons],
        [button.user for button in buttons],
        [button.action for button in buttons],
        [button.expires_at for button in buttons],
    )


async def find(connection: Connection, token: str) -> Button | None:
    """Read what a token means and hold it, so that a second press waits for the first."""
    row = await connection.fetchrow(SQL["find"], token)
    return Button(**row) if row else None


async def use(connection: Connection, token: str) -> None:
    """Mark a token as used."""
    await connection.execute(SQL["use"], token)


async def forget(connection: Connection, *, kept_ms: int) -> None:
    """Delete buttons that expired longer ago than ``kept_ms``."""
    await connection.execute(SQL["forget"], kept_ms)
