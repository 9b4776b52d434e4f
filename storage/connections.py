"""Connections: the way to PostgreSQL, and transactions that happen whole or not at all.

In        where the database is.
Out       asyncpg connections that read and write `jsonb` as plain Python values.
Promises  every statement has a time limit; a transaction that is not committed has no effect, and
          no connection goes back to be used again while one is open on it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

Connections: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

STATEMENT_LIMIT_MS = 30_000
IDLE_LIMIT_MS = 60_000
CONNECT_LIMIT_S = 10


class DatabaseAway(OSError):
    """The database does not answer; the message says where it was looked for and what to do."""

    def __init__(self, dsn: str) -> None:
        place = urlsplit(dsn).netloc.rpartition("@")[2] or "its socket"
        super().__init__(
            f"the database at {place} does not answer: start it (`rooms up` starts everything "
            "here), or ask `rooms doctor` what is wrong"
        )


@asynccontextmanager
async def open_connections(dsn: str, *, name: str, size_max: int = 8) -> AsyncIterator[Connections]:
    """Open up to ``size_max`` connections and close them at the end.

    Args:
        dsn: a PostgreSQL address; it may hold a password and is never logged.
        name: shown by PostgreSQL as the application's name.
        size_max: how many there are at most.

    Raises:
        DatabaseAway: when none can be opened.
    """
    pool = asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size_max,
        timeout=CONNECT_LIMIT_S,
        command_timeout=STATEMENT_LIMIT_MS / 1000,
        init=_prepare,
        reset=_as_it_is,
        server_settings={
            "application_name": name,
            "statement_timeout": str(STATEMENT_LIMIT_MS),
            "idle_in_transaction_session_timeout": str(IDLE_LIMIT_MS),
        },
    )
    async with AsyncExitStack() as held:
        try:
            connections = await held.enter_async_context(pool)
        except OSError as trouble:
            raise DatabaseAway(dsn) from trouble
        yield connections


@asynccontextmanager
async def open_connection(dsn: str, *, name: str) -> AsyncIterator[Connection]:
    """Open one connection that nobody else uses, for a lock or a listener that lives with it.

    Raises:
        DatabaseAway: when it cannot be opened.
    """
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_LIMIT_S,
            command_timeout=STATEMENT_LIMIT_MS / 1000,
            server_settings={
                "application_name": name,
                "statement_timeout": str(STATEMENT_LIMIT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_LIMIT_MS),
            },
        )
    except OSError as trouble:
        raise DatabaseAway(dsn) from trouble
    try:
        await _prepare(connection)
        yield connection
    finally:
        await connection.close(timeout=CONNECT_LIMIT_S)


@asynccontextmanager
async def transaction(connections: Connections) -> AsyncIterator[Connection]:
    """Run the block in one transaction: all of it is written, or none of it."""
    async with connections.acquire() as connection, connection.transaction():
        yield connection


async def _as_it_is(connection: Connection) -> None:
    """Take a connection back as it is: asyncpg has rolled back what was open on it.

    Asking the server to reset everything else is a round trip after each use, and there is nothing:
    who changes more than the transaction has a connection of its own.
    """
    del connection


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec(
        "jsonb", encoder=_encode, decoder=msgspec.json.decode, schema="pg_catalog", format="text"
    )


def _encode(value: Any) -> str:  # noqa: ANN401 - whatever JSON can say
    return msgspec.json.encode(value).decode()
