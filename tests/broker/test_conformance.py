"""What a broker must do for us: ours and Apache Kafka alike, known only by its address."""

import asyncio
import json
import random
import sys
import time
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.partitioner import murmur2
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from tests.broker.clients import (
    PATIENCE_SECONDS,
    Assignments,
    administering,
    batch_of,
    connecting,
    consuming,
    fetch_request,
    new_group,
    new_producer_id,
    new_topic,
    produce_raw,
    producing,
    take,
    values_of,
)
from tests.broker.conftest import Kafka

# ---- what is produced is consumed


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_a_partition_is_consumed_in_the_order_it_was_produced(
    kafka: Kafka, acks: int | str
) -> None:
    topic = await new_topic(kafka.bootstrap)
    sent = [b"%d" % number for number in range(500)]
    async with producing(kafka.bootstrap, acks=acks) as producer:
        for value in sent:
            await producer.send(topic, value, partition=0)
    async with consuming(kafka.bootstrap, topic) as consumer:
        records = await take(consumer, len(sent))
    assert values_of(records) == sent
    assert [record.offset for record in records] == list(range(500))


async def test_a_key_goes_where_murmur2_sends_it(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap, partitions=7)
    keys = [f"feed-{number}".encode() for number in range(100)]
    async with producing(kafka.bootstrap) as producer:
        for key in keys:
            await producer.send(topic, b"", key=key)
    async with consuming(kafka.bootstrap, topic) as consumer:
        records = await take(consumer, len(keys))
    assert {record.key: record.partition for record in records} == {
        key: (murmur2(key) & 0x7FFFFFFF) % 7 for key in keys
    }


async def test_keys_headers_timestamps_and_empty_values_arrive_as_they_were_sent(
    kafka: Kafka,
) -> None:
    topic = await new_topic(kafka.bootstrap)
    now_ms = int(time.time() * 1000)
    async with producing(kafka.bootstrap) as producer:
        await producer.send(topic, None, key=b"k", headers=[("h", b"\x00")], timestamp_ms=now_ms)
        await producer.send(topic, b"", timestamp_ms=now_ms + 1)
    async with consuming(kafka.bootstrap, topic) as consumer:
        first, second = await take(consumer, 2)
    assert (first.key, first.value, first.headers) == (b"k", None, (("h", b"\x00"),))
    assert (second.key, second.value, second.headers) == (None, b"", ())
    assert (first.timestamp, second.timestamp) == (now_ms, now_ms + 1)
    assert first.timestamp_type == 0


@pytest.mark.parametrize("stamp", ["CreateTime", "LogAppendTime"])
async def test_a_compressed_batch_arrives_whole(kafka: Kafka, stamp: str) -> None:
    topic = await new_topic(kafka.bootstrap, message_timestamp_type=stamp)
    sent = [b"value %d " % number * 50 for number in range(200)]
    async with producing(kafka.bootstrap, compression_type="gzip", linger_ms=20) as producer:
        await asyncio.gather(*[await producer.send(topic, value) for value in sent])
    async with consuming(kafka.bootstrap, topic, check_crcs=True) as consumer:
        assert values_of(await take(consumer, len(sent))) == sent


async def test_log_append_time_is_the_brokers_and_not_the_producers(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap, message_timestamp_type="LogAppendTime")
    before_ms = int(time.time() * 1000)
    async with producing(kafka.bootstrap) as producer:
        answer = await producer.send_and_wait(topic, b"x", timestamp_ms=1)
    after_ms = int(time.time() * 1000)
    async with consuming(kafka.bootstrap, topic, check_crcs=True) as consumer:
        [record] = await take(consumer, 1)
    assert record.timestamp_type == 1
    assert before_ms <= record.timestamp <= after_ms
    assert answer.timestamp == record.timestamp


async def test_big_batches_arrive_in_pages(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    sent = [random.Random(number).randbytes(900_000) for number in range(5)]
    async with producing(kafka.bootstrap) as producer:
        for value in sent:
            await producer.send(topic, value)
    # A page smaller than any batch: the first batch of an answer comes whole all the same.
    async with consuming(kafka.bootstrap, topic, max_partition_fetch_bytes=50_000) as consumer:
        assert values_of(await take(consumer, len(sent))) == sent


async def test_a_batch_over_the_topics_limit_is_refused(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap, max_message_bytes="1000")
    async with producing(kafka.bootstrap) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, b"x" * 1000)
        await producer.send_and_wait(topic, b"x" * 100)


async def test_a_refused_batch_without_acks_costs_the_connection(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    async with connecting(kafka.bootstrap) as connection:
        topics = [(topic, [(7, batch_of(b"no such partition"))])]
        await connection.send(ProduceRequest(None, 0, 1_000, topics), expect_response=False)
        with pytest.raises(KafkaConnectionError):
            await connection.send(MetadataRequest([]))


async def test_a_damaged_batch_is_refused(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    damaged = bytearray(batch_of(b"hello"))
    damaged[-3] ^= 1
    async with connecting(kafka.bootstrap) as connection:
        code, _ = await produce_raw(connection, topic, bytes(damaged))
        assert for_code(code).__name__ == "CorruptRecordException"
        assert await produce_raw(connection, topic, batch_of(b"hello")) == (0, 0)


# ---- waiting


async def test_a_waiting_fetch_wakes_when_a_message_is_appended(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    async with connecting(kafka.bootstrap) as reader, connecting(kafka.bootstrap) as writer:
        # The wait is ten minutes: only an append can end it within the test's patience.
        fetch = asyncio.ensure_future(reader.send(fetch_request(topic, 0)))
        await writer.send(MetadataRequest([topic]))
        assert not fetch.done()
        await produce_raw(writer, topic, batch_of(b"hello"))
        answer = await asyncio.wait_for(fetch, PATIENCE_SECONDS)
    assert b"hello" in answer.topics[0][1][0][-1]


async def test_a_fetch_waits_for_as_many_bytes_as_it_asked_for(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    batch = batch_of(b"x" * 100)
    async with connecting(kafka.bootstrap) as reader, connecting(kafka.bootstrap) as writer:
        await produce_raw(writer, topic, batch)
        request = fetch_request(topic, 0, min_bytes=3 * len(batch))
        fetch = asyncio.ensure_future(reader.send(request))
        await produce_raw(writer, topic, batch)
        await writer.send(MetadataRequest([topic]))
        assert not fetch.done()
        await produce_raw(writer, topic, batch)
        answer = await asyncio.wait_for(fetch, PATIENCE_SECONDS)
    assert len(answer.topics[0][1][0][-1]) == 3 * len(batch)


async def test_a_fetch_with_nothing_to_read_ends_when_its_wait_is_over(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    async with connecting(kafka.bootstrap) as connection:
        answer = await asyncio.wait_for(
            connection.send(fetch_request(topic, 0, wait_ms=30)), PATIENCE_SECONDS
        )
    assert answer.topics[0][1][0][1] == 0
    assert answer.topics[0][1][0][-1] == b""


# ---- offsets


async def test_earliest_and_latest_are_the_ends_of_the_log(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    place = TopicPartition(topic, 0)
    async with producing(kafka.bootstrap) as producer:
        async with consuming(kafka.bootstrap) as consumer:
            assert await consumer.beginning_offsets([place]) == {place: 0}
            assert await consumer.end_offsets([place]) == {place: 0}
            for number in range(3):
                await producer.send_and_wait(topic, b"%d" % number)
            assert await consumer.beginning_offsets([place]) == {place: 0}
            assert await consumer.end_offsets([place]) == {place: 3}
        async with consuming(kafka.bootstrap, auto_offset_reset="latest") as consumer:
            consumer.assign([place])
            assert await consumer.position(place) == 3
            await producer.send_and_wait(topic, b"new")
            assert values_of(await take(consumer, 1)) == [b"new"]


async def test_a_time_finds_the_first_message_at_or_after_it(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    place = TopicPartition(topic, 0)
    base_ms = int(time.time() * 1000) - 10_000
    async with producing(kafka.bootstrap, linger_ms=50) as producer:
        # One batch of several records, and batches of one: the time is found inside a batch too.
        together = [
            await producer.send(topic, b"", timestamp_ms=base_ms + step) for step in (0, 10, 20)
        ]
        await asyncio.gather(*together)
        for step in (30, 40):
            await producer.send_and_wait(topic, b"", timestamp_ms=base_ms + step)
    expected = {-5: 0, 0: 0, 1: 1, 10: 1, 15: 2, 21: 3, 40: 4}
    async with consuming(kafka.bootstrap) as consumer:
        for step, offset in expected.items():
            found = (await consumer.offsets_for_times({place: base_ms + step}))[place]
            assert found is not None, step
            assert found.offset == offset, step
        assert (await consumer.offsets_for_times({place: base_ms + 41}))[place] is None


async def test_an_assigned_consumer_seeks_freely(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    place = TopicPartition(topic, 0)
    async with producing(kafka.bootstrap) as producer:
        for number in range(10):
            await producer.send_and_wait(topic, b"%d" % number)
    async with consuming(kafka.bootstrap) as consumer:
        consumer.assign([place])
        for offset in (7, 2, 9, 0):
            consumer.seek(place, offset)
            assert values_of(await take(consumer, 1)) == [b"%d" % offset]


async def test_a_position_outside_the_log_is_reset(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    place = TopicPartition(topic, 0)
    async with producing(kafka.bootstrap) as producer:
        await producer.send_and_wait(topic, b"only")
    async with consuming(kafka.bootstrap) as consumer:
        consumer.assign([place])
        consumer.seek(place, 1_000)
        assert values_of(await take(consumer, 1)) == [b"only"]


# ---- topics


async def test_a_topic_is_made_only_by_asking_for_it(kafka: Kafka) -> None:
    async with connecting(kafka.bootstrap) as connection:
        code, _ = await produce_raw(connection, "never-made", batch_of(b"x"))
        assert for_code(code) is UnknownTopicOrPartitionError
        fetched = await connection.send(fetch_request("never-made", 0))
        assert for_code(fetched.topics[0][1][0][1]) is UnknownTopicOrPartitionError
    async with producing(kafka.bootstrap, request_timeout_ms=300) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.send("never-made", b"x")
    async with administering(kafka.bootstrap) as admin:
        assert "never-made" not in await admin.list_topics()


async def test_topics_that_cannot_be_are_refused_with_the_reason(kafka: Kafka) -> None:
    there = await new_topic(kafka.bootstrap)
    wrong = {
        "TopicAlreadyExistsError": NewTopic(there, 1, 1),
        "InvalidTopicError": NewTopic("no spaces please", 1, 1),
        "InvalidPartitionsError": NewTopic("no-partitions", 0, 1),
        "InvalidReplicationFactorError": NewTopic("many-replicas", 1, 1_000),
        "InvalidConfigurationError": NewTopic(
            "odd-config", 1, 1, topic_configs={"retention.ms": "soon"}
        ),
    }
    async with administering(kafka.bootstrap) as admin:
        before = await admin.list_topics()
        for reason, topic in wrong.items():
            answer: Any = await admin.create_topics([topic])
            [(_, code, sentence)] = answer.topic_errors
            assert for_code(code).__name__ == reason
            assert sentence
        assert sorted(await admin.list_topics()) == sorted(before)


async def test_a_topic_deleted_and_made_again_begins_anew(kafka: Kafka) -> None:
    topic, group = await new_topic(kafka.bootstrap), new_group()
    place = TopicPartition(topic, 0)
    async with producing(kafka.bootstrap) as producer:
        await producer.send_and_wait(topic, b"old")
    async with consuming(kafka.bootstrap, topic, group_id=group) as consumer:
        await take(consumer, 1)
        await consumer.commit()
    async with administering(kafka.bootstrap) as admin:
        await admin.delete_topics([topic])
        assert topic not in await admin.list_topics()
        await admin.create_topics([NewTopic(topic, 1, 1)])
    async with producing(kafka.bootstrap) as producer:
        assert (await producer.send_and_wait(topic, b"new")).offset == 0
    async with consuming(kafka.bootstrap, topic, group_id=group) as consumer:
        assert await consumer.committed(place) is None
        assert values_of(await take(consumer, 1)) == [b"new"]


async def test_a_topics_configs_can_be_read(kafka: Kafka) -> None:
    topic = await new_topic(
        kafka.bootstrap, retention_ms="60000", message_timestamp_type="LogAppendTime"
    )
    async with administering(kafka.bootstrap) as admin:
        described: list[Any] = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic)]
        )
    values = {entry[0]: entry[1] for entry in described[0].resources[0][4]}
    assert values["retention.ms"] == "60000"
    assert values["message.timestamp.type"] == "LogAppendTime"
    assert values["cleanup.policy"] == "delete"


# ---- groups


def join_request(group: str, member_id: str) -> JoinGroupRequest:
    # None stands for "not a static member", as aiokafka itself sends it.
    return JoinGroupRequest(
        group, 6_000, 6_000, member_id, cast(str, None), "consumer", [("range", b"")]
    )


def sync_request(group: str, generation: int, member_id: str) -> SyncGroupRequest:
    return SyncGroupRequest(group, generation, member_id, cast(str, None), [(member_id, b"")])


def generation_of(consumer: AIOKafkaConsumer) -> int:
    assert consumer._coordinator is not None
    return int(consumer._coordinator.generation)


def watch(consumer: AIOKafkaConsumer, topic: str) -> Assignments:
    assignments = Assignments()
    consumer.subscribe([topic], listener=assignments)
    return assignments


async def test_a_group_goes_on_from_what_it_committed(kafka: Kafka) -> None:
    topic, group = await new_topic(kafka.bootstrap), new_group()
    async with producing(kafka.bootstrap) as producer:
        for number in range(5):
            await producer.send_and_wait(topic, b"%d" % number)
    async with consuming(kafka.bootstrap, topic, group_id=group) as consumer:
        await take(consumer, 3)
        await consumer.commit({TopicPartition(topic, 0): (3, "note")})
    async with consuming(kafka.bootstrap, topic, group_id=group) as consumer:
        assert values_of(await take(consumer, 2)) == [b"3", b"4"]
    async with administering(kafka.bootstrap) as admin:
        committed = await admin.list_consumer_group_offsets(group)
        assert committed[TopicPartition(topic, 0)] == (3, "note")
        assert (group, "consumer") in await admin.list_consumer_groups()


async def test_two_members_share_the_partitions_and_the_one_who_stays_gets_all(
    kafka: Kafka,
) -> None:
    topic, group = await new_topic(kafka.bootstrap, partitions=4), new_group()
    async with consuming(kafka.bootstrap, group_id=group) as first:
        of_first = watch(first, topic)
        assert await of_first.until(4) == {0, 1, 2, 3}
        async with consuming(kafka.bootstrap, group_id=group) as second:
            of_second = watch(second, topic)
            halves = await of_first.until(2), await of_second.until(2)
            assert halves[0] | halves[1] == {0, 1, 2, 3}
            async with administering(kafka.bootstrap) as admin:
                described: list[Any] = await admin.describe_consumer_groups([group])
                assert described[0].groups[0][2] == "Stable"
                assert len(described[0].groups[0][5]) == 2
        assert await of_first.until(4) == {0, 1, 2, 3}


async def test_a_member_that_dies_is_replaced_after_its_session(kafka: Kafka) -> None:
    topic, group = await new_topic(kafka.bootstrap, partitions=4), new_group()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.broker.member", kafka.bootstrap, topic, group),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), PATIENCE_SECONDS)
        assert json.loads(line) == [0, 1, 2, 3]
        async with consuming(kafka.bootstrap, group_id=group) as heir:
            of_heir = watch(heir, topic)
            await of_heir.until(2)
            child.kill()
            await child.wait()
            assert await of_heir.until(4) == {0, 1, 2, 3}
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_only_a_member_of_this_generation_commits(kafka: Kafka) -> None:
    topic, group = await new_topic(kafka.bootstrap), new_group()
    async with connecting(kafka.bootstrap) as connection:
        joined = await connection.send(join_request(group, member_id=""))
        if for_code(joined.error_code).__name__ == "MemberIdRequired":
            joined = await connection.send(join_request(group, member_id=joined.member_id))
        member, generation = joined.member_id, joined.generation_id
        await connection.send(sync_request(group, generation, member))

        async def commit(member_id: str, in_generation: int) -> str:
            topics = [(topic, [(0, 1, "")])]
            request = OffsetCommitRequest(group, in_generation, member_id, -1, topics)
            answer = await connection.send(request)
            return for_code(answer.topics[0][1][0][1]).__name__

        assert await commit(member, generation) == "NoError"
        assert await commit(member, generation - 1) == "IllegalGenerationError"
        assert await commit("stranger", generation) == "UnknownMemberIdError"
        assert await commit("", -1) == "UnknownMemberIdError"
        left = await connection.send(LeaveGroupRequest(group, member))
        assert left.error_code == 0
        # With nobody in it, whoever comes may set where the group begins.
        assert await commit("", -1) == "NoError"


async def test_a_static_member_comes_back_to_its_partitions_without_a_rebalance(
    kafka: Kafka,
) -> None:
    topic, group = await new_topic(kafka.bootstrap, partitions=4), new_group()
    async with consuming(kafka.bootstrap, group_id=group, group_instance_id="a") as first:
        of_first = watch(first, topic)
        await of_first.until(4)
        async with consuming(kafka.bootstrap, group_id=group, group_instance_id="b") as second:
            before = await watch(second, topic).until(2)
            await of_first.until(2)
            generation = generation_of(first)
        # A static member does not say goodbye: within its session its place is kept.
        async with consuming(kafka.bootstrap, group_id=group, group_instance_id="b") as again:
            assert await watch(again, topic).until(2) == before
            assert generation_of(again) == generation
            assert of_first.given.empty()


async def test_a_session_shorter_than_allowed_is_refused(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    with pytest.raises(Exception, match="InvalidSessionTimeout"):
        async with consuming(kafka.bootstrap, topic, group_id=new_group(), session_timeout_ms=5):
            pass


# ---- idempotent producers


async def test_an_idempotent_producer_is_served(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    async with producing(kafka.bootstrap, enable_idempotence=True) as producer:
        for number in range(20):
            assert (await producer.send_and_wait(topic, b"x")).offset == number


async def test_a_batch_sent_twice_by_an_idempotent_producer_is_there_once(kafka: Kafka) -> None:
    topic = await new_topic(kafka.bootstrap)
    async with connecting(kafka.bootstrap) as connection:
        producer_id = await new_producer_id(connection)

        async def send(sequence: int) -> tuple[str, int]:
            batch = batch_of(b"a", b"b", producer_id=producer_id, epoch=0, sequence=sequence)
            code, offset = await produce_raw(connection, topic, batch)
            return for_code(code).__name__, offset

        assert await send(0) == ("NoError", 0)
        assert await send(0) == ("NoError", 0)
        assert await send(2) == ("NoError", 2)
        assert await send(0) == ("NoError", 0)
        assert await send(2) == ("NoError", 2)
        assert (await send(8))[0] == "OutOfOrderSequenceNumber"
        assert await send(4) == ("NoError", 4)
    async with consuming(kafka.bootstrap, topic) as consumer:
        place = TopicPartition(topic, 0)
        assert await consumer.end_offsets([place]) == {place: 6}


async def test_two_producers_never_have_the_same_id(kafka: Kafka) -> None:
    async with connecting(kafka.bootstrap) as connection:
        assert len({await new_producer_id(connection) for _ in range(5)}) == 5


# ---- what only a broker we may stop can show


async def test_a_restart_keeps_what_was_acknowledged_and_what_was_committed(kafka: Kafka) -> None:
    if kafka.restart is None:
        pytest.skip("this broker is not ours to restart")
    topic, group = await new_topic(kafka.bootstrap, partitions=2), new_group()
    async with producing(kafka.bootstrap) as producer:
        for number in range(20):
            await producer.send_and_wait(topic, b"%d" % number, partition=number % 2)
        async with consuming(kafka.bootstrap, topic, group_id=group) as consumer:
            await take(consumer, 10)
            await consumer.commit()
            done = {p: await consumer.position(p) for p in consumer.assignment()}
        await kafka.restart()
        # The producer has outlived the restart.
        assert (await producer.send_and_wait(topic, b"after", partition=0)).offset == 10
    async with consuming(kafka.bootstrap, topic, group_id=group) as consumer:
        assert sum(done.values()) == 10
        records = await take(consumer, 11)
        assert {p: await consumer.committed(p) for p in consumer.assignment()} == done
    assert sorted(record.offset for record in records if record.partition == 1) == list(
        range(done[TopicPartition(topic, 1)], 10)
    )


async def test_an_idempotent_producer_is_remembered_over_a_restart(kafka: Kafka) -> None:
    if kafka.restart is None:
        pytest.skip("this broker is not ours to restart")
    topic = await new_topic(kafka.bootstrap)
    async with connecting(kafka.bootstrap) as connection:
        producer_id = await new_producer_id(connection)
        # Kafka forgets a producer whose newest message is a day old by its own time.
        now_ms = int(time.time() * 1000)
        batch = batch_of(b"a", producer_id=producer_id, epoch=0, sequence=0, at_ms=now_ms)
        assert await produce_raw(connection, topic, batch) == (0, 0)
    await kafka.restart()
    async with connecting(kafka.bootstrap) as connection:
        assert await produce_raw(connection, topic, batch) == (0, 0)
        assert await new_producer_id(connection) != producer_id


async def test_what_is_older_than_the_topic_keeps_is_dropped(kafka: Kafka) -> None:
    if kafka.retain is None:
        pytest.skip("this broker applies retention in its own time")
    topic = await new_topic(kafka.bootstrap, retention_ms="60000")
    place = TopicPartition(topic, 0)
    now_ms = int(time.time() * 1000)
    async with producing(kafka.bootstrap) as producer:
        await producer.send_and_wait(topic, b"old", timestamp_ms=now_ms - 61_000)
        kafka.retain()
        await producer.send_and_wait(topic, b"new", timestamp_ms=now_ms)
        kafka.retain()
    async with consuming(kafka.bootstrap, topic) as consumer:
        assert await consumer.beginning_offsets([place]) == {place: 1}
        assert values_of(await take(consumer, 1)) == [b"new"]
