"""On a cluster our topics are as they are declared: spread, copied, and cut by age."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from sandbox.kafka import Kafka
from streams.topics import TopicsDiffer, check_topics, create_topics, declared
from tests.broker.clients import administering
from tests.kafka.topics import delete_topics

pytestmark = pytest.mark.kafka


@pytest_asyncio.fixture
async def bootstrap(three_brokers: Kafka) -> AsyncIterator[str]:
    await create_topics(three_brokers.bootstrap, partitions=5, replicas=3)
    yield three_brokers.bootstrap
    await delete_topics(three_brokers.bootstrap)


async def test_topics_are_on_the_cluster_as_they_are_declared(bootstrap: str) -> None:
    topics = {topic.name: topic for topic in declared(5, 3)}
    async with administering(bootstrap) as admin:
        described = await admin.describe_topics(list(topics))
        for each in described:
            assert len(each["partitions"]) == topics[each["topic"]].partitions
            assert {len(partition["replicas"]) for partition in each["partitions"]} == {3}
        answers: list[Any] = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        )
    for answer in answers:
        for _, _, _, name, entries in answer.resources:
            configs = {entry[0]: entry[1] for entry in entries}
            assert configs.items() >= topics[name].configs().items()
            assert configs["min.insync.replicas"] == "2"
            # Nothing grows for ever: it is deleted by age, a segment at a time.
            assert configs["cleanup.policy"] == "delete"
            assert 0 < int(configs["retention.ms"]) <= 24 * 3_600_000
            assert int(configs["segment.bytes"]) <= 32 * 2**20


async def test_fewer_copies_than_declared_are_a_clear_error(bootstrap: str) -> None:
    await check_topics(bootstrap, partitions=5, replicas=3)
    await check_topics(bootstrap, partitions=5, replicas=2)
    with pytest.raises(TopicsDiffer, match="has 3 copies, not 4"):
        await check_topics(bootstrap, partitions=5, replicas=4)
