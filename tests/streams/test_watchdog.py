"""A worker whose agent hangs is ended; one that works, waits or has no broker is not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from streams.app import Positions, attach, build_app, positions, run_app
from streams.log_ends import open_log_ends
from streams.producer import open_producer
from streams.topics import BETS
from streams.watchdog import StoodStill, watch
from tests.kafka import Kafka

LIMIT_S = 0.4


async def watched(
    kafka: Kafka, agent: Callable[[Any], Awaitable[None]], act: Callable[[], Awaitable[None]]
) -> None:
    """Run a worker of ``agent`` under a watchdog; let ``act`` act, and then wait for the end."""
    async with open_log_ends(kafka.bootstrap) as ends:
        app = build_app("watched", kafka.bootstrap)
        attach(app, BETS, agent, name="agent")
        places: Positions = positions(app)
        ready = asyncio.Event()

        async def guard() -> None:
            await ready.wait()
            await watch(app, ends, places, still_limit_s=LIMIT_S, look_every_s=0.1)

        running = asyncio.create_task(run_app(app, [guard], ready=ready.set))
        try:
            async with asyncio.timeout(15):
                await ready.wait()
                await act()
                await running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def test_an_agent_that_hangs_ends_the_process_and_one_that_works_does_not(
    kafka: Kafka,
) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    hanging = asyncio.Event()

    async def agent(stream: AsyncIterator[bytes]) -> None:
        async for value in stream:
            heard.put_nowait(value)
            if value == b"hang":
                hanging.set()
                await asyncio.Event().wait()

    async with open_producer(kafka.bootstrap, name="test") as producer:

        async def act() -> None:
            for _ in range(3):
                await producer.send_and_wait(BETS, b"work", partition=0)
                await heard.get()
            # Nothing to read for longer than the limit is no fault.
            await asyncio.sleep(2 * LIMIT_S)
            await producer.send_and_wait(BETS, b"hang", partition=0)
            await hanging.wait()
            await producer.send_and_wait(BETS, b"more", partition=0)

        with pytest.raises(ExceptionGroup) as failed:
            await watched(kafka, agent, act)

    assert failed.group_contains(StoodStill)
