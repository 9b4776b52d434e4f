"""Kafka for tests: a broker with our topics, one a test; ours unless a test asks for the real one.

Out       `kafka`: the broker and its address.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from sandbox.broker.serve import Broker, BrokerSettings, running_broker, wall_clock_ms
from streams.topics import create_topics

PARTITIONS = 2


@dataclass
class Clock:
    """The machine's clock, which a test can put forward."""

    ahead_ms: int = 0

    def __call__(self) -> int:
        return wall_clock_ms() + self.ahead_ms


@dataclass(frozen=True)
class Place:
    """Where a broker is that has our topics, and the clock that tests judge it by."""

    bootstrap: str
    clock: Clock
    partitions: int = PARTITIONS


@dataclass(frozen=True, kw_only=True)
class Kafka(Place):
    """Our own broker, which stamps messages by the clock and does what a test tells it."""

    broker: Broker


@pytest_asyncio.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[Kafka]:
    clock = Clock()
    settings = BrokerSettings(data_dir=tmp_path / "broker")
    async with running_broker(settings, clock) as broker:
        made = Kafka(f"127.0.0.1:{broker.port}", clock, broker=broker)
        await create_topics(made.bootstrap, partitions=made.partitions)
        yield made
