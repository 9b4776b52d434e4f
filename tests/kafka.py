"""Kafka for tests: our own broker with our topics, one a test.

Out       `kafka`: the broker and its address.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from sandbox.broker.serve import Broker, BrokerSettings, running_broker
from streams.topics import create_topics

PARTITIONS = 2


@dataclass(frozen=True)
class Kafka:
    """A running broker with our topics."""

    broker: Broker
    partitions: int = PARTITIONS

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.broker.port}"


@pytest_asyncio.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[Kafka]:
    async with running_broker(BrokerSettings(data_dir=tmp_path / "broker")) as broker:
        made = Kafka(broker)
        await create_topics(made.bootstrap, partitions=made.partitions)
        yield made
