"""`rooms restore`: to ask how far it is changes nothing; to begin is said, with a reason."""

import asyncio
import os
import sys

import pytest

from storage import restores
from storage.connections import Connections
from storage.flags import Flag, change

REASON = "the disk of the eleventh"


async def rooms(dsn: str, *words: str) -> tuple[int, str]:
    """Run `rooms` as an operator does; return the exit code and what was said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *words,
        env={**os.environ, "ROOMS_DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def state(connections: Connections) -> tuple[int, int, bool | None]:
    """Return how many restores and acts there are, and whether everything is open."""
    async with connections.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM restores), (SELECT count(*) FROM acts),"
            " (SELECT open FROM flags WHERE name = 'all')"
        )
    assert row is not None
    return row[0], row[1], row[2]


async def test_asking_changes_nothing_before_while_and_after(
    dsn: str, connections: Connections
) -> None:
    async with connections.acquire() as connection:
        await change(connection, Flag.ALL, open=True, reason="a test", who="a test")
    before = await state(connections)
    for asked, words in (
        (("restore",), "--begin --reason"),
        (("restore", "--set-aside"), "nothing was changed"),
    ):
        code, said = await rooms(dsn, *asked)
        assert (code, words in said) == (0, True), said
        assert await state(connections) == before
    code, said = await rooms(dsn, "restore", "--begin", "--reason", REASON)
    assert (code, "closed" in said) == (0, True), said
    assert await state(connections) == (before[0] + 1, before[1] + 1, False)
    code, said = await rooms(dsn, "restore")
    assert (code, "under way" in said, "has not read" in said) == (0, True, True), said
    async with connections.acquire() as connection:
        await restores.has_read(connection)
        await restores.end(connection)
        await change(connection, Flag.ALL, open=True, reason="it adds up", who="a test")
    after = await state(connections)
    code, said = await rooms(dsn, "restore")
    assert (code, "ended at" in said, "rooms audit" in said, "rooms resume all" in said) == (
        0, True, True, True,
    ), said  # fmt: skip
    assert await state(connections) == after


@pytest.mark.parametrize(
    "words",
    [
        ("restore", "--begin"),
        ("restore", "--begin", "--reason", " "),
        ("pause", "bets", "--reason", ""),
        ("resume", "all", "--reason", ""),
        ("push", "add", "x", "--signer", "a=b", "--reason", ""),
        ("token", "add", "X", "--source", "jupiter=X", "--reason", ""),
    ],
)
async def test_what_is_written_down_for_good_wants_a_reason_in_one_line(
    words: tuple[str, ...],
) -> None:
    code, said = await rooms("postgresql://127.0.0.1:1/none", *words)
    assert (code, said) == (1, "say why: --reason\n")
