"""People: who has ever spoken to the bot, and where they can be reached.

In        what Telegram says of a person: the numeric id, the chat, the name.
Out       the person with what the bot needs at every turn, read in one statement.
Promises  a person is made once; a referrer is set at that moment or never, and never oneself.
Why       whoever writes to us again can be reached again, so writing lifts the mark *blocked*.
"""

from dataclasses import dataclass
from typing import Any

from rooms.units import UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL = queries("people")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as the bot meets one.

    Attributes:
        address: of their wallet; None until custody has made it.
        conversation: where they are in a dialogue, as it was stored; None when in none.
    """

    id: int
    chat_id: int
    name: str
    blocked: bool
    address: str | None
    conversation: dict[str, Any] | None


async def find(connection: Connection, user: int, *, talk_since: UnixMs) -> Person | None:
    """Read a person; a conversation that rested since before ``talk_since`` is over."""
    row = await connection.fetchrow(SQL["find"], user, talk_since)
    return Person(**row) if row else None


async def meet(
    connection: Connection, *, user: int, chat_id: int, name: str, referrer: int | None
) -> bool:
    """Write down a person as they are now; say whether they are new."""
    new: bool = await connection.fetchval(SQL["meet"], user, chat_id, name, referrer)
    return new


async def block(connection: Connection, user: int, *, blocked: bool) -> bool:
    """Note whether a person lets the bot write to them; say whether that is news."""
    return await connection.fetchval(SQL["block"], user, blocked) is not None
