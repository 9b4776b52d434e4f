"""The brokers under test: our own always, and any other whose address is given.

A broker that is started elsewhere joins by ``ROOMS_TEST_KAFKA=host:port``; what only an embedded
broker can do (restart, apply retention now) is None there, and its tests are skipped.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.broker.serve import BrokerSettings, running_broker


@dataclass
class Kafka:
    """A broker that speaks Kafka, and what else it can do for a test."""

    bootstrap: str
    restart: Callable[[], Awaitable[None]] | None = None
    retain: Callable[[], None] | None = None


@contextlib.asynccontextmanager
async def embedded(data_dir: Path) -> AsyncIterator[Kafka]:
    """Run our broker on a free port; a restart keeps the port."""
    async with contextlib.AsyncExitStack() as last:
        running = contextlib.AsyncExitStack()
        last.push_async_callback(lambda: running.aclose())
        broker = await running.enter_async_context(
            running_broker(BrokerSettings(data_dir=data_dir))
        )

        async def restart() -> None:
            nonlocal running
            await running.aclose()
            running = contextlib.AsyncExitStack()
            again = await running.enter_async_context(
                running_broker(BrokerSettings(data_dir=data_dir, port=broker.port))
            )
            served.retain = again.retain

        served = Kafka(f"127.0.0.1:{broker.port}", restart, broker.retain)
        yield served


@contextlib.asynccontextmanager
async def elsewhere(_data_dir: Path) -> AsyncIterator[Kafka]:
    """Use the broker that somebody else runs."""
    yield Kafka(os.environ["ROOMS_TEST_KAFKA"])


BROKERS: dict[str, Callable[[Path], contextlib.AbstractAsyncContextManager[Kafka]]] = {
    "embedded": embedded
}
if "ROOMS_TEST_KAFKA" in os.environ:
    BROKERS["elsewhere"] = elsewhere


@pytest.fixture(params=sorted(BROKERS))
async def kafka(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kafka]:
    async with BROKERS[request.param](tmp_path / "broker") as running:
        yield running
