"""The log on disk: what is in it can be read, wherever the file is cut and however it is split."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.broker.batch import header_at
from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.configs import TopicRules, read_rules
from sandbox.broker.log import PartitionLog
from sandbox.broker.segment import INDEX_EVERY_BYTES
from tests.broker.clients import batch_of

NOW_MS = 1_000_000


def rules(**configs: str) -> TopicRules:
    return read_rules({name.replace("_", "."): value for name, value in configs.items()})


def opened(directory: Path, **configs: str) -> PartitionLog:
    return PartitionLog(directory, rules(**configs), fsync=False)


def append(log: PartitionLog, *values: bytes, at_ms: int = NOW_MS) -> int:
    return log.append(batch_of(*values, at_ms=at_ms), NOW_MS).base_offset


def all_values(log: PartitionLog, page_bytes: int = 300) -> list[tuple[int, bytes]]:
    """Read the whole log as a consumer would, page by page."""
    offset, seen = log.start_offset, []
    while offset < log.end_offset:
        for record in records_in(log.read(offset, page_bytes, at_least_one=True)):
            if record[0] >= offset:
                seen.append(record)
        offset = seen[-1][0] + 1
    return seen


def records_in(raw: bytes) -> Iterator[tuple[int, bytes]]:
    records = MemoryRecords(raw)
    while (batch := records.next_batch()) is not None:
        assert batch.validate_crc()
        yield from ((record.offset, record.value or b"") for record in batch)


batches = st.lists(
    st.lists(st.binary(max_size=400), min_size=1, max_size=4), min_size=1, max_size=25
)


@settings(deadline=None, max_examples=50)
@given(batches=batches, segment_bytes=st.integers(14, 5_000), reopen_at=st.integers(0, 25))
def test_what_is_appended_is_read_in_order_however_it_is_split(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[bytes]],
    segment_bytes: int,
    reopen_at: int,
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = opened(directory, segment_bytes=str(segment_bytes))
    expected: list[tuple[int, bytes]] = []
    for number, values in enumerate(batches):
        if number == reopen_at:
            log.close()
            log = opened(directory, segment_bytes=str(segment_bytes))
        assert append(log, *values) == len(expected)
        expected += [(len(expected) + at, value) for at, value in enumerate(values)]
    assert all_values(log) == expected
    log.close()
    again = opened(directory, segment_bytes=str(segment_bytes))
    assert all_values(again) == expected
    again.close()


@settings(deadline=None, max_examples=50)
@given(batches=batches, cut=st.integers(0, 2_000))
def test_a_file_cut_anywhere_keeps_every_whole_batch(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], cut: int
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = opened(directory)
    ends = [0]
    counts = [0]
    for values in batches:
        append(log, *values)
        ends.append(log.size)
        counts.append(log.end_offset)
    whole = all_values(log)
    # Not closed: so does a killed process leave its file, with no saved index beside it.
    path = directory / f"{0:020d}.log"
    kept_bytes = max(log.size - cut, 0)
    os.truncate(path, kept_bytes)
    again = opened(directory)
    kept = max(count for end, count in zip(ends, counts, strict=True) if end <= kept_bytes)
    assert all_values(again) == whole[:kept]
    assert append(again, b"next") == kept
    assert all_values(again) == [*whole[:kept], (kept, b"next")]
    again.close()
    log.close()


@pytest.mark.parametrize("damage_at", [0, 8, 16, 17, 30, 60, 65])
def test_a_damaged_last_batch_is_cut(tmp_path: Path, damage_at: int) -> None:
    log = opened(tmp_path)
    append(log, b"whole")
    first_bytes = log.size
    append(log, b"damaged")
    path = tmp_path / f"{0:020d}.log"
    with path.open("r+b") as file:
        file.seek(first_bytes + damage_at)
        byte = file.read(1)
        file.seek(first_bytes + damage_at)
        file.write(bytes([byte[0] ^ 0x80]))
    again = opened(tmp_path)
    assert all_values(again) == [(0, b"whole")]
    assert path.stat().st_size == first_bytes
    again.close()
    log.close()


def test_every_offset_and_every_time_is_found_in_a_log_of_many_segments(tmp_path: Path) -> None:
    log = opened(tmp_path, segment_bytes="20000")
    for number in range(1_000):
        append(log, b"%d" % number, at_ms=number * 10)
    assert len(list(tmp_path.glob("*.log"))) > 3
    assert log.size > 10 * INDEX_EVERY_BYTES
    for offset in (0, 1, 249, 250, 500, 998, 999):
        raw = log.read(offset, 1, at_least_one=True)
        assert header_at(raw, 0).base_offset == offset
        assert log.first_since(offset * 10) == (offset, offset * 10)
        assert log.first_since(offset * 10 - 9) == (offset, offset * 10)
    assert log.first_since(9_991) is None
    log.close()


def test_a_saved_index_that_does_not_fit_its_file_is_not_believed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    append(log, b"one")
    append(log, b"two")
    log.close()
    path = tmp_path / f"{0:020d}.log"
    os.truncate(path, path.stat().st_size - 1)
    again = opened(tmp_path)
    assert all_values(again) == [(0, b"one")]
    again.close()


def test_an_offset_outside_the_log_is_refused(tmp_path: Path) -> None:
    log = opened(tmp_path)
    append(log, b"one")
    assert log.read(1, 100, at_least_one=True) == b""
    for offset in (-1, 2, 1_000):
        with pytest.raises(KafkaRefusal) as refused:
            log.read(offset, 100, at_least_one=True)
        assert refused.value.code is Code.OFFSET_OUT_OF_RANGE
    log.close()


def test_old_segments_are_dropped_and_young_ones_kept(tmp_path: Path) -> None:
    log = opened(tmp_path, segment_bytes="14", retention_ms="1000")
    for number in range(10):
        append(log, b"%d" % number, at_ms=NOW_MS - 2_000 + number * 200)
    log.retain(NOW_MS)
    assert (log.start_offset, log.end_offset) == (5, 10)
    assert [offset for offset, _ in all_values(log)] == [5, 6, 7, 8, 9]
    log.retain(NOW_MS + 10_000)
    assert (log.start_offset, log.end_offset) == (10, 10)
    log.close()
    again = opened(tmp_path, segment_bytes="14", retention_ms="1000")
    assert (again.start_offset, again.end_offset) == (10, 10)
    assert append(again, b"next") == 10
    again.close()


def test_a_log_never_keeps_a_segment_more_than_its_bytes(tmp_path: Path) -> None:
    log = opened(tmp_path, segment_bytes="1000", retention_bytes="3000")
    for number in range(200):
        append(log, b"x" * 100)
        log.retain(NOW_MS)
        assert log.size <= 3000 + 1000 + 200, number
    assert log.size >= 3000
    assert log.start_offset > 100
    log.close()


def test_a_batch_from_the_far_future_is_refused_where_producers_set_the_time(
    tmp_path: Path,
) -> None:
    # It would never grow old enough to be dropped.
    far = batch_of(b"x", at_ms=NOW_MS + 2 * 3_600_000)
    log = opened(tmp_path / "theirs")
    with pytest.raises(KafkaRefusal) as refused:
        log.append(far, NOW_MS)
    assert refused.value.code is Code.INVALID_TIMESTAMP
    log.close()
    log = opened(tmp_path / "ours", message_timestamp_type="LogAppendTime")
    assert log.append(far, NOW_MS).append_time_ms == NOW_MS
    log.close()


def test_a_disk_that_is_full_refuses_the_batch_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    append(log, b"before")
    real_write = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return real_write(file, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(KafkaRefusal) as refused:
        append(log, b"lost")
    assert refused.value.code is Code.KAFKA_STORAGE_ERROR
    monkeypatch.undo()
    assert append(log, b"after") == 1
    assert all_values(log) == [(0, b"before"), (1, b"after")]
    log.close()


def test_a_producers_last_batches_are_remembered_over_a_kill_behind_a_new_segment(
    tmp_path: Path,
) -> None:
    log = opened(tmp_path, segment_bytes="14")
    sent = [batch_of(b"x", producer_id=7, epoch=0, sequence=number) for number in range(4)]
    assert [log.append(batch, NOW_MS).base_offset for batch in sent] == [0, 1, 2, 3]
    # Not closed, as after a kill; each batch lies in a segment of its own.
    again = opened(tmp_path, segment_bytes="14")
    assert [again.append(batch, NOW_MS).base_offset for batch in sent] == [0, 1, 2, 3]
    assert again.end_offset == 4
    again.close()
    log.close()


def test_an_old_epoch_is_refused_and_a_new_one_begins_at_0(tmp_path: Path) -> None:
    log = opened(tmp_path)

    def send(epoch: int, sequence: int) -> Code:
        batch = batch_of(b"x", producer_id=7, epoch=epoch, sequence=sequence)
        try:
            log.append(batch, NOW_MS)
        except KafkaRefusal as refusal:
            return refusal.code
        return Code.NONE

    assert send(1, 0) is Code.NONE
    assert send(0, 1) is Code.INVALID_PRODUCER_EPOCH
    assert send(2, 5) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert send(2, 0) is Code.NONE
    for sequence in range(1, 7):
        assert send(2, sequence) is Code.NONE
    assert send(2, 0) is Code.DUPLICATE_SEQUENCE_NUMBER
    log.close()


def test_sequences_go_on_at_0_after_the_highest(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for sequence in (2**31 - 2, 2**31 - 1, 0, 1):
        log.append(batch_of(b"x", producer_id=7, epoch=0, sequence=sequence), NOW_MS)
    assert log.end_offset == 4
    log.close()


def test_a_log_that_was_lost_begins_at_0_again(tmp_path: Path) -> None:
    log = opened(tmp_path, segment_bytes="14")
    for _ in range(3):
        append(log, b"gone")
    log.lose()
    assert (log.start_offset, log.end_offset) == (0, 0)
    assert append(log, b"new") == 0
    log.close()
    again = opened(tmp_path)
    assert all_values(again) == [(0, b"new")]
    again.close()
