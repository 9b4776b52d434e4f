"""Forgetting: deletes what nobody needs any more, so that no table grows for ever.

In        the outbox; the seconds of feeds; how long they are kept.
Out       fewer rows.
Promises  an event is never deleted, nor a feed's newest second, nor one that a room which is not
          paid may still be judged by; many rows go a few at a time, so nobody waits for them.
Why       each worker does it and nobody is elected: what one deletes just now another passes over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from rooms.units import UnixMs
from storage import feed_seconds, outbox
from storage.again import again
from storage.connections import Connections, transaction

SENT_KEPT_MS: Final = 3_600_000
SENT_EVERY_S: Final = 60.0
SECONDS_EVERY_S: Final = 3_600.0
TOGETHER_MAX: Final = 5_000

log = structlog.get_logger()


async def forget(connections: Connections, *, seconds_kept_ms: int) -> None:
    """Delete again and again until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_every(SENT_EVERY_S, "outbox", partial(forget_sent, connections)))
        tasks.create_task(
            _every(
                SECONDS_EVERY_S,
                "feed_seconds",
                partial(forget_seconds, connections, kept_ms=seconds_kept_ms),
            )
        )


async def forget_sent(connections: Connections, *, kept_ms: int = SENT_KEPT_MS) -> int:
    """Delete wake-ups and log messages that the broker has had for so long; events stay."""

    async def delete() -> int:
        async with transaction(connections) as connection:
            return await outbox.delete_sent(connection, kept_ms=kept_ms, limit=TOGETHER_MAX)

    return await _until_few(delete)


async def forget_seconds(connections: Connections, *, kept_ms: int) -> int:
    """Delete seconds of ``kept_ms`` before now and before any room that is not paid."""

    async def needed_since() -> dict[str, UnixMs]:
        async with connections.acquire() as connection:
            return await feed_seconds.needed_since(connection, kept_ms)

    async def delete(feed: str, since: UnixMs) -> int:
        async with transaction(connections) as connection:
            return await feed_seconds.delete_before(connection, feed, since, TOGETHER_MAX)

    deleted = 0
    for feed, since in (await again(needed_since)).items():
        deleted += await _until_few(partial(delete, feed, since))
    return deleted


async def _until_few(delete: Callable[[], Awaitable[int]]) -> int:
    deleted = 0
    while True:
        count = await again(delete)
        deleted += count
        if count < TOGETHER_MAX:
            return deleted


async def _every(pause_s: float, table: str, work: Callable[[], Awaitable[int]]) -> None:
    while True:
        if deleted := await work():
            log.info("forgotten", table=table, rows=deleted)
        await asyncio.sleep(pause_s)
