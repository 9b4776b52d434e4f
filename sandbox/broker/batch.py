"""Batch: the header of a Kafka record batch, checked and stamped.

In        the bytes of one version 2 batch as a producer sent them; records stay as they are.
Out       the header by name; the same batch with its offset and, if asked, the append time.
Promises  a compressed batch is never opened to be stored or served.
Why       the layout is https://kafka.apache.org/documentation/#recordbatch; its checksum does not
          cover the offset, so an offset costs no checksum and an append time costs one.
"""

import struct
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c

from sandbox.broker.codes import Code, KafkaRefusal

HEADER = struct.Struct(">qiibIhiqqqhii")
LENGTH_PREFIX_BYTES = 12
NO_PRODUCER = -1
MAGIC = 2

_PREFIX = struct.Struct(">qii")
_PREFIX_AND_CRC = struct.Struct(">qiibI")
_STAMPED = struct.Struct(">hiqq")
_ATTRIBUTES_AT = 21
_PRODUCER_AT = 43
_LOG_APPEND_TIME = 0x08
_TRANSACTION_OR_CONTROL = 0x30
# A producer's clock may be ahead by this much; beyond it, age could never remove the batch.
_FUTURE_MS_MAX = 3_600_000


class BatchHeader(NamedTuple):
    """The fields of a version 2 record batch, in their order on the wire."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Count the bytes of the whole batch."""
        return self.length + LENGTH_PREFIX_BYTES

    @property
    def next_offset(self) -> int:
        """Name the offset after the batch's last record."""
        return self.base_offset + self.last_offset_delta + 1


def header_at(buffer: bytes, position: int) -> BatchHeader:
    """Read the header that begins at a position of a buffer."""
    return BatchHeader._make(HEADER.unpack_from(buffer, position))


def crc_holds(batch: bytes, header: BatchHeader) -> bool:
    """Say whether the batch's checksum fits its bytes."""
    return calc_crc32c(batch[_ATTRIBUTES_AT:]) == header.crc


def checked(batch: bytes | None, *, bytes_max: int) -> BatchHeader:
    """Read the header of a batch that a producer sent.

    Raises:
        KafkaRefusal: when it is not exactly one sound batch of at most ``bytes_max`` bytes.
    """
    if batch is None or len(batch) < HEADER.size:
        raise KafkaRefusal(Code.CORRUPT_MESSAGE, "the batch is shorter than its header")
    header = header_at(batch, 0)
    if header.magic != MAGIC:
        raise KafkaRefusal(
            Code.UNSUPPORTED_FOR_MESSAGE_FORMAT, "only record batches of version 2 are taken"
        )
    if header.size != len(batch):
        raise KafkaRefusal(Code.CORRUPT_MESSAGE, "a partition is sent exactly one batch a request")
    if len(batch) > bytes_max:
        raise KafkaRefusal(Code.MESSAGE_TOO_LARGE, f"a batch has at most {bytes_max} bytes")
    if header.record_count < 1 or header.last_offset_delta != header.record_count - 1:
        raise KafkaRefusal(Code.CORRUPT_MESSAGE, "a batch counts its records")
    if header.attributes & _TRANSACTION_OR_CONTROL:
        raise KafkaRefusal(Code.CORRUPT_MESSAGE, "transactions are not spoken here")
    if not crc_holds(batch, header):
        raise KafkaRefusal(Code.CORRUPT_MESSAGE, "the checksum does not fit the batch")
    return header


def refuse_future(header: BatchHeader, now_ms: int) -> None:
    """Refuse a batch from more than an hour ahead of our clock.

    Raises:
        KafkaRefusal: when it is.
    """
    if header.max_timestamp > now_ms + _FUTURE_MS_MAX:
        raise KafkaRefusal(Code.INVALID_TIMESTAMP, "the batch is from more than an hour ahead")


def with_offset(batch: bytes, header: BatchHeader, base_offset: int) -> bytes:
    """Give a batch its place in the log."""
    return _PREFIX.pack(base_offset, header.length, 0) + batch[_PREFIX.size :]


def with_append_time(
    batch: bytes, header: BatchHeader, base_offset: int, append_time_ms: int
) -> bytes:
    """Give a batch its place in the log, and one time for all its records: that of the append."""
    body = (
        _STAMPED.pack(
            header.attributes | _LOG_APPEND_TIME,
            header.last_offset_delta,
            header.first_timestamp,
            append_time_ms,
        )
        + batch[_PRODUCER_AT:]
    )
    crc = calc_crc32c(body)
    return _PREFIX_AND_CRC.pack(base_offset, header.length, 0, MAGIC, crc) + body


def first_record_since(batch: bytes, timestamp_ms: int) -> tuple[int, int] | None:
    """Find the first record at or after a time, as (offset, timestamp); opens the batch."""
    for record in DefaultRecordBatch(batch):
        if record.timestamp >= timestamp_ms:
            return record.offset, record.timestamp
    return None
