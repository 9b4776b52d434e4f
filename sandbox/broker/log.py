"""Log: one partition, as a row of segments.

In        batches from producers; offsets and times from consumers.
Out       where a batch was appended; raw batches from an offset on.
Holds     a directory of segments; the last one is appended to.
Promises  offsets have no holes and never come twice; what `append` returned for survives a kill.
Why       whole segments are dropped when they are too old or too many, so nothing grows for ever;
          watchers are told of every append, so that a fetch can wake on it.
"""

import json
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from sandbox.broker.batch import (
    BatchHeader,
    checked,
    header_at,
    refuse_future,
    with_append_time,
    with_offset,
)
from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.configs import TopicRules
from sandbox.broker.producers import Producers
from sandbox.broker.segment import Segment

log = structlog.get_logger()

NO_APPEND_TIME = -1


class Watcher(Protocol):
    """Someone who wants to know that a log has changed."""

    def appended(self, size: int) -> None:
        """Hear that so many bytes were appended."""

    def gone(self) -> None:
        """Hear that the log was emptied or deleted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch lies in the log; the append time is -1 where producers set the time."""

    base_offset: int
    append_time_ms: int


class PartitionLog:
    """The log of one partition."""

    def __init__(self, directory: Path, rules: TopicRules, *, fsync: bool) -> None:
        self._directory = directory
        self._rules = rules
        self._fsync = fsync
        self._producers = Producers()
        self._read_last: Segment | None = None
        self.watchers: set[Watcher] = set()
        directory.mkdir(parents=True, exist_ok=True)
        self._segments = self._open_segments()

    @property
    def start_offset(self) -> int:
        """Name the first offset that can still be read."""
        return self._segments[0].base_offset

    @property
    def end_offset(self) -> int:
        """Name the offset that the next record will get."""
        return self._segments[-1].next_offset

    @property
    def size(self) -> int:
        """Count the bytes of all segments."""
        return sum(segment.size for segment in self._segments)

    def append(self, batch: bytes | None, now_ms: int, *, twice: bool = False) -> Place:
        """Append a batch that a producer sent, unless it is there already; with a fault, twice.

        Raises:
            KafkaRefusal: when the batch is not sound, or the disk does not take it.
        """
        header = checked(batch, bytes_max=self._rules.batch_bytes_max)
        assert batch is not None, "checked refuses what is not there"
        if not self._rules.append_time:
            refuse_future(header, now_ms)
        repeat = self._producers.find_repeat(header)
        if repeat is not None:
            when = repeat.timestamp_ms if self._rules.append_time else NO_APPEND_TIME
            return Place(repeat.base_offset, when)
        place = self._append_checked(batch, header, now_ms)
        if twice:
            self._append_checked(batch, header, now_ms)
        return place

    def read(self, offset: int, bytes_max: int, *, at_least_one: bool) -> bytes:
        """Read raw batches from an offset on; nothing when the offset is the end.

        Raises:
            KafkaRefusal: when the offset lies outside the log.
        """
        if not self.start_offset <= offset <= self.end_offset:
            raise KafkaRefusal(
                Code.OFFSET_OUT_OF_RANGE,
                f"the log holds offsets {self.start_offset} to {self.end_offset}, not {offset}",
            )
        if offset == self.end_offset:
            return b""
        found = bisect_right(self._segments, offset, key=lambda each: each.base_offset) - 1
        while self._segments[found].next_offset <= offset:
            found += 1
        segment = self._segments[found]
        if segment is not self._read_last:
            if self._read_last is not None:
                self._read_last.forget_index()
            self._read_last = segment
        return segment.read(offset, bytes_max, at_least_one=at_least_one)

    def first_since(self, timestamp_ms: int) -> tuple[int, int] | None:
        """Find the first record at or after a time, as (offset, timestamp)."""
        for segment in self._segments:
            if segment.max_timestamp >= timestamp_ms:
                found = segment.first_since(timestamp_ms)
                segment.forget_index()
                if found is not None:
                    return found
        return None

    def retain(self, now_ms: int) -> None:
        """Drop the segments that the topic's rules no longer keep, the oldest first."""
        self._producers.forget_idle(now_ms)
        if self._rules.retention_ms >= 0:
            oldest_kept = now_ms - self._rules.retention_ms
            active = self._segments[-1]
            if active.size and active.max_timestamp < oldest_kept:
                self._roll()
            while len(self._segments) > 1 and self._segments[0].max_timestamp < oldest_kept:
                self._drop_oldest()
        if self._rules.retention_bytes >= 0:
            excess = self.size - self._rules.retention_bytes
            while len(self._segments) > 1 and excess >= self._segments[0].size:
                excess -= self._segments[0].size
                self._drop_oldest()

    def lose(self) -> None:
        """Forget every record, as a broker does whose disk is gone; offsets begin at 0 again."""
        for segment in self._segments:
            segment.delete()
        self._producers = Producers()
        self._snapshot_path.unlink(missing_ok=True)
        self._segments = [self._new_segment(0)]
        self._tell_gone()

    def close(self) -> None:
        """Close the files, leaving all that a quick start needs."""
        self._save_producers()
        self._segments[-1].close(fsync=self._fsync)
        self._tell_gone()

    def _tell_gone(self) -> None:
        for watcher in tuple(self.watchers):
            watcher.gone()

    def _append_checked(self, batch: bytes, header: BatchHeader, now_ms: int) -> Place:
        if self._segments[-1].size and (
            self._segments[-1].size + len(batch) > self._rules.segment_bytes
        ):
            self._roll()
        active = self._segments[-1]
        base_offset = active.next_offset
        if self._rules.append_time:
            stamped = with_append_time(batch, header, base_offset, now_ms)
        else:
            stamped = with_offset(batch, header, base_offset)
        placed = header_at(stamped, 0)
        try:
            active.append(stamped, placed, fsync=self._fsync)
        except OSError as error:
            log.error("append_failed", path=str(active.path), error=str(error))
            raise KafkaRefusal(Code.KAFKA_STORAGE_ERROR, "the disk did not take it") from error
        self._producers.remember(placed)
        for watcher in tuple(self.watchers):
            watcher.appended(len(batch))
        return Place(base_offset, now_ms if self._rules.append_time else NO_APPEND_TIME)

    def _roll(self) -> None:
        self._save_producers()
        self._segments[-1].close(fsync=self._fsync)
        self._segments.append(self._new_segment(self._segments[-1].next_offset))

    def _drop_oldest(self) -> None:
        dropped = self._segments.pop(0)
        if dropped is self._read_last:
            self._read_last = None
        dropped.delete()
        log.info("segment_dropped", path=str(dropped.path), records_until=dropped.next_offset)

    def _new_segment(self, base_offset: int) -> Segment:
        segment = Segment(self._directory, base_offset)
        for _ in segment.open_for_append():
            pass
        return segment

    def _open_segments(self) -> list[Segment]:
        bases = sorted(int(path.stem) for path in self._directory.glob("*.log"))
        segments = [Segment(self._directory, base) for base in bases]
        if not segments:
            return [self._new_segment(0)]
        for segment in segments[:-1]:
            segment.open_closed()
        self._load_producers()
        for header in segments[-1].open_for_append():
            self._producers.remember(header)
        return segments

    @property
    def _snapshot_path(self) -> Path:
        return self._directory / "producers.json"

    def _save_producers(self) -> None:
        # As of the end of the segment being closed: what a scan of the next one is added to.
        unfinished = self._snapshot_path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self._producers.rows()))
        unfinished.replace(self._snapshot_path)

    def _load_producers(self) -> None:
        if self._snapshot_path.exists():
            self._producers.load(map(tuple, json.loads(self._snapshot_path.read_text())))
