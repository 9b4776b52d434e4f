"""A custody that has lost its lease signs nothing more; who has it now does."""

from dataclasses import replace

import pytest

from storage.leases import Lease, LeaseLostError, held
from streams.transfers import sign_due
from tests.streams.custody_world import SOL, World, people, room, stake


async def test_a_custody_that_lost_its_lease_signs_nothing_more(world: World, dsn: str) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", SOL)
    async with held(dsn, Lease.CUSTODY) as lease:
        fenced = replace(world.custody, fence=lease.fence)
        await world.execute("SELECT pg_terminate_backend($1, 5000)", lease.backend)
        async with held(dsn, Lease.CUSTODY) as successor:
            with pytest.raises(LeaseLostError):
                await sign_due(fenced)
            assert await world.value("SELECT count(*) FROM attempts") == 0
            assert await sign_due(replace(world.custody, fence=successor.fence)) == 1
