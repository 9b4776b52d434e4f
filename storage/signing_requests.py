"""Signing requests: what a signer elsewhere is asked, written down before it is sent.

In        a request under a name that says what it is for.
Out       the request first kept under that name.
Promises  two who ask for the same get the same bytes, also after a death in between; what is
          older than a day is gone.
"""

from dataclasses import dataclass
from typing import Final

from rooms.units import UnixMs
from storage.connections import Connections
from storage.sql import queries

SQL: Final = queries("signing_requests")


@dataclass(frozen=True, slots=True)
class SigningRequests:
    """Keep requests in the database."""

    connections: Connections

    async def keep(self, name: str, body: bytes, made_at: UnixMs, not_before: UnixMs) -> bytes:
        """Keep ``body`` under its name, and return what is kept there.

        That is ``body``, unless a request of ``not_before`` or later is kept already.
        """
        async with self.connections.acquire() as connection:
            kept: bytes = await connection.fetchval(SQL["keep"], name, body, made_at, not_before)
            return kept
