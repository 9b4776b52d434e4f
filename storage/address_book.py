"""Address book: where a person sends to, and since when.

Promises  since when is the database's word: an address that was taken out and comes back is new.
"""

from dataclasses import dataclass
from typing import Final

from rooms.units import UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("address_book")


@dataclass(frozen=True, slots=True)
class BookLine:
    """An address in a person's book."""

    address: str
    added_at: UnixMs


async def lines(connection: Connection, user: int) -> list[BookLine]:
    """Read a person's book, the newest address first."""
    return [BookLine(**row) for row in await connection.fetch(SQL["lines"], user)]


async def remember(connection: Connection, user: int, address: str) -> None:
    """Write an address down, if it is not there yet."""
    await connection.execute(SQL["remember"], user, address)


async def forget(connection: Connection, user: int, address: str) -> None:
    """Take an address out of the book."""
    await connection.execute(SQL["forget"], user, address)
