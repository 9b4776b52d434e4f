"""The commands of push feeds: what an operator says is registered, audited, and can be used."""

import asyncio
import os
import sys
from pathlib import Path

from storage import feeds
from storage.connections import Connections


async def rooms(dsn: str, *words: str) -> tuple[int, str]:
    """Run `rooms push` as an operator does; return the exit code and what was said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "push", *words,
        env={**os.environ, "ROOMS_DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_an_operator_registers_and_revokes_signers_and_it_is_written_down(
    dsn: str, connections: Connections, tmp_path: Path
) -> None:
    code, alice = await rooms(dsn, "key", str(tmp_path / "alice.pem"))
    assert code == 0
    code, said = await rooms(
        dsn, "add", "rain", "--unit", "mm", "--scale", "1", "--quorum", "1", "--age", "90",
        "--signer", f"alice={alice.strip()}", "--signer", f"bob={'b' * 64}", "--reason", "why not",
    )  # fmt: skip
    assert (code, "push:rain" in said) == (0, True), said
    async with connections.acquire() as connection:
        feed = (await feeds.named(connection, ["push:rain"]))["push:rain"]
        assert feed.symbols == {"alice": alice.strip(), "bob": "b" * 64}
        assert (feed.unit, feed.scale, feed.guards.tick_age_ms_max) == ("mm", 1, 90_000)
        assert "push:rain" in {each.name for each in await feeds.wanted(connection)}
    code, said = await rooms(dsn, "revoke", "rain", "bob", "--reason", "lost")
    assert code == 0, said
    code, said = await rooms(dsn, "list")
    assert "alice" in said
    assert "bob" not in said
    # What cannot be is one line, and changes nothing.
    code, said = await rooms(
        dsn, "add", "rain", "--scale", "2", "--signer", f"eve={'e' * 64}", "--reason", "finer"
    )
    assert code == 1
    assert "scale" in said
    code, said = await rooms(dsn, "revoke", "rain", "eve", "--reason", "who")
    assert (code, len(said.splitlines())) == (1, 1)
    async with connections.acquire() as connection:
        acts = await connection.fetch("SELECT kind, subject, reason FROM acts ORDER BY id")
    assert [tuple(act) for act in acts] == [
        ("push", "push:rain", "push:rain: signers alice, bob, quorum 1; why not"),
        ("push", "push:rain", "revoked bob; lost"),
    ]


async def test_a_value_that_cannot_be_sent_is_one_line(dsn: str, tmp_path: Path) -> None:
    await rooms(dsn, "key", str(tmp_path / "key.pem"))
    code, said = await rooms(
        dsn, "send", "rain", "1.5", "--signer", "alice", "--key", str(tmp_path / "key.pem"),
        "--url", "http://127.0.0.1:9",
    )  # fmt: skip
    assert (code, len(said.splitlines())) == (1, 1)
    code, said = await rooms(
        dsn, "send", "rain", "1.5", "--signer", "alice", "--key", str(tmp_path / "none.pem")
    )
    assert (code, len(said.splitlines())) == (1, 1)
