"""Faults on request: each does what it says, and what it does not touch goes on."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.protocol.metadata import MetadataRequest

from sandbox.broker.serve import Broker, BrokerSettings, running_broker
from tests.broker.clients import (
    PATIENCE_SECONDS,
    Assignments,
    batch_of,
    connecting,
    consuming,
    fetch_request,
    new_group,
    new_topic,
    produce_raw,
    producing,
    take,
    values_of,
)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker(BrokerSettings(data_dir=tmp_path, control_port=0)) as running:
        yield running


def address(broker: Broker) -> str:
    return f"127.0.0.1:{broker.port}"


async def test_slow_holds_every_answer_back(broker: Broker) -> None:
    loop = asyncio.get_running_loop()
    async with connecting(address(broker)) as connection:
        broker.faults.slow(120)
        begun = loop.time()
        await connection.send(MetadataRequest([]))
        assert loop.time() - begun >= 0.12
        broker.faults.slow(0)
        await asyncio.wait_for(connection.send(MetadataRequest([])), PATIENCE_SECONDS)


async def test_frozen_answers_nothing_and_goes_on_where_it_stood(broker: Broker) -> None:
    topic = await new_topic(address(broker))
    async with connecting(address(broker)) as reader, connecting(address(broker)) as writer:
        fetch = asyncio.ensure_future(reader.send(fetch_request(topic, 0)))
        await writer.send(MetadataRequest([]))
        broker.faults.freeze()
        produce = asyncio.ensure_future(produce_raw(writer, topic, batch_of(b"x")))
        done, _ = await asyncio.wait([fetch, produce], timeout=0.1)
        assert not done
        log = broker.parts.topics.log(topic, 0)
        assert log is not None
        assert log.end_offset == 0, "a frozen broker does not even append"
        broker.faults.thaw()
        assert await asyncio.wait_for(produce, PATIENCE_SECONDS) == (0, 0)
        answer = await asyncio.wait_for(fetch, PATIENCE_SECONDS)
        assert answer.topics[0][1][0][-1]


async def test_a_frozen_broker_blames_no_member_for_silence(tmp_path: Path) -> None:
    settings = BrokerSettings(data_dir=tmp_path, session_timeout_ms_min=100)
    async with running_broker(settings) as broker:
        topic, group = await new_topic(address(broker)), new_group()
        async with consuming(
            address(broker),
            topic,
            group_id=group,
            session_timeout_ms=200,
            heartbeat_interval_ms=50,
        ):
            broker.faults.freeze()
            await asyncio.sleep(0.5)  # Longer than the session: nothing to wait for, by design.
            assert broker.state()["groups"][group]["generation"] == 1
            broker.faults.thaw()
            assert len(broker.state()["groups"][group]["members"]) == 1


async def test_cut_closes_connections_and_clients_come_back(broker: Broker) -> None:
    topic = await new_topic(address(broker))
    async with (
        producing(address(broker)) as producer,
        consuming(address(broker), topic) as consumer,
    ):
        await producer.send_and_wait(topic, b"before")
        await take(consumer, 1)
        broker.cut()
        await producer.send_and_wait(topic, b"after")
        assert values_of(await take(consumer, 1)) == [b"after"]


async def test_duplicated_appends_the_next_batches_twice(broker: Broker) -> None:
    topic = await new_topic(address(broker))
    broker.faults.duplicate(2)
    async with producing(address(broker), enable_idempotence=True) as producer:
        for value in (b"a", b"b", b"c"):
            await producer.send_and_wait(topic, value)
    async with consuming(address(broker), topic) as consumer:
        assert values_of(await take(consumer, 5)) == [b"a", b"a", b"b", b"b", b"c"]


async def test_lost_empties_topics_and_commits_and_consumers_begin_with_the_new_log(
    broker: Broker,
) -> None:
    topic, group = await new_topic(address(broker)), new_group()
    place = TopicPartition(topic, 0)
    async with producing(address(broker)) as producer:
        for _ in range(5):
            await producer.send_and_wait(topic, b"old")
        async with consuming(address(broker), topic, group_id=group) as consumer:
            await take(consumer, 5)
            await consumer.commit()
            broker.lose()
            assert await consumer.committed(place) is None
            assert (await producer.send_and_wait(topic, b"new")).offset == 0
            assert values_of(await take(consumer, 1)) == [b"new"]


async def test_a_commit_that_the_disk_refuses_is_asked_for_again(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, group = await new_topic(address(broker)), new_group()
    place = TopicPartition(topic, 0)
    real_write, failures = os.write, [OSError(28, "No space left on device")]

    def fails_once(file: int, data: bytes) -> int:
        if failures:
            real_write(file, data[:5])
            raise failures.pop()
        return real_write(file, data)

    async with consuming(address(broker), topic, group_id=group) as consumer:
        await consumer.commit({place: 0})
        monkeypatch.setattr(os, "write", fails_once)
        await consumer.commit({place: 7})
        assert not failures
        assert await consumer.committed(place) == 7
    lines = (tmp_path / "offsets.jsonl").read_bytes().splitlines()
    assert [json.loads(line)[3] for line in lines] == [0, 7]


async def test_rebalance_now_makes_members_join_again(broker: Broker) -> None:
    topic, group = await new_topic(address(broker)), new_group()
    async with consuming(address(broker), group_id=group) as consumer:
        assignments = Assignments()
        consumer.subscribe([topic], listener=assignments)
        await assignments.until(1)
        before = broker.state()["groups"][group]["generation"]
        broker.rebalance(group)
        await assignments.until(1)
        assert broker.state()["groups"][group]["generation"] == before + 1


async def ask(broker: Broker, request: bytes) -> tuple[int, dict[str, object]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.control_port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /faults HTTP/1.1", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_the_control_port_shows_the_state_and_brings_faults_about(broker: Broker) -> None:
    topic = await new_topic(address(broker))
    status, state = await ask(broker, b"GET /state HTTP/1.1\r\n\r\n")
    assert (status, state["topics"]) == (200, {topic: [{"start": 0, "end": 0, "bytes": 0}]})
    status, state = await ask(broker, post(b'{"slow_ms": 5, "duplicate": 2}'))
    assert (status, state["faults"]) == (200, {"slow_ms": 5, "frozen": False, "duplicate": 2})
    for body in (
        b'{"slow_ms": 0}',
        b'{"frozen": true}',
        b'{"frozen": false}',
        b'{"cut": true, "lose": true, "retain": true, "rebalance": true}',
        b'{"rebalance": "no-such-group"}',
    ):
        assert (await ask(broker, post(body)))[0] == 200, body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(b'{"slow_ms": -1}'), 400),
        (post(b'{"slow_ms": "1"}'), 400),
        (post(b'{"frozen": 1}'), 400),
        (post(b'{"melt": true}'), 400),
        (post(b"[]"), 400),
        (post(b"not json"), 400),
        (b"POST /faults HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /faults HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (post(b'{"cut": true}', b"Origin: http://evil.example"), 403),
    ],
)
async def test_a_control_request_that_cannot_be_is_refused_and_changes_nothing(
    broker: Broker, request_bytes: bytes, status: int
) -> None:
    before = broker.state()
    answered, answer = await ask(broker, request_bytes)
    assert answered == status
    assert answer["error"]
    assert broker.state() == before
