"""Again: do database work once more when the database was away for a moment.

In        work that is safe to do twice: each time in a transaction of its own, guarded by its rows.
Promises  it is tried until the limit and no longer; whatever else goes wrong is raised at once.
Why       PostgreSQL starts again in a second; a process that died of it would take longer. A lost
          answer to a commit is one of these cases, so only guarded work may come here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg
import structlog

Result = TypeVar("Result")

LIMIT_S: Final = 20.0
PAUSE_FIRST_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0

PASSING: Final = (
    OSError,
    TimeoutError,
    # What a transaction raises when its connection was closed under it, and a statement on a
    # connection that the server has just ended.
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)
"""What ends by itself: unreachable, shutting down, starting up, full, a deadlock."""

log = structlog.get_logger()


async def again(work: Callable[[], Awaitable[Result]], *, limit_s: float = LIMIT_S) -> Result:
    """Do ``work``, and again after passing trouble until ``limit_s`` is over.

    Raises:
        whatever ``work`` raised last.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + limit_s
    pause_s = PAUSE_FIRST_S
    while True:
        try:
            return await work()
        except PASSING as trouble:
            if loop.time() + pause_s > until:
                raise
            log.warning("database_away", why=type(trouble).__name__, pause_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_MAX_S)
