"""Apache Kafka does what tests/broker says that a broker must do for us."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import TopicPartition

from sandbox.kafka import Kafka as Apache
from tests.broker.clients import administering, until_led
from tests.broker.conftest import Kafka
from tests.broker.test_conformance import *  # noqa: F403 - the same tests, on another broker

pytestmark = pytest.mark.kafka


@pytest.fixture
def kafka(one_broker: Apache) -> Iterator[Kafka]:
    def again() -> None:
        one_broker.stop()
        one_broker.start([0])

    async def restart() -> None:
        async with administering(one_broker.bootstrap) as admin:
            topics = await admin.describe_topics(await admin.list_topics())
        await asyncio.to_thread(again)
        places = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in topics
            for partition in topic["partitions"]
        ]
        await until_led(one_broker.bootstrap, places)

    yield Kafka(one_broker.bootstrap, restart)
