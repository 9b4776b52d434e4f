"""Webhooks: told by who may, stored before 200, a hint to look; nothing follows from the rest."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from rooms.units import Address
from storage.connections import open_connections
from streams import webhooks
from streams.deposits import post_deposits, told_by_webhook
from streams.doors import listening, serve
from streams.rounds import Pace, run_rounds
from streams.webhooks import BODY_BYTES_MAX, PATH
from tests.chain.test_webhooks import SIGNATURE, enhanced
from tests.streams.custody_world import (
    SOL,
    World,
    people,
)

LIMIT_S = 30
NEVER_MS = 3_600_000
HEADER = "Bearer sixty-four-random-letters-are-better-than-these"


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[str]:
    """Serve the door with the gateway's own role; give its address."""
    by_role = dsn.replace("postgres@", "rooms_gateway@")
    async with open_connections(by_role, name="gateway", size_max=2) as connections:
        with listening("127.0.0.1", 0) as at:
            door = webhooks.door(connections, HEADER)
            serving = asyncio.create_task(serve(door, at))
            try:
                yield f"http://127.0.0.1:{at.getsockname()[1]}{PATH}"
            finally:
                serving.cancel()
                await asyncio.wait([serving])


async def tell(url: str, content: bytes, header: str | None = HEADER) -> httpx.Response:
    headers = {} if header is None else {"Authorization": header}
    async with httpx.AsyncClient(trust_env=False, timeout=LIMIT_S) as client:
        return await client.post(url, content=content, headers=headers)


def delivery(*addresses: Address, signature: str = SIGNATURE) -> bytes:
    moved = [{"amount": SOL, "toUserAccount": each} for each in addresses]
    return json.dumps(
        [enhanced(signature=signature, nativeTransfers=moved, accountData=[])]
    ).encode()


async def hints(world: World) -> list[tuple[str, str]]:
    rows = await world.connections.fetch("SELECT signature, address FROM deposit_hints ORDER BY 1")
    return [(row["signature"], row["address"]) for row in rows]


async def wake_ups(world: World) -> int:
    return int(str(await world.value("SELECT count(*) FROM outbox WHERE topic = 'custody'")))


async def has(world: World, lamports: int) -> bool:
    return await world.value("SELECT balance FROM accounts WHERE name = 'available:1'") == lamports


@pytest.mark.parametrize("kind", ["enhanced", "raw"])
async def test_a_deposit_that_the_chain_tells_of_is_posted_with_no_look_by_the_clock(
    world: World, dsn: str, kind: str
) -> None:
    mine = (await people(world, SOL))[1]
    woken = await wake_ups(world)
    async with opened(dsn) as url:
        world.solana.control.set_webhook(url, HEADER, kind)
        rounds = asyncio.create_task(
            run_rounds(
                world.custody, asyncio.Event(), Pace(fates_ms=NEVER_MS, deposits_ms=NEVER_MS)
            )
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                await asyncio.sleep(0.3)
                await world.airdrop(mine, 2 * SOL)
                while not await has(world, 3 * SOL):
                    assert not rounds.done()
                    world.solana.control.advance(1)
                    if await wake_ups(world) > woken:
                        # As the wake-up does, which the relay hands on.
                        world.custody.hints.deposits.set()
                    await asyncio.sleep(0.05)
        finally:
            rounds.cancel()
            await asyncio.wait([rounds])
    await world.ledger_is_chain()


async def test_it_is_stored_before_it_is_answered_and_wakes_custody(world: World, dsn: str) -> None:
    mine = (await people(world, SOL))[1]
    woken = await wake_ups(world)
    async with opened(dsn) as url:
        answer = await tell(url, delivery(mine, Address("1" * 32)))

    assert (answer.status_code, answer.json()) == (200, {"new": 1})
    assert await hints(world) == [(SIGNATURE, mine)], "a stranger's address is passed over"
    assert await wake_ups(world) == woken + 1
    assert await told_by_webhook(world.custody) == [mine]
    assert await told_by_webhook(world.custody) == []


async def test_f45_told_ten_times_reordered_and_invented_it_is_a_hint_and_no_money(
    world: World, dsn: str
) -> None:
    """F45: one delivery ten times, two in turn, one of a signature that is nowhere; I3, I7."""
    mine = (await people(world, SOL))[1]
    entries = await world.value("SELECT count(*) FROM entries")
    other = SIGNATURE[:-4] + "AAAA"
    async with opened(dsn) as url:
        told = [delivery(mine), delivery(mine, signature=other)] * 10
        answers = [(await tell(url, each)).json()["new"] for each in told]
    assert answers == [1, 1, *[0] * 18]

    assert await post_deposits(world.custody, await told_by_webhook(world.custody)) == 0

    assert await world.value("SELECT count(*) FROM entries") == entries
    assert await has(world, SOL)


@pytest.mark.parametrize(
    ("header", "content", "status"),
    [
        (None, b"[]", 401),
        ("", b"[]", 401),
        (HEADER[:-1], b"[]", 401),
        (HEADER + "x", b"[]", 401),
        (HEADER.lower(), b"[]", 401),
        (None, b"x" * (BODY_BYTES_MAX + 1), 401),
        (HEADER, b"", 400),
        (HEADER, b"<html>", 400),
        (HEADER, b'{"a": 1}', 400),
        (HEADER, b"[" * 50_000, 400),
        (HEADER, b"x" * (BODY_BYTES_MAX + 1), 413),
    ],
)
async def test_who_may_not_and_what_is_none_is_refused_and_changes_nothing(
    world: World, dsn: str, header: str | None, content: bytes, status: int
) -> None:
    mine = (await people(world, SOL))[1]
    woken = await wake_ups(world)
    async with opened(dsn) as url:
        # What can be read is tried too, so that only the header stands in its way.
        told = content if content != b"[]" else delivery(mine)
        answer = await tell(url, told, header)
        assert (await tell(url, b"[]")).status_code == 200, "it goes on"

    assert answer.status_code == status
    assert HEADER not in answer.text
    assert await hints(world) == []
    assert await wake_ups(world) == woken


async def test_what_cannot_be_stored_is_not_answered_with_200_and_told_again(
    world: World, dsn: str
) -> None:
    """F44: the database is away for the first delivery; the chain tells again, and it is stored."""
    mine = (await people(world, SOL))[1]
    async with opened(dsn) as url:
        await world.execute("ALTER ROLE rooms_gateway NOLOGIN")
        try:
            await world.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'rooms_gateway'"
            )
            answer = await tell(url, delivery(mine))
        finally:
            await world.execute("ALTER ROLE rooms_gateway LOGIN")
        assert answer.status_code >= 500
        assert await hints(world) == []
        assert (await tell(url, delivery(mine))).json() == {"new": 1}


async def test_what_was_taken_a_day_ago_is_forgotten(world: World, dsn: str) -> None:
    mine = (await people(world, SOL))[1]
    async with opened(dsn) as url:
        await tell(url, delivery(mine))
        await told_by_webhook(world.custody)
        await post_deposits(world.custody)
        assert len(await hints(world)) == 1
        await world.execute("UPDATE deposit_hints SET taken_at = taken_at - 86400001")
        await post_deposits(world.custody)
    assert await hints(world) == []
