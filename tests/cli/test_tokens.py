"""The commands of tokens: what an operator says is written down, audited, and wanted together."""

import asyncio
import os
import sys

from rooms.catalogue import CATALOGUE
from storage import feeds
from storage.connections import Connections
from streams.feeds.sources import made_with

MINT = "PUMPY111111111111111111111111111111111111111"


async def rooms(dsn: str, *words: str) -> tuple[int, str]:
    """Run `rooms token` as an operator does; return the exit code and what was said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "token", *words,
        env={**os.environ, "ROOMS_DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_token_is_added_with_all_that_it_is_made_with(
    dsn: str, connections: Connections
) -> None:
    async with connections.acquire() as connection:
        for feed in (CATALOGUE["SOL/USD"], CATALOGUE["USDT/USD"]):
            await feeds.upsert(connection, feed, standing=False, made_with=made_with(feed))
    words = (
        "add", "PUMPY", "--source", f"jupiter={MINT}", "--source", "pumpfun=Curve",
        "--liquidity", f"dexscreener={MINT}", "--mint", MINT, "--quorum", "2",
        "--reason", "asked for",
    )  # fmt: skip
    code, said = await rooms(dsn, *words)
    assert (code, "mcap:PUMPY" in said) == (0, True), said
    assert (await rooms(dsn, *words))[0] == 0  # Twice is once.
    async with connections.acquire() as connection:
        await feeds.draft(connection, "mcap:PUMPY")
        wanted = {feed.name for feed in await feeds.wanted(connection)}
        offered = set(await feeds.offered(connection))
        acts = await connection.fetch("SELECT kind, subject FROM acts ORDER BY id LIMIT 4")
    assert wanted == {
        "mcap:PUMPY", "PUMPY/USD", "supply:PUMPY", "liquidity:PUMPY", "SOL/USD", "USDT/USD",
    }  # fmt: skip
    assert offered == {"SOL/USD", "PUMPY/USD", "mcap:PUMPY"}
    assert [tuple(act) for act in acts] == [
        ("token", name) for name in ("liquidity:PUMPY", "PUMPY/USD", "supply:PUMPY", "mcap:PUMPY")
    ]
    # What cannot be is one line, and changes nothing.
    for wrong, why in (
        (("add", "BONK", *words[2:]), "in the catalogue"),
        (("add", "OTHER", *words[2:]), "PUMPY already"),
        (("add", "X", "--source", "nasdaq=X", "--liquidity", "jupiter=X", "--quorum", "1",
          "--reason", "r"), "no such source"),
        (("add", "X", "--source", "jupiter=X", "--quorum", "1", "--reason", "r"), "independent"),
    ):  # fmt: skip
        code, said = await rooms(dsn, *wrong)
        assert code == 1, said
        assert why in said
    code, said = await rooms(dsn, "list")
    assert (code, "capped by its liquidity" in said, "BONK" in said) == (0, True, False)
