"""One holder at a time: others stand by, take over, and shut out whoever had it before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from storage.connections import Connections, transaction
from storage.leases import HeldLease, Lease, LeaseLostError, held

LIMIT_S = 10.0


@asynccontextmanager
async def standing_by(dsn: str) -> AsyncIterator["asyncio.Future[HeldLease]"]:
    """Ask for custody's lease in a task; give what it will hold, once it does stand by."""
    stands_by = asyncio.Event()
    leave = asyncio.Event()
    taken: asyncio.Future[HeldLease] = asyncio.get_running_loop().create_future()

    async def stand_by() -> None:
        async with held(dsn, Lease.CUSTODY, standing_by=stands_by.set) as lease:
            taken.set_result(lease)
            await leave.wait()

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(stand_by())
        await stands_by.wait()
        yield taken
        leave.set()


async def test_whoever_comes_second_stands_by_until_the_first_has_gone(dsn: str) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(held(dsn, Lease.CUSTODY))
        async with standing_by(dsn) as taken:
            assert not taken.done()
            await first.aclose()
            assert (await taken).lease is Lease.CUSTODY


async def test_leases_of_other_work_are_other_leases(dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        held(dsn, Lease.CUSTODY) as custody,
        held(dsn, Lease.NOTICES) as notices,
    ):
        assert custody.backend != notices.backend


async def test_a_fence_lets_the_holder_pass_and_nobody_who_had_it_before(
    dsn: str, connections: Connections
) -> None:
    async with held(dsn, Lease.CUSTODY) as first:
        async with transaction(connections) as connection:
            await first.fence(connection)
        # As it was before it was told of the loss: that news may come late.
        unaware = replace(first, _lost=asyncio.Event())
        await connections.execute("SELECT pg_terminate_backend($1, 5000)", first.backend)

        async with held(dsn, Lease.CUSTODY) as second:
            async with transaction(connections) as connection:
                await second.fence(connection)
            for former in (first, unaware):
                with pytest.raises(LeaseLostError):
                    async with transaction(connections) as connection:
                        await former.fence(connection)
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(LeaseLostError, match="lease of custody was lost"):
                await first.until_lost()


async def test_a_holder_that_stands_still_is_shut_out(dsn: str, connections: Connections) -> None:
    # Nobody shows for it that it is alive, and its connection stays.
    async with held(dsn, Lease.CUSTODY) as still, held(dsn, Lease.CUSTODY, silent_limit_s=0.3):
        with pytest.raises(LeaseLostError):
            async with transaction(connections) as connection:
                await still.fence(connection)


async def test_a_holder_that_shows_that_it_is_alive_is_not(dsn: str) -> None:
    async with held(dsn, Lease.CUSTODY) as first:
        alive = asyncio.create_task(first.until_lost())
        with pytest.raises(TimeoutError):
            async with (
                asyncio.timeout(2.5),
                held(dsn, Lease.CUSTODY, silent_limit_s=1.5),
            ):
                pass
        assert not alive.done()
        alive.cancel()
