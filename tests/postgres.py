"""Postgres for tests: one real server a test run, one fresh database a test.

Out       `dsn`: the address of a database of its own with the schema in place.
Why       a copy of a ready template takes some 30 ms, so no test has to share rows with another.
"""

import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
import pytest_asyncio

from sandbox.postgres import PostgresSettings, ensure_database, running_postgres
from storage.connections import Connections, open_connections
from storage.migrate import migrate

TEMPLATE = "rooms_template"
_numbers = itertools.count()


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresSettings]:
    # Not in pytest's own folder: a second test run takes away the other user's way into it.
    with TemporaryDirectory(prefix="rooms-postgres-") as folder:
        settings = PostgresSettings(
            data_dir=Path(folder) / "data",
            port=free_port(),
            options={"fsync": "off", "max_connections": "200"},
        )
        with running_postgres(settings):
            ensure_database(settings, TEMPLATE)
            migrate(settings.dsn(TEMPLATE))
            yield settings


@pytest_asyncio.fixture
async def dsn(postgres: PostgresSettings) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.dsn())
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        yield postgres.dsn(name)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest_asyncio.fixture
async def connections(dsn: str) -> AsyncIterator[Connections]:
    async with open_connections(dsn, name="test") as opened:
        yield opened
