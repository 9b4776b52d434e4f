"""Leases: work that only one process may do, held by an advisory lock for as long as it lives.

In        the database; which work.
Out       the lease, once nobody else holds it; whoever waits for it is standing by.
Promises  two holders at once cannot be: the lock ends with its connection, not with a timer; who
          has lost it can write nothing that is fenced, whatever other connections it has; who holds
          it and says nothing for too long has its connection ended by whoever stands by.
Why       a process that was stopped and goes on believes that it holds what another has now, so
          the belief is checked where it matters, by the database, in the transaction that writes.
          A process that stands still keeps its connection for as long as it stands.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import structlog

from rooms.refusal import CannotGoOn
from storage.again import PASSING
from storage.connections import Connection, open_connection
from storage.sql import queries

SQL: Final = queries("leases")
LOOK_EVERY_S: Final = 0.5
SPEAK_EVERY_S: Final = 1.0
SPEAK_LIMIT_S: Final = 5.0
SILENT_LIMIT_S: Final = 10.0

log = structlog.get_logger()


class Lease(IntEnum):
    """Name the work. Numbers are the lock's: append, never renumber."""

    CUSTODY = 7_266_301
    NOTICES = 7_266_302
    AUDITOR = 7_266_303
    RELAY = 7_266_304
    RECORDER = 7_266_305


class LeaseLostError(CannotGoOn):
    """The connection that held a lease has ended: somebody else may do the work now."""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that was ours when it was given.

    Attributes:
        backend: the server's own process behind the connection that holds it.
    """

    lease: Lease
    backend: int
    _connection: Connection
    _lost: asyncio.Event

    async def until_lost(self) -> None:
        """Show that we live until the lease is lost: without this it will be.

        Raises:
            LeaseLostError: then.
        """
        while not self._lost.is_set():
            try:
                await speak(self._connection)
            except PASSING as trouble:
                raise self._error() from trouble
            with suppress(TimeoutError):
                async with asyncio.timeout(SPEAK_EVERY_S):
                    await self._lost.wait()
        raise self._error()

    async def fence(self, connection: Connection) -> None:
        """Go on only while it is held; call it in the transaction of what only its holder does.

        Raises:
            LeaseLostError: when it is not ours any more.
        """
        if self._lost.is_set() or not await connection.fetchval(
            SQL["is_held"], self.lease.value, self.backend
        ):
            raise self._error()

    def _error(self) -> LeaseLostError:
        return LeaseLostError(
            f"the lease of {self.lease.name.lower()} was lost with its connection"
        )


async def is_taken(connection: Connection, lease: Lease) -> bool:
    """Say whether anybody holds a lease now."""
    taken: bool = await connection.fetchval(SQL["is_taken"], lease.value)
    return taken


async def begin_epoch(connection: Connection, lease: Lease) -> int:
    """Return a number for a new holder; what is fenced by an older one is refused from now on.

    Call it once, after the lease was taken.
    """
    epoch: int = await connection.fetchval(SQL["begin_epoch"], lease.name.lower())
    return epoch


async def speak(connection: Connection) -> None:
    """Show that whoever holds a lease by ``connection`` is alive."""
    await connection.execute(SQL["speak"], timeout=SPEAK_LIMIT_S)


async def take(connection: Connection, lease: Lease, *, silent_limit_s: float) -> bool:
    """Take a lease for as long as ``connection`` lives, unless somebody who is alive holds it."""
    if await connection.fetchval(SQL["try_take"], lease.value):
        return True
    ended = await connection.fetchval(SQL["end_silent"], lease.value, silent_limit_s)
    if ended is not None:
        log.warning("silent_holder_ended", lease=lease.name.lower(), backend=ended)
    return False


@asynccontextmanager
async def held(
    dsn: str,
    lease: Lease,
    *,
    standing_by: Callable[[], None] = lambda: None,
    silent_limit_s: float = SILENT_LIMIT_S,
) -> AsyncIterator[HeldLease]:
    """Wait until nobody else holds a lease, then hold it while the block runs.

    Args:
        dsn: where the database is.
        lease: which work.
        standing_by: called once when somebody else holds it.
        silent_limit_s: a holder that says nothing for so long is taken for dead.
    """
    name = lease.name.lower()
    async with open_connection(dsn, name=f"{name} lease") as connection:
        # A holder whose machine is gone says no goodbye: the server finds out within seconds.
        await connection.execute(SQL["watch_the_line"])
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        stood_by = False
        while not await take(connection, lease, silent_limit_s=silent_limit_s):
            if not stood_by:
                log.info("standing_by", lease=name)
                stood_by = True
                standing_by()
            # A statement that waits for the lock would keep vacuum from its work for days.
            await asyncio.sleep(LOOK_EVERY_S)
        log.info("lease_taken", lease=name)
        yield HeldLease(lease, await connection.fetchval(SQL["backend"]), connection, lost)
