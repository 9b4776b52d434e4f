"""Leases: work that only one process may do, held by an advisory lock for as long as it lives.

In        the database; which work.
Promises  two holders at once cannot be: the lock ends with its connection, not with a timer.
"""

from collections.abc import AsyncIterator
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


@asynccontextmanager
async def held(dsn: str, lease: Lease) -> AsyncIterator[None]:
    """Hold a lease while the block runs.

    Raises:
        LeaseTakenError: when somebody else holds it.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_LIMIT_S)
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lease.value):
            raise LeaseTakenError(
                f"another {lease.name.lower()} process works on this database already"
            )
        yield
    finally:
        await connection.close()
