"""Offset answers: how far a group has come.

Promises  nobody commits for a generation that is over; what is answered has been written.
"""

from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.offsets import Committed
from sandbox.broker.parts import Caller, Parts
from sandbox.broker.wire import Fields, Request

_METADATA_TEXT_MAX = 4096


def offset_commit(parts: Parts, request: Request, _: Caller) -> Fields:
    """Write down how far a group has come."""
    fields = request.fields
    refused = _refused_commit(parts, fields)
    now_ms = parts.clock_ms()
    commits = []
    topics = []
    for topic in fields["topics"]:
        partitions = []
        for each in topic["partitions"]:
            place = (topic["topic"], each["partition"])
            metadata = each["metadata"] or ""
            code = refused
            if code is Code.NONE and parts.topics.log(*place) is None:
                code = Code.UNKNOWN_TOPIC_OR_PARTITION
            if code is Code.NONE and len(metadata) > _METADATA_TEXT_MAX:
                code = Code.OFFSET_METADATA_TOO_LARGE
            if code is Code.NONE:
                commits.append((place, Committed(each["offset"], metadata, now_ms)))
            partitions.append({"partition": each["partition"], "error_code": code})
        topics.append({"topic": topic["topic"], "partitions": partitions})
    parts.offsets.commit(fields["consumer_group"], commits)
    return {"topics": topics}


def offset_fetch(parts: Parts, request: Request, _: Caller) -> Fields:
    """Say how far a group has come."""
    group = request.fields["consumer_group"]
    wanted = request.fields["topics"]
    if wanted is None:
        by_topic: dict[str, list[int]] = {}
        for topic, partition in parts.offsets.of_group(group):
            by_topic.setdefault(topic, []).append(partition)
        wanted = [{"topic": topic, "partitions": each} for topic, each in by_topic.items()]
    return {
        "topics": [
            {
                "topic": topic["topic"],
                "partitions": [
                    _committed(parts, group, topic["topic"], partition)
                    for partition in topic["partitions"]
                ],
            }
            for topic in wanted
        ],
        "error_code": Code.NONE,
    }


def _refused_commit(parts: Parts, fields: Fields) -> Code:
    group = parts.groups.find(fields["consumer_group"])
    generation = fields["consumer_group_generation_id"]
    if group is None:
        return Code.NONE if generation < 0 else Code.UNKNOWN_MEMBER_ID
    try:
        group.refuse_commit(fields["consumer_id"], generation)
    except KafkaRefusal as refusal:
        return refusal.code
    return Code.NONE


def _committed(parts: Parts, group: str, topic: str, partition: int) -> Fields:
    committed = parts.offsets.get(group, (topic, partition))
    return {
        "partition": partition,
        "offset": committed.offset if committed else -1,
        "metadata": committed.metadata if committed else "",
        "error_code": Code.NONE,
    }
