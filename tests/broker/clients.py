"""Clients for tests: aiokafka as it is, with the patience of a test."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import GroupLoadInProgressError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

PATIENCE_SECONDS = 20


@contextlib.asynccontextmanager
async def administering(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def new_topic(bootstrap: str, partitions: int = 1, **configs: str) -> str:
    """Make a topic of a new name; ``retention_ms="1"`` is the config ``retention.ms``."""
    name = f"topic-{secrets.token_hex(4)}"
    dotted = {key.replace("_", "."): value for key, value in configs.items()}
    async with administering(bootstrap) as admin:
        answer: Any = await admin.create_topics(
            [NewTopic(name, partitions, 1, topic_configs=dotted)]
        )
    assert answer.topic_errors[0][1] == 0, answer
    await until_led(bootstrap, [TopicPartition(name, number) for number in range(partitions)])
    return name


async def until_led(bootstrap: str, places: Sequence[TopicPartition]) -> None:
    """Wait until a leader serves every partition: a cluster answers before its brokers know."""
    async with consuming(bootstrap, request_timeout_ms=PATIENCE_SECONDS * 1_000) as consumer:
        await consumer.end_offsets(places)


def new_group() -> str:
    return f"group-{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def producing(
    bootstrap: str,
    **settings: Any,  # noqa: ANN401 - whatever aiokafka takes
) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **{"acks": "all"} | settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def consuming(
    bootstrap: str,
    *topics: str,
    **settings: Any,  # noqa: ANN401 - whatever aiokafka takes
) -> AsyncIterator[AIOKafkaConsumer]:
    quick = {
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "session_timeout_ms": 3_000,
        "heartbeat_interval_ms": 100,
        "rebalance_timeout_ms": 3_000,
        "retry_backoff_ms": 20,
    }
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, **quick | settings)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


class Assignments(ConsumerRebalanceListener):
    """Lets a test wait for the partitions a consumer is given."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[set[int]] = asyncio.Queue()

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing to do."""

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.given.put_nowait({place.partition for place in assigned})

    async def until(self, count: int) -> set[int]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                partitions = await self.given.get()
                if len(partitions) == count:
                    return partitions


async def take(consumer: AIOKafkaConsumer, count: int) -> list[ConsumerRecord[bytes, bytes]]:
    """Consume exactly so many messages."""
    taken: list[ConsumerRecord[bytes, bytes]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(taken) < count:
            taken.append(await consumer.getone())
    return taken


@contextlib.asynccontextmanager
async def connecting(bootstrap: str) -> AsyncIterator[AIOKafkaConnection]:
    """Open a bare connection, to send requests that no client would."""
    host, port = bootstrap.split(":")
    connection = await create_conn(host, int(port))
    try:
        yield connection
    finally:
        await connection.close()


def batch_of(
    *values: bytes, producer_id: int = -1, epoch: int = -1, sequence: int = -1, at_ms: int = 1_000
) -> bytes:
    """Build one record batch as a producer would."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, producer_id, epoch, sequence, 1 << 20)
    for delta, value in enumerate(values):
        builder.append(delta, at_ms, b"key", value, [])
    return bytes(builder.build())


async def produce_raw(
    connection: AIOKafkaConnection, topic: str, batch: bytes, partition: int = 0
) -> tuple[int, int]:
    """Send one batch; give (error code, offset)."""
    answer = await connection.send(ProduceRequest(None, -1, 1_000, [(topic, [(partition, batch)])]))
    [(_, [(_, code, offset, _, _)])] = answer.topics
    return code, offset


async def new_producer_id(connection: AIOKafkaConnection) -> int:
    # None is what an idempotent producer without transactions sends.
    request = InitProducerIdRequest(cast(str, None), 1_000)
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await connection.send(request)
        while for_code(answer.error_code) is GroupLoadInProgressError:
            # A broker that has just started fetches its numbers first.
            await asyncio.sleep(0.05)
            answer = await connection.send(request)
    assert answer.error_code == 0
    return int(answer.producer_id)


def fetch_request(
    topic: str, offset: int, *, min_bytes: int = 1, wait_ms: int = 600_000
) -> FetchRequest:
    return FetchRequest(wait_ms, min_bytes, 2**20, 0, [(topic, [(0, offset, 2**20)])])


def values_of(records: Sequence[ConsumerRecord[bytes, bytes]]) -> list[bytes]:
    return [record.value for record in records if record.value is not None]
