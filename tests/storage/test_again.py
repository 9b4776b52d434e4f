"""Work is done again after passing trouble, for a while, and never after anything else."""

import asyncpg
import pytest

from storage.again import again
from storage.connections import Connections


class Work:
    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.tries = 0

    async def __call__(self) -> str:
        self.tries += 1
        if self.troubles:
            raise self.troubles.pop(0)
        return "done"


async def test_passing_trouble_is_waited_out() -> None:
    work = Work(ConnectionRefusedError(), asyncpg.CannotConnectNowError("starting up"))
    assert await again(work) == "done"
    assert work.tries == 3


async def test_the_limit_ends_it_with_the_last_trouble() -> None:
    work = Work(*(ConnectionRefusedError() for _ in range(100)))
    with pytest.raises(ConnectionRefusedError):
        await again(work, limit_s=0.2)
    assert 1 < work.tries < 10


async def test_anything_else_is_raised_at_once() -> None:
    work = Work(asyncpg.CheckViolationError("a rule"), ValueError())
    with pytest.raises(asyncpg.CheckViolationError):
        await again(work)
    assert work.tries == 1


async def test_a_connection_that_was_killed_is_replaced(connections: Connections) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'"
    killed = False

    async def work() -> int:
        nonlocal killed
        async with connections.acquire() as connection:
            if not killed:
                killed = True
                await connection.execute(kill)
            return int(await connection.fetchval("SELECT 1"))

    assert await again(work) == 1
