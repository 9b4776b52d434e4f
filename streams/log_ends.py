"""Log ends: where each log ends on the broker, and how far a group has come.

In        topics and partitions.
Out       the offset that the next message will have; the offset from which a group would go on;
          whether there is a message between the two.
Promises  every question has a time limit; the answer is the broker's own, never what a reader
          that may be stuck believes.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

ANSWER_LIMIT_S: Final = 5.0
LOOK_MS: Final = 100


class LogEnds:
    """Ask the broker about its logs, on connections of our own."""

    def __init__(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._consumer = consumer
        self._admin = admin
        # Neither of them sorts out answers to two questions asked at once about one coordinator.
        self._turn = asyncio.Lock()

    async def ends(self, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return where each log ends.

        Raises:
            KafkaError, TimeoutError: when the broker gives no answer.
        """
        if not partitions:
            return {}
        asked = [TopicPartition(topic, partition) for topic, partition in partitions]
        async with self._turn, asyncio.timeout(ANSWER_LIMIT_S):
            found = await self._consumer.end_offsets(asked)
        return {(each.topic, each.partition): offset for each, offset in found.items()}

    async def has_message(self, topic: str, partition: int, since: int) -> bool:
        """Say whether a log has a message from ``since`` on; a transaction's marker is none.

        Raises:
            KafkaError, TimeoutError: when the broker gives no answer.
        """
        place = TopicPartition(topic, partition)
        async with self._turn, asyncio.timeout(ANSWER_LIMIT_S):
            end = (await self._consumer.end_offsets([place]))[place]
            self._consumer.assign([place])
            self._consumer.seek(place, since)
            try:
                while await self._consumer.position(place) < end:
                    if await self._consumer.getmany(place, timeout_ms=LOOK_MS, max_records=1):
                        return True
            finally:
                self._consumer.unsubscribe()
        return False

    async def committed(
        self, group: str, partitions: Collection[tuple[str, int]]
    ) -> dict[tuple[str, int], int]:
        """Return from where a group would go on; a partition it never finished is not in it.

        Raises:
            KafkaError, TimeoutError: when the broker gives no answer.
        """
        if not partitions:
            return {}
        asked = [TopicPartition(topic, partition) for topic, partition in partitions]
        async with self._turn, asyncio.timeout(ANSWER_LIMIT_S):
            found = await self._admin.list_consumer_group_offsets(group, partitions=asked)
        return {
            (each.topic, each.partition): known.offset
            for each, known in found.items()
            if known.offset >= 0
        }


@asynccontextmanager
async def open_log_ends(bootstrap: str) -> AsyncIterator[LogEnds]:
    """Open the connections that answer for as long as the block lasts."""
    limit_ms = int(ANSWER_LIMIT_S * 1000)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, request_timeout_ms=limit_ms, auto_offset_reset="earliest"
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=limit_ms)
    try:
        await consumer.start()
        await admin.start()
        yield LogEnds(consumer, admin)
    finally:
        await consumer.stop()
        await admin.close()
