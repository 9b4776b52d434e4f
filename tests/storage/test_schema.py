"""The migrations arrive at the schema file, and the schema refuses what must not be."""

import re
import subprocess
from pathlib import Path

import asyncpg
import pytest

import storage
from sandbox.postgres import PostgresSettings, ensure_database, program
from storage.migrate import migrate, missing_migrations

SCHEMA = Path(storage.__file__).with_name("schema.sql")


def dumped(dsn: str) -> str:
    done = subprocess.run(
        [program("pg_dump"), "--schema-only", "--no-owner", "--exclude-table=*yoyo*", dsn],
        check=True, text=True, capture_output=True,
    )  # fmt: skip
    # pg_dump guards its script with a random word a run.
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


async def test_migrations_arrive_at_the_schema_file(postgres: PostgresSettings, dsn: str) -> None:
    ensure_database(postgres, "from_file")
    connection = await asyncpg.connect(postgres.dsn("from_file"))
    try:
        await connection.execute(SCHEMA.read_text(encoding="utf-8"))
    finally:
        await connection.close()

    assert dumped(dsn) == dumped(postgres.dsn("from_file"))


def test_a_second_run_applies_nothing(dsn: str) -> None:
    assert missing_migrations(dsn) == []
    assert migrate(dsn) == []


@pytest.mark.parametrize("table", ["entries", "postings", "addresses"])
async def test_money_tables_are_append_only(dsn: str, table: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            """
            INSERT INTO addresses (address, kind) VALUES ('Treasury', 'treasury');
            SELECT post_entries('[{"key": "deposit:s:a", "digest": "d",
                "postings": [["chain:a", 5], ["house", 5]]}]');
            """
        )
        with pytest.raises(asyncpg.RestrictViolationError, match="append only"):
            await connection.execute(f"DELETE FROM {table}")
    finally:
        await connection.close()
