"""Faust as it is, on our broker: it consumes, produces, and goes on from what it committed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import faust
import pytest
from aiokafka import TopicPartition
from faust.types import StreamT

from sandbox.broker.serve import Broker, BrokerSettings, running_broker
from tests.broker.clients import (
    PATIENCE_SECONDS,
    administering,
    consuming,
    new_topic,
    producing,
    take,
    values_of,
)

GROUP = "doubling"


class Doubling:
    """An app that doubles numbers and acknowledges only once the answer is in the log."""

    def __init__(self, bootstrap: str, source: str, sink: str) -> None:
        self.seen: asyncio.Queue[int] = asyncio.Queue()
        self.hold_from: int | None = None
        self.app = faust.App(
            GROUP,
            broker=f"kafka://{bootstrap}",
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            broker_session_timeout=3,
            broker_heartbeat_interval=1,
            broker_rebalance_timeout=2,
            broker_commit_interval=0.1,
            broker_commit_every=1,
            consumer_auto_offset_reset="earliest",
        )
        self._sink = self.app.topic(sink, value_serializer="raw")
        topic = self.app.topic(source, value_serializer="raw")
        self.app.agent(topic, name="doubling")(self._double)

    async def _double(self, stream: StreamT[bytes]) -> None:
        async for event in cast(Any, stream).noack().events():
            number = int(event.value)
            if self.hold_from is not None and number >= self.hold_from:
                self.seen.put_nowait(number)
                continue
            await (await self._sink.send(key=event.key, value=b"%d" % (2 * number)))
            event.ack()
            self.seen.put_nowait(number)

    async def until_seen(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.seen.get() != number:
                pass


@contextlib.asynccontextmanager
async def running(doubling: Doubling) -> AsyncIterator[Doubling]:
    await doubling.app.start()
    try:
        yield doubling
    finally:
        await doubling.app.stop()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker(BrokerSettings(data_dir=tmp_path)) as served:
        yield served


async def test_an_app_goes_on_from_the_last_message_it_acknowledged(broker: Broker) -> None:
    bootstrap = f"127.0.0.1:{broker.port}"
    source, sink = await new_topic(bootstrap), await new_topic(bootstrap)
    async with producing(bootstrap) as producer, consuming(bootstrap, sink) as consumer:
        for number in range(20):
            await producer.send_and_wait(source, b"%d" % number, key=b"feed")
        first = Doubling(bootstrap, source, sink)
        first.hold_from = 12
        async with running(first):
            await first.until_seen(19)
            assert values_of(await take(consumer, 12)) == [b"%d" % (2 * n) for n in range(12)]
        async with administering(bootstrap) as admin:
            committed = await admin.list_consumer_group_offsets(GROUP)
            assert committed[TopicPartition(source, 0)].offset == 12

        second = Doubling(bootstrap, source, sink)
        async with running(second):
            await producer.send_and_wait(source, b"20", key=b"feed")
            await second.until_seen(20)
        assert values_of(await take(consumer, 9)) == [b"%d" % (2 * n) for n in range(12, 21)]


async def test_an_app_outlives_a_cut_a_rebalance_and_a_freeze(broker: Broker) -> None:
    bootstrap = f"127.0.0.1:{broker.port}"
    source, sink = await new_topic(bootstrap, partitions=2), await new_topic(bootstrap)
    faults: list[Callable[[], None]] = [
        broker.cut,
        broker.rebalance,
        broker.faults.freeze,
    ]
    async with (
        producing(bootstrap) as producer,
        running(Doubling(bootstrap, source, sink)) as doubling,
    ):
        await producer.send_and_wait(source, b"0", partition=0)
        await doubling.until_seen(0)
        for number, fault in enumerate(faults, start=1):
            fault()
            sent = await producer.send(source, b"%d" % number, partition=number % 2)
            if broker.faults.frozen:
                await asyncio.wait([sent], timeout=0.2)
                assert not sent.done()
                broker.faults.thaw()
            await doubling.until_seen(number)


async def test_two_workers_share_the_partitions_and_the_one_left_takes_all(broker: Broker) -> None:
    bootstrap = f"127.0.0.1:{broker.port}"
    source, sink = await new_topic(bootstrap, partitions=2), await new_topic(bootstrap)
    async with (
        producing(bootstrap) as producer,
        consuming(bootstrap, sink) as consumer,
        running(Doubling(bootstrap, source, sink)) as stays,
    ):
        async with running(Doubling(bootstrap, source, sink)) as goes:
            for partition in (0, 1):
                await producer.send_and_wait(source, b"%d" % partition, partition=partition)
            assert sorted(values_of(await take(consumer, 2))) == [b"0", b"2"]
            assert {len(each.app.consumer.assignment()) for each in (stays, goes)} == {1}
        for partition in (0, 1):
            await producer.send_and_wait(source, b"%d" % (10 + partition), partition=partition)
        assert sorted(values_of(await take(consumer, 2))) == [b"20", b"22"]
