"""The broker as a process: it starts clearly, dies without loss, and says why it cannot start."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from sandbox.broker.serve import BrokerSettings, running_broker, serve
from tests.broker.clients import (
    PATIENCE_SECONDS,
    connecting,
    consuming,
    new_group,
    new_topic,
    producing,
    take,
    values_of,
)


@dataclass
class Process:
    """A broker in a process of its own."""

    child: asyncio.subprocess.Process
    bootstrap: str
    port: int

    async def kill(self) -> None:
        self.child.kill()
        await self.child.wait()


@contextlib.asynccontextmanager
async def process(data_dir: Path, port: int = 0) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sandbox.broker", "--data", str(data_dir), "--port", str(port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), PATIENCE_SECONDS)
        ready = json.loads(line)
        yield Process(child, f"127.0.0.1:{ready['port']}", ready["port"])
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_a_broker_killed_in_the_middle_of_producing_keeps_all_it_acknowledged(
    tmp_path: Path,
) -> None:
    acknowledged: dict[int, bytes] = {}
    enough = asyncio.Event()

    async with process(tmp_path) as first:
        topic, group = await new_topic(first.bootstrap, segment_bytes="50000"), new_group()

        async def produce(worker: int) -> None:
            async with producing(first.bootstrap, request_timeout_ms=500) as producer:
                number = 0
                while True:
                    value = b"%d-%d" % (worker, number) + b"." * 300
                    answer = await producer.send_and_wait(topic, value)
                    acknowledged[answer.offset] = value
                    number += 1
                    if len(acknowledged) >= 600:
                        enough.set()

        workers = [asyncio.create_task(produce(worker)) for worker in range(3)]
        await asyncio.wait_for(enough.wait(), PATIENCE_SECONDS)
        async with consuming(first.bootstrap, topic, group_id=group) as consumer:
            await take(consumer, 100)
            await consumer.commit({TopicPartition(topic, 0): 100})
            await first.kill()
        for outcome in await asyncio.gather(*workers, return_exceptions=True):
            assert isinstance(outcome, KafkaError)

    async with process(tmp_path, first.port) as second:
        async with consuming(second.bootstrap, topic) as consumer:
            end = (await consumer.end_offsets([TopicPartition(topic, 0)]))[TopicPartition(topic, 0)]
            records = await take(consumer, end)
        kept = {record.offset: record.value for record in records}
        assert list(kept) == list(range(end))
        assert {offset: kept.get(offset) for offset in acknowledged} == acknowledged
        async with consuming(second.bootstrap, topic, group_id=group) as consumer:
            [record] = await take(consumer, 1)
            assert record.offset == 100


async def test_a_stopped_process_leaves_its_data_for_the_next(tmp_path: Path) -> None:
    async with process(tmp_path) as first:
        topic = await new_topic(first.bootstrap)
        async with producing(first.bootstrap) as producer:
            await producer.send_and_wait(topic, b"kept")
        first.child.terminate()
        assert await asyncio.wait_for(first.child.wait(), PATIENCE_SECONDS) == 0
    async with (
        process(tmp_path) as second,
        consuming(second.bootstrap, topic) as consumer,
    ):
        assert values_of(await take(consumer, 1)) == [b"kept"]


async def test_serve_tells_its_port_and_ends_when_cancelled(tmp_path: Path) -> None:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(BrokerSettings(data_dir=tmp_path), port.set_result))
    async with connecting(f"127.0.0.1:{await asyncio.wait_for(port, PATIENCE_SECONDS)}"):
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    # Port and directory are free again.
    async with running_broker(BrokerSettings(data_dir=tmp_path, port=port.result())):
        pass


@pytest.mark.parametrize("which", ["port", "control_port"])
async def test_a_port_in_use_is_one_clear_error(tmp_path: Path, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        ports = {which: number}
        with pytest.raises(OSError, match=f"port {number} of 127.0.0.1 is in use: stop"):
            async with running_broker(BrokerSettings(data_dir=tmp_path, **ports)):
                pass


async def test_a_data_directory_in_use_is_one_clear_error(tmp_path: Path) -> None:
    settings = BrokerSettings(data_dir=tmp_path)
    async with running_broker(settings):
        with pytest.raises(OSError, match="another broker is using"):
            async with running_broker(settings):
                pass


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x00\x00\x05hello",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff",
        # A Produce of version 7 whose list of topics promises more than there is.
        b"\x00\x00\x00\x16\x00\x00\x00\x07\x00\x00\x00\x01\xff\xff"
        b"\xff\xff\xff\xff\x00\x00\x00\x01\x7f\xff\xff\xff",
    ],
)
async def test_nonsense_closes_its_connection_and_no_other(tmp_path: Path, nonsense: bytes) -> None:
    async with running_broker(BrokerSettings(data_dir=tmp_path)) as broker:
        topic = await new_topic(f"127.0.0.1:{broker.port}")
        async with producing(f"127.0.0.1:{broker.port}") as producer:
            await producer.send_and_wait(topic, b"before")
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(nonsense)
            assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
            writer.close()
            await writer.wait_closed()
            assert (await producer.send_and_wait(topic, b"after")).offset == 1


async def test_requests_sent_together_are_answered_in_their_order(tmp_path: Path) -> None:
    # Three ApiVersions requests in one write, cut in two in the middle of the second.
    request = b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00%c\xff\xff"
    together = b"".join(request % number for number in (1, 2, 3))
    async with running_broker(BrokerSettings(data_dir=tmp_path)) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        for piece in (together[:20], together[20:]):
            writer.write(piece)
            await writer.drain()
        numbers = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(3):
                length = int.from_bytes(await reader.readexactly(4), "big")
                numbers.append(int.from_bytes((await reader.readexactly(length))[:4], "big"))
        assert numbers == [1, 2, 3]
        writer.close()
        await writer.wait_closed()
