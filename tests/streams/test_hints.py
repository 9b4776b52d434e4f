"""Hints from a provider's socket: custody looks at once; without them, or despite them, in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from chain.hints import Kind, Topic
from rooms.units import Address, Lamports, Signature
from storage.connections import Connections
from streams.feeds.patience import Patience
from streams.hints import NAMED_MAX, SIGNATURES_MAX, Hints, SocketSettings, follow
from streams.rounds import Pace, run_rounds
from tests.faults.proxy import proxy_to
from tests.streams.custody_world import SOL, World, custody_world, people, room, stake

LIMIT_S = 30
QUICK = SocketSettings(
    ping_ms=100, pong_ms=300, patience=Patience(retry_first_ms=20, retry_max_ms=50)
)
NEVER_MS = 3_600_000


@pytest_asyncio.fixture
async def world(connections: Connections, tmp_path: Path) -> AsyncIterator[World]:
    async with custody_world(connections, tmp_path) as world:
        yield replace(world, custody=replace(world.custody, watched_max=10))


@asynccontextmanager
async def hinted(world: World, url: str, **pace: int) -> AsyncIterator[asyncio.Task[None]]:
    """Run custody's rounds with a socket at an address; by the clock nothing comes but as said."""
    given = {"work_ms": 50, "fates_ms": NEVER_MS, "deposits_ms": NEVER_MS, **pace}
    tasks = [
        asyncio.create_task(run_rounds(world.custody, asyncio.Event(), Pace(**given))),
        asyncio.create_task(follow(world.custody.hints, url, random=Random(1), settings=QUICK)),
    ]
    try:
        yield tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(
    world: World, done: Callable[[], Awaitable[object]], *, blocks: bool = True
) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await done():
            if blocks:
                world.solana.control.advance(1)
            await asyncio.sleep(0.05)


def subscriptions(world: World) -> list[str]:
    """Return what the first provider's sockets are subscribed to, behind the protocol."""
    pubsub = world.solana.control._providers[0].pubsub
    return sorted(
        each.signature or str(each.address)
        for socket in pubsub._sockets
        for each in socket.subscriptions.values()
    )


async def test_a_deposit_is_posted_at_once_though_no_look_by_the_clock_is_due(
    world: World,
) -> None:
    mine = (await people(world, SOL))[1]

    async with hinted(world, world.solana.ws_url):
        await until(world, lambda: _is(mine in subscriptions(world)))
        await world.airdrop(mine, 2 * SOL)
        await until(world, lambda: _has(world, 3 * SOL))

    await world.ledger_is_chain()


async def test_a_fate_is_posted_at_once_though_no_look_by_the_clock_is_due(world: World) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    async with hinted(world, world.solana.ws_url):
        await asyncio.sleep(0.2)
        await stake(world, 1, "YES", SOL)
        await until(world, lambda: _landed(world))
        # What has ended is heard of no more.
        await until(world, lambda: _is(not [s for s in subscriptions(world) if len(s) > 50]))


async def test_f46_a_socket_that_says_nothing_costs_only_time(world: World) -> None:
    """F44, F46: the socket is open and mute, then cut again and again; I7 by the clock."""
    mine = (await people(world, SOL))[1]
    world.solana.control.fault(0, "mute")

    async with hinted(world, world.solana.ws_url, deposits_ms=200):
        await world.airdrop(mine, 2 * SOL)
        for _ in range(5):
            world.solana.control.cut_sockets(0)
            await asyncio.sleep(0.05)
        await until(world, lambda: _has(world, 3 * SOL))

    await world.ledger_is_chain()


async def test_f45_a_socket_that_lies_is_believed_in_nothing(world: World) -> None:
    """F45: the socket tells of deposits and landings that never were; I6, I7: nothing is posted."""
    mine = (await people(world, 3 * SOL))[1]
    await room(world, cut_in_ms=60_000)
    entries = await world.value("SELECT count(*) FROM entries")
    world.solana.control.fault(0, "invented")
    world.solana.control.fault(0, "swallowed", ["sendTransaction"])
    world.solana.control.fault(1, "swallowed", ["sendTransaction"])

    async with hinted(world, world.solana.ws_url):
        await until(world, lambda: _is(mine in subscriptions(world)))
        await stake(world, 1, "YES", SOL)
        await until(world, lambda: _signed(world))
        for _ in range(20):
            world.solana.control.advance(1)
            await asyncio.sleep(0.02)
        assert await world.value("SELECT string_agg(state, ',') FROM attempts") == "SIGNED"
        # The hold of the stake, and nothing else.
        assert await world.value("SELECT count(*) FROM entries") == int(str(entries)) + 1
        assert await world.value("SELECT count(*) FROM deposits") == 2

        world.solana.control.clear_faults()
        await world.airdrop(mine, 2 * SOL)
        await until(world, lambda: _has(world, 4 * SOL))


async def test_f46_a_socket_that_is_half_open_is_replaced(world: World) -> None:
    """F46: nothing comes through and nobody hangs up; a new line is made, and tells."""
    mine = (await people(world, SOL))[1]
    port = urlsplit(world.solana.ws_url).port
    assert port is not None, "a loopback address has a port"
    async with (
        proxy_to(port) as proxy,
        hinted(world, f"ws://127.0.0.1:{proxy.port}"),
    ):
        await until(world, lambda: _is(mine in subscriptions(world)))
        proxy.delay_s = 3_600
        # What is on its way now, a ping at least, stays so; a line that is opened later is well.
        await asyncio.sleep(0.2)
        proxy.delay_s = 0
        await until(world, lambda: _is(subscriptions(world).count(mine) > 1))
        await world.airdrop(mine, 2 * SOL)
        await until(world, lambda: _has(world, 3 * SOL))


async def test_an_address_with_a_key_is_in_no_log(world: World) -> None:
    with capture_logs() as logs:
        task = asyncio.create_task(
            follow(Hints(), "ws://127.0.0.1:1/?api-key=hush", random=Random(1), settings=QUICK)
        )
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.wait([task])
    assert [each for each in logs if each["event"] == "no hints now"]
    assert "hush" not in repr(logs)


def test_what_is_wanted_and_what_waits_is_bounded() -> None:
    hints = Hints()
    hints.want_signatures(Signature(str(number)) for number in range(SIGNATURES_MAX + 5))
    hints.want_addresses({Address("a"): Lamports(0)})
    assert len(hints.topics) == SIGNATURES_MAX + 1
    hints.name(Address(str(number)) for number in range(NAMED_MAX + 5))
    assert len(hints.take_named()) == NAMED_MAX
    assert hints.take_named() == frozenset()


@pytest.mark.parametrize(
    ("lamports", "is_named"),
    [(None, True), (Lamports(4), False), (Lamports(5), False), (Lamports(6), True)],
)
def test_what_is_less_than_the_ledger_has_is_no_deposit(
    lamports: Lamports | None, is_named: bool
) -> None:
    hints = Hints()
    hints.want_addresses({Address("a"): Lamports(5)})
    hints.hear(Topic(Kind.ACCOUNT, "a"), lamports)
    assert (hints.take_named() == {Address("a")}) is is_named
    assert hints.deposits.is_set() is is_named


async def _is(so: bool) -> bool:
    return so


async def _has(world: World, lamports: int) -> bool:
    return await world.value("SELECT balance FROM accounts WHERE name = 'available:1'") == lamports


async def _landed(world: World) -> bool:
    return await world.value("SELECT state FROM attempts") == "LANDED"


async def _signed(world: World) -> bool:
    return await world.value("SELECT count(*) FROM attempts") == 1
