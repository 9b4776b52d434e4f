"""Segment: one file of record batches, and a sparse index of it.

In        stamped batches to append; an offset or a time to find.
Out       raw batches, as they lie in the file.
Holds     one index entry of 24 bytes in memory for every 4 KiB of the file.
Promises  a file cut anywhere opens up to its last whole batch; a failed append leaves no trace.
Why       the index is saved when the segment is closed, so that a clean start reads no data; an
          index that does not end where the file ends is not believed.
"""

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path

from sandbox.broker.batch import (
    HEADER,
    LENGTH_PREFIX_BYTES,
    MAGIC,
    BatchHeader,
    crc_holds,
    first_record_since,
    header_at,
)
from sandbox.broker.codes import Code, KafkaRefusal

INDEX_EVERY_BYTES = 4096
NO_TIMESTAMP = -1

_CHUNK_BYTES = 16_384
_LENGTH_MIN = HEADER.size - LENGTH_PREFIX_BYTES


class SparseIndex:
    """Some batches of a segment: their offset, their place, and the latest time before them."""

    __slots__ = ("earlier_max", "offsets", "positions")

    def __init__(self) -> None:
        self.offsets = array("q")
        self.positions = array("q")
        self.earlier_max = array("q")

    def note(self, offset: int, position: int, earlier_max: int) -> None:
        """Remember a batch, if the last one remembered is far enough behind."""
        if not self.positions or position - self.positions[-1] >= INDEX_EVERY_BYTES:
            self.offsets.append(offset)
            self.positions.append(position)
            self.earlier_max.append(earlier_max)

    def position_for_offset(self, offset: int) -> int:
        """Name a place at or before the batch that holds an offset."""
        found = bisect_right(self.offsets, offset) - 1
        return self.positions[found] if found >= 0 else 0

    def position_for_time(self, timestamp_ms: int) -> int:
        """Name a place at or before the first batch that reaches a time."""
        found = bisect_left(self.earlier_max, timestamp_ms) - 1
        return self.positions[found] if found >= 0 else 0


class Segment:
    """A file of batches; the last one of a log is open for appending."""

    __slots__ = (
        "_file",
        "_index",
        "base_offset",
        "max_timestamp",
        "next_offset",
        "path",
        "size",
    )

    def __init__(self, directory: Path, base_offset: int) -> None:
        self.path = directory / f"{base_offset:020d}.log"
        self.base_offset = base_offset
        self.next_offset = base_offset
        self.max_timestamp = NO_TIMESTAMP
        self.size = 0
        self._file: int | None = None
        self._index: SparseIndex | None = None

    @property
    def index_path(self) -> Path:
        """Name the file of the saved index."""
        return self.path.with_suffix(".index")

    def open_for_append(self) -> Iterator[BatchHeader]:
        """Open the file, making it if need be, and cut what is not whole; yield what is there.

        The caller must exhaust the iterator; it yields nothing when the saved index was believed.
        """
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if self.load_saved():
            self._index = self._read_index()
        else:
            yield from self._scan(self._file)
            os.ftruncate(self._file, self.size)
        # From here on the saved index would lie.
        self.index_path.unlink(missing_ok=True)

    def load_saved(self) -> bool:
        """Learn size, end and latest time from the saved index; say whether it was believed."""
        saved = self._saved_numbers()
        if saved is None:
            return False
        next_offset, size, max_timestamp = saved[-3:]
        if size != self.path.stat().st_size:
            return False
        self.next_offset, self.size, self.max_timestamp = next_offset, size, max_timestamp
        return True

    def open_closed(self) -> None:
        """Learn about a segment that is not appended to, reading its data only if it must."""
        if not self.load_saved():
            file = os.open(self.path, os.O_RDONLY)
            try:
                for _ in self._scan(file):
                    pass
            finally:
                os.close(file)
            os.truncate(self.path, self.size)
            self._save_index()
        self._index = None

    def close(self, *, fsync: bool) -> None:
        """Close the file, save the index and forget it."""
        if self._file is None:
            return
        if fsync:
            os.fsync(self._file)
        os.close(self._file)
        self._file = None
        self._save_index()
        self._index = None

    def forget_index(self) -> None:
        """Free the index of a segment that is not appended to; the next read loads it again."""
        if self._file is None:
            self._index = None

    def append(self, batch: bytes, header: BatchHeader, *, fsync: bool) -> None:
        """Write a stamped batch behind the last one; ``header`` is what its bytes now say.

        Raises:
            OSError: when the disk does not take it; the file is then as it was before.
        """
        assert self._file is not None, "only an open segment is appended to"
        assert self._index is not None, "an open segment keeps its index"
        try:
            written = os.write(self._file, batch)
            while written < len(batch):
                written += os.write(self._file, batch[written:])
            if fsync:
                os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self._index.note(header.base_offset, self.size, self.max_timestamp)
        self._take(header)

    def read(self, offset: int, bytes_max: int, *, at_least_one: bool) -> bytes:
        """Read raw batches from the one that holds an offset on; the last may be cut short.

        With ``at_least_one`` a first batch of more than ``bytes_max`` bytes comes whole.

        Raises:
            KafkaRefusal: when the file does not hold the offset, though it should.
        """
        with _Reading(self) as file:
            start = self._loaded_index().position_for_offset(offset)
            for position, header in _walk(file, start, self.size):
                if header.next_offset > offset:
                    if header.size > bytes_max and not at_least_one:
                        return b""
                    return os.pread(file, max(header.size, bytes_max), position)
        raise KafkaRefusal(Code.KAFKA_STORAGE_ERROR, f"{self.path.name} is damaged at {offset}")

    def first_since(self, timestamp_ms: int) -> tuple[int, int] | None:
        """Find the first record at or after a time, as (offset, timestamp)."""
        with _Reading(self) as file:
            start = self._loaded_index().position_for_time(timestamp_ms)
            for position, header in _walk(file, start, self.size):
                if header.max_timestamp >= timestamp_ms:
                    found = first_record_since(os.pread(file, header.size, position), timestamp_ms)
                    if found is not None:
                        return found
        return None

    def delete(self) -> None:
        """Remove the segment from the disk."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self.path.unlink(missing_ok=True)
        self.index_path.unlink(missing_ok=True)

    @property
    def file(self) -> int | None:
        """Give the open file's number, if the segment is open for appending."""
        return self._file

    def _take(self, header: BatchHeader) -> None:
        self.size += header.size
        self.next_offset = header.next_offset
        self.max_timestamp = max(self.max_timestamp, header.max_timestamp)

    def _scan(self, file: int) -> Iterator[BatchHeader]:
        self._index = SparseIndex()
        self.size, self.next_offset, self.max_timestamp = 0, self.base_offset, NO_TIMESTAMP
        for position, header in _walk(file, 0, os.fstat(file).st_size):
            # The checksum covers neither of these two.
            if header.base_offset != self.next_offset or header.magic != MAGIC:
                return
            if not crc_holds(os.pread(file, header.size, position), header):
                return
            self._index.note(header.base_offset, position, self.max_timestamp)
            self._take(header)
            yield header

    def _loaded_index(self) -> SparseIndex:
        if self._index is None:
            self._index = self._read_index()
        return self._index

    def _read_index(self) -> SparseIndex:
        index = SparseIndex()
        saved = self._saved_numbers()
        if saved is not None:
            index.offsets = saved[0:-3:3]
            index.positions = saved[1:-3:3]
            index.earlier_max = saved[2:-3:3]
        return index

    def _save_index(self) -> None:
        assert self._index is not None, "an index is saved before it is forgotten"
        numbers = array("q")
        for entry in zip(
            self._index.offsets, self._index.positions, self._index.earlier_max, strict=True
        ):
            numbers.extend(entry)
        numbers.extend((self.next_offset, self.size, self.max_timestamp))
        unfinished = self.index_path.with_suffix(".unfinished")
        unfinished.write_bytes(numbers.tobytes())
        unfinished.replace(self.index_path)

    def _saved_numbers(self) -> "array[int] | None":
        try:
            saved = self.index_path.read_bytes()
        except FileNotFoundError:
            return None
        if not saved or len(saved) % 24:
            return None
        return array("q", saved)


class _Reading:
    """A file to read a segment from: its own, or one opened for this once."""

    __slots__ = ("_file", "_own")

    def __init__(self, segment: Segment) -> None:
        self._own = segment.file is None
        self._file = os.open(segment.path, os.O_RDONLY) if segment.file is None else segment.file

    def __enter__(self) -> int:
        return self._file

    def __exit__(self, *_: object) -> None:
        if self._own:
            os.close(self._file)


def _walk(file: int, position: int, end: int) -> Iterator[tuple[int, BatchHeader]]:
    """Yield the batches of a file that lie whole between two places, with where they begin."""
    chunk, chunk_at = b"", position
    while position + HEADER.size <= end:
        inside = position - chunk_at
        if inside + HEADER.size > len(chunk):
            chunk, chunk_at, inside = os.pread(file, _CHUNK_BYTES, position), position, 0
            if len(chunk) < HEADER.size:
                return
        header = header_at(chunk, inside)
        if header.length < _LENGTH_MIN or position + header.size > end:
            return
        yield position, header
        position += header.size
