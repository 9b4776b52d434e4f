"""A connection goes back to be used again with nothing open on it, and nothing left behind."""

import re
from pathlib import Path

import asyncpg
import pytest

from storage.connections import open_connections, transaction

STATEMENTS = Path(__file__).parents[2] / "storage"
LASTING = re.compile(
    r"pg_(try_)?advisory_lock(_shared)?\(|set_config\([^;]*?,\s*false\s*\)|^\s*LISTEN",
    re.IGNORECASE | re.MULTILINE,
)
"""What outlives a transaction."""

OF_THEIR_OWN = {
    "leases.sql": "a lease has a connection of its own",
    "updates.sql": "the bot keeps one for as long as it lives, and leaves its turn",
}


def test_what_outlives_a_transaction_is_asked_for_only_where_the_connection_is_kept() -> None:
    lasting = {
        path.name for path in STATEMENTS.glob("*.sql")
        if path.name != "schema.sql" and LASTING.search(path.read_text())
    }  # fmt: skip
    assert lasting == set(OF_THEIR_OWN)


@pytest.mark.parametrize("left", ["BEGIN; CREATE TABLE left_open (n int)", "SELECT 1"])
async def test_what_is_left_open_is_rolled_back(dsn: str, left: str) -> None:
    async with open_connections(dsn, name="test", size_max=1) as connections:
        async with connections.acquire() as connection:
            await connection.execute(left)
        async with connections.acquire() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT to_regclass('left_open')::text") is None


async def test_a_transaction_that_fails_leaves_a_connection_that_works(dsn: str) -> None:
    async with open_connections(dsn, name="test", size_max=1) as connections:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with transaction(connections) as connection:
                await connection.execute("CREATE TABLE half_done (n int)")
                await connection.execute("SELECT 1 / 0")
        assert await connections.fetchval("SELECT to_regclass('half_done')::text") is None
