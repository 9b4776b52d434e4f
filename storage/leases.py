"""Leases: work that only one process may do, held by an advisory lock for as long as it lives.

In        the database; which work.
Promises  two holders at once cannot be: the lock ends with its connection, not with a timer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import IntEnum

import asyncpg

from storage.connections import CONNECT_LIMIT_S


class Lease(IntEnum):
    """Name the work. Numbers are the lock's: append, never renumber."""

    CUSTODY = 7_266_301
    NOTICES = 7_266_302


class LeaseTakenError(Exception):
    """Another process does this work on this database already."""


class LeaseLostError(Exception):
    """The connection that held a lease has ended: somebody else may do the work now."""


@asynccontextmanager
async def held(dsn: str, lease: Lease) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Hold a lease while the block runs; give what waits for its loss and then raises.

    Raises:
        LeaseTakenError: when somebody else holds it.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_LIMIT_S)
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lease.value):
            raise LeaseTakenError(
                f"another {lease.name.lower()} process works on this database already"
            )
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())

        async def until_lost() -> None:
            await lost.wait()
            raise LeaseLostError(f"the lease of {lease.name.lower()} was lost with its connection")

        yield until_lost
    finally:
        await connection.close()
