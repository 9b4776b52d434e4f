"""Topics: every topic, declared once.

In        where the broker is, how many partitions and copies this installation wants.
Out       topics on the broker; the partition that a feed's log lies in.
Promises  nothing else makes a topic; one that is there otherwise than declared is a clear error;
          none grows for ever: each is cut by age, a segment at a time; with three copies or more
          all but one of them must have a message before it is answered.
Why       a log's order is a partition's order: were a topic made by accident with other partitions,
          or without the broker's own times, rooms would be decided by another log.
"""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.partitioner import murmur2
from aiokafka.protocol.metadata import MetadataRequest

from rooms.refusal import CannotGoOn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TICKS: Final = "ticks"
PRICES: Final = "prices"
BETS: Final = "bets"
SETTLEMENTS: Final = "settlements"
WITHDRAWALS: Final = "withdrawals"
OPENINGS: Final = "openings"
CUSTODY: Final = "custody"
EVENTS: Final = "events"

PARTITIONS: Final = 8
"""Of ticks and prices, unless a setting says otherwise."""

REPLICAS: Final = 1
"""Copies of each topic, unless a setting says otherwise."""

WAKE_PARTITIONS: Final = 4
ANSWER_LIMIT_MS: Final = 10_000
SHOWN_LIMIT_S: Final = 20.0
"""How long after it has made a topic a cluster may take to show it."""

_LOOK_EVERY_S: Final = 0.05
_HOUR_MS: Final = 3_600_000
_SEGMENT_BYTES: Final = 32 * 2**20
_WAKE_SEGMENT_BYTES: Final = 4 * 2**20
_TIMESTAMP_TYPE: Final = "message.timestamp.type"

log = structlog.get_logger()


class TopicsDiffer(CannotGoOn):
    """A topic is there, but not as this version declares it; the message says what to do."""


class BrokerAway(CannotGoOn):
    """The broker cannot be reached or refuses; the message says which one and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Declare one topic.

    Attributes:
        by_append_time: the broker stamps its own time on each message.
    """

    name: str
    partitions: int
    retention_ms: int
    replicas: int = REPLICAS
    segment_bytes: int = _SEGMENT_BYTES
    by_append_time: bool = False

    def configs(self) -> dict[str, str]:
        """Return what the broker is told about it."""
        return {
            "retention.ms": str(self.retention_ms),
            # Only whole segments are cut, and the newest never: a small one keeps little for long.
            "segment.bytes": str(self.segment_bytes),
            "cleanup.policy": "delete",
            "min.insync.replicas": str(max(1, self.replicas - 1)),
            _TIMESTAMP_TYPE: "LogAppendTime" if self.by_append_time else "CreateTime",
        }


def declared(partitions: int = PARTITIONS, replicas: int = REPLICAS) -> tuple[Topic, ...]:
    """Return every topic: so many partitions for ticks and prices, so many copies of each."""
    day_ms = 24 * _HOUR_MS
    make = partial(Topic, replicas=replicas)
    wake_up = partial(
        make,
        partitions=WAKE_PARTITIONS,
        retention_ms=_HOUR_MS,
        segment_bytes=_WAKE_SEGMENT_BYTES,
    )
    return (
        make(name=TICKS, partitions=partitions, retention_ms=day_ms, by_append_time=True),
        make(name=PRICES, partitions=partitions, retention_ms=_HOUR_MS),
        *(wake_up(name=name) for name in (BETS, SETTLEMENTS, WITHDRAWALS, OPENINGS, CUSTODY)),
        make(name=EVENTS, partitions=WAKE_PARTITIONS, retention_ms=day_ms),
    )


def partition_of(feed: str, partitions: int) -> int:
    """Return the partition that a feed's log lies in, by Kafka's own rule for keys."""
    hashed: int = murmur2(feed.encode())
    return (hashed & 0x7FFFFFFF) % partitions


async def create_topics(
    bootstrap: str, *, partitions: int = PARTITIONS, replicas: int = REPLICAS
) -> list[str]:
    """Make the topics that are missing and return their names.

    Raises:
        TopicsDiffer: when one is there with other partitions, fewer copies or other timestamps.
        BrokerAway: when the broker cannot be reached or refuses.
    """
    topics = declared(partitions, replicas)
    async with _admin(bootstrap) as admin:
        made = [topic.name for topic in topics if await _create(admin, topic)]
        if made:
            await _until_shown(bootstrap, [topic.name for topic in topics])
        await _check(admin, topics)
        return made


async def check_topics(
    bootstrap: str, *, partitions: int = PARTITIONS, replicas: int = REPLICAS
) -> None:
    """Compare what is on the broker with what is declared.

    Raises:
        TopicsDiffer: when a topic is missing or another.
        BrokerAway: when the broker cannot be reached or refuses.
    """
    async with _admin(bootstrap) as admin:
        await _check(admin, declared(partitions, replicas))


async def _create(admin: AIOKafkaAdminClient, topic: Topic) -> bool:
    wanted = NewTopic(topic.name, topic.partitions, topic.replicas, topic_configs=topic.configs())
    answer: Any = await admin.create_topics([wanted], timeout_ms=ANSWER_LIMIT_MS)
    for _, code, *why in answer.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            return False
        if code:
            raise for_code(code)(f"topic {topic.name} cannot be made: {why[0] if why else code}")
    log.info("topic_made", topic=topic.name, partitions=topic.partitions, replicas=topic.replicas)
    return True


async def _until_shown(bootstrap: str, names: Sequence[str]) -> None:
    """Wait until every broker shows topics made just now: one answers before the others know."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=ANSWER_LIMIT_MS)
    loop = asyncio.get_running_loop()
    until = loop.time() + SHOWN_LIMIT_S
    try:
        await client.bootstrap()
        for broker in client.cluster.brokers():
            while missing := await _missing(client, broker.nodeId, names):
                if loop.time() > until:
                    raise TopicsDiffer(
                        f"topic {missing[0]} was made, but {broker.host}:{broker.port} does not "
                        "show it: see what that broker says"
                    )
                await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        await client.close()


async def _missing(client: AIOKafkaClient, broker: int, names: Sequence[str]) -> list[str]:
    try:
        answer: Any = await client.send(broker, MetadataRequest(list(names)))
    except NodeNotReadyError:
        return []  # Whoever cannot be reached serves nobody the wrong answer.
    shown = {each["topic"] for each in answer.to_object()["topics"] if not each["error_code"]}
    return [name for name in names if name not in shown]


async def _check(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    found: dict[str, list[dict[str, Any]]] = {
        each["topic"]: each["partitions"]
        for each in await admin.describe_topics([topic.name for topic in topics])
        if not each["error_code"]
    }
    for topic in topics:
        if topic.name not in found:
            raise TopicsDiffer(f"topic {topic.name} is missing: run `rooms migrate`")
        partitions = len(found[topic.name])
        if partitions != topic.partitions:
            raise TopicsDiffer(
                f"topic {topic.name} has {partitions} partitions, not {topic.partitions}: "
                f"set the partitions to {partitions}, or stop everything and delete it"
            )
        copies = min(len(partition["replicas"]) for partition in found[topic.name])
        if copies < topic.replicas:
            raise TopicsDiffer(
                f"topic {topic.name} has {copies} copies, not {topic.replicas}: give it more with "
                f"Kafka's own tools, or set the replicas to {copies}"
            )
    by_append_time = [topic for topic in topics if topic.by_append_time]
    for name, stamped in (await _timestamp_types(admin, by_append_time)).items():
        if stamped != "LogAppendTime":
            raise TopicsDiffer(
                f"topic {name} has {_TIMESTAMP_TYPE}={stamped}; set it to LogAppendTime"
            )


async def _timestamp_types(
    admin: AIOKafkaAdminClient, topics: Sequence[Topic]
) -> dict[str, str | None]:
    asked = [
        ConfigResource(ConfigResourceType.TOPIC, topic.name, {_TIMESTAMP_TYPE: None})
        for topic in topics
    ]
    found: dict[str, str | None] = {}
    answers: Sequence[Any] = await admin.describe_configs(asked)
    for answer in answers:
        for code, why, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(f"topic {name} cannot be described: {why}")
            values: dict[str, Any] = {entry[0]: entry[1] for entry in entries}
            found[name] = values.get(_TIMESTAMP_TYPE)
    return found


@asynccontextmanager
async def _admin(bootstrap: str) -> "AsyncIterator[AIOKafkaAdminClient]":
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=ANSWER_LIMIT_MS)
    try:
        await admin.start()
        yield admin
    except (KafkaConnectionError, OSError) as trouble:
        raise BrokerAway(f"the broker at {bootstrap} cannot be reached") from trouble
    except KafkaError as refusal:
        raise BrokerAway(f"the broker at {bootstrap} refuses: {refusal}") from refusal
    finally:
        await admin.close()
