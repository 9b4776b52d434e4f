"""Reading: fetches that wait for what is not there yet, and the search for an offset.

In        a Fetch or ListOffsets request.
Out       its answer, now or when enough has been appended or the wait is over.
Promises  an append wakes the fetches that wait for it in the same turn of the event loop.
Why       a fetch that waits holds the connection; when the client has more to ask it ends early.
"""

import asyncio

from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.log import PartitionLog
from sandbox.broker.topics import Topics
from sandbox.broker.wire import Fields

LATEST = -1
EARLIEST = -2

_NOWHERE = -1


def list_offsets(topics: Topics, fields: Fields) -> Fields:
    """Find the first offset, the end, or the first offset since a time, for each partition."""
    return {
        "topics": [
            {
                "topic": topic["topic"],
                "partitions": [
                    _offset_of(topics.log(topic["topic"], wanted["partition"]), wanted)
                    for wanted in topic["partitions"]
                ],
            }
            for topic in fields["topics"]
        ]
    }


def _offset_of(log: PartitionLog | None, wanted: Fields) -> Fields:
    code, timestamp, offset = Code.NONE, _NOWHERE, _NOWHERE
    if log is None:
        code = Code.UNKNOWN_TOPIC_OR_PARTITION
    elif wanted["timestamp"] == LATEST:
        offset = log.end_offset
    elif wanted["timestamp"] == EARLIEST:
        offset = log.start_offset
    else:
        offset, timestamp = log.first_since(wanted["timestamp"]) or (_NOWHERE, _NOWHERE)
    return {
        "partition": wanted["partition"],
        "error_code": code,
        "timestamp": timestamp,
        "offset": offset,
    }


class Fetch:
    """One fetch of one client."""

    def __init__(self, topics: Topics, fields: Fields) -> None:
        self._topics = topics
        self._fields = fields
        self._missing_bytes = 0
        self._logs: list[PartitionLog] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._finishing = False
        self.answer: asyncio.Future[Fields] = self._loop.create_future()

    def begin(self) -> None:
        """Answer at once if there is enough to say, else begin to wait."""
        answer, size, must_tell = self._read()
        wait_ms = self._fields["max_wait_time"]
        if must_tell or size >= self._fields["min_bytes"] or wait_ms <= 0:
            self.answer.set_result(answer)
            return
        self._missing_bytes = self._fields["min_bytes"] - size
        for topic in self._fields["topics"]:
            for wanted in topic["partitions"]:
                log = self._topics.log(topic["topic"], wanted["partition"])
                if log is not None:
                    log.watchers.add(self)
                    self._logs.append(log)
        self._timer = self._loop.call_later(wait_ms / 1000, self.finish)
        self.answer.add_done_callback(self._stop_waiting)

    def appended(self, size: int) -> None:
        """Count what came in; wake up when it is enough."""
        self._missing_bytes -= size
        if self._missing_bytes <= 0:
            self.gone()

    def gone(self) -> None:
        """Answer in the same turn of the event loop, when the request at hand is done with."""
        if not self._finishing:
            self._finishing = True
            self._loop.call_soon(self.finish)

    def finish(self) -> None:
        """Answer with what is there."""
        if not self.answer.done():
            self.answer.set_result(self._read()[0])

    def _stop_waiting(self, _: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for log in self._logs:
            log.watchers.discard(self)
        self._logs.clear()

    def _read(self) -> tuple[Fields, int, bool]:
        """Read all partitions: the answer, its bytes, and whether it must be told at once."""
        left = self._fields["max_bytes"]
        total = 0
        must_tell = not self._fields["topics"]
        topics: list[Fields] = []
        for topic in self._fields["topics"]:
            partitions = []
            for wanted in topic["partitions"]:
                bytes_max = min(left, wanted["max_bytes"])
                part = self._read_partition(topic["topic"], wanted, bytes_max, first=total == 0)
                partitions.append(part)
                size = len(part["message_set"])
                left = max(left - size, 0)
                total += size
                must_tell = must_tell or part["error_code"] != Code.NONE
            topics.append({"topics": topic["topic"], "partitions": partitions})
        answer = {"error_code": Code.NONE, "session_id": 0, "topics": topics}
        return answer, total, must_tell

    def _read_partition(self, topic: str, wanted: Fields, bytes_max: int, *, first: bool) -> Fields:
        code, records, start, end = Code.NONE, b"", _NOWHERE, _NOWHERE
        log = self._topics.log(topic, wanted["partition"])
        if log is None:
            code = Code.UNKNOWN_TOPIC_OR_PARTITION
        else:
            start, end = log.start_offset, log.end_offset
            try:
                records = log.read(wanted["fetch_offset"], bytes_max, at_least_one=first)
            except KafkaRefusal as refusal:
                code = refusal.code
        return {
            "partition": wanted["partition"],
            "error_code": code,
            "highwater_offset": end,
            "last_stable_offset": end,
            "log_start_offset": start,
            "aborted_transactions": None,
            "preferred_read_replica": -1,
            "message_set": records,
        }
