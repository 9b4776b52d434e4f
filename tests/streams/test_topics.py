"""Topics are made once, as declared; whatever is otherwise is said."""

from pathlib import Path

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from sandbox.broker.serve import BrokerSettings, running_broker
from streams.topics import (
    PRICES,
    TICKS,
    TopicsDiffer,
    check_topics,
    create_topics,
    declared,
    partition_of,
)


async def test_topics_are_made_once_and_anything_otherwise_is_a_clear_error(
    tmp_path: Path,
) -> None:
    async with running_broker(BrokerSettings(data_dir=tmp_path)) as broker:
        bootstrap = f"127.0.0.1:{broker.port}"
        with pytest.raises(TopicsDiffer, match="missing: run `rooms migrate`"):
            await check_topics(bootstrap, partitions=3)

        made = await create_topics(bootstrap, partitions=3)
        assert made == [topic.name for topic in declared(3)]
        assert await create_topics(bootstrap, partitions=3) == []
        await check_topics(bootstrap, partitions=3)

        with pytest.raises(TopicsDiffer, match="topic ticks has 3 partitions, not 8"):
            await create_topics(bootstrap, partitions=8)

        topics = broker.parts.topics
        topics.delete(TICKS)
        topics.create(TICKS, 3, {"message.timestamp.type": "CreateTime"})
        with pytest.raises(TopicsDiffer, match="set it to LogAppendTime"):
            await create_topics(bootstrap, partitions=3)


def test_only_ticks_carry_the_brokers_own_time() -> None:
    stamped = {topic.name for topic in declared() if topic.by_append_time}
    assert stamped == {TICKS}
    assert {topic.partitions for topic in declared(5) if topic.name in (TICKS, PRICES)} == {5}


@given(st.text(min_size=1, max_size=64), st.integers(1, 64))
def test_a_feed_lies_where_every_kafka_client_puts_its_key(feed: str, partitions: int) -> None:
    numbers = list(range(partitions))
    chosen = DefaultPartitioner()(feed.encode(), numbers, numbers)
    assert partition_of(feed, partitions) == chosen
