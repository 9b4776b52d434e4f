"""Log answers: what producers and consumers ask of the logs.

Promises  a batch is answered for when it is in the log, or with the reason why not.
"""

from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.parts import Caller, HangUp, Later, Parts
from sandbox.broker.reading import Fetch
from sandbox.broker.wire import Fields, Request


def produce(parts: Parts, request: Request, _: Caller) -> Fields | None:
    """Append what a producer sends; without acks there is no answer.

    Raises:
        HangUp: when a batch without acks is refused.
    """
    acks = request.fields["required_acks"]
    topics = [
        {
            "topic": topic["topic"],
            "partitions": [
                _append(parts, topic["topic"], each, acks) for each in topic["partitions"]
            ],
        }
        for topic in request.fields["topics"]
    ]
    if acks != 0:
        return {"topics": topics}
    for topic in topics:
        for each in topic["partitions"]:
            if each["error_code"] != Code.NONE:
                raise HangUp(f"a batch without acks was refused: {each['error_message']}")
    return None


def fetch(parts: Parts, request: Request, _: Caller) -> Fields | Later:
    """Read from offsets on, waiting for more when there is too little."""
    fetch = Fetch(parts.topics, request.fields)
    fetch.begin()
    if fetch.answer.done():
        return fetch.answer.result()
    return Later(fetch.answer, fetch.finish)


def init_producer_id(parts: Parts, request: Request, _: Caller) -> Fields:
    """Give an idempotent producer its id; a transactional one is refused."""
    if request.fields["transactional_id"] is not None:
        code, given, epoch = Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -1, -1
    else:
        code, given, epoch = Code.NONE, parts.topics.give_producer_id(), 0
    return {"error_code": code, "producer_id": given, "producer_epoch": epoch}


def _append(parts: Parts, topic: str, wanted: Fields, acks: int) -> Fields:
    code, offset, timestamp, start, sentence = Code.NONE, -1, -1, -1, None
    log = parts.topics.log(topic, wanted["partition"])
    try:
        if acks not in {-1, 0, 1}:
            raise KafkaRefusal(Code.INVALID_REQUIRED_ACKS, "acks is 0, 1 or all")
        if log is None:
            raise KafkaRefusal(Code.UNKNOWN_TOPIC_OR_PARTITION, f"there is no {topic}")
        place = log.append(
            wanted["messages"], parts.clock_ms(), twice=parts.faults.take_duplicate()
        )
        offset, timestamp, start = place.base_offset, place.append_time_ms, log.start_offset
    except KafkaRefusal as refusal:
        code, sentence = refusal.code, str(refusal)
    return {
        "partition": wanted["partition"],
        "error_code": code,
        "error_message": sentence,
        "offset": offset,
        "timestamp": timestamp,
        "log_start_offset": start,
    }
