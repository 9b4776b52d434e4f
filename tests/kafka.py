"""Kafka for tests: our own broker with our topics, one a test.

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
class Kafka:
    """A running broker with our topics, and the clock by which it stamps messages."""

    broker: Broker
    clock: Clock
    partitions: int = PARTITIONS

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.broker.port}"


@pytest_asyncio.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[Kafka]:
    clock = Clock()
    settings = BrokerSettings(data_dir=tmp_path / "broker")
    async with running_broker(settings, clock) as broker:
        made = Kafka(broker, clock)
        await create_topics(made.bootstrap, partitions=made.partitions)
        yield made
