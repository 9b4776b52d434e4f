"""Producers: what a partition remembers of its idempotent producers.

In        the producer id, epoch and sequence in a batch's header.
Out       append it, or the offset that the same batch has already, or a refusal.
Holds     the last five batches of each producer, as long as it has written within a day.
Promises  a batch that is sent again is not appended again.
Why       five is what Kafka remembers, and what a producer may have on its way at once.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from sandbox.broker.batch import NO_PRODUCER, BatchHeader
from sandbox.broker.codes import Code, KafkaRefusal

_SEQUENCES = 2**31
_REMEMBERED = 5
_FORGOTTEN_AFTER_MS = 86_400_000


class Appended(NamedTuple):
    """A batch of a producer that is in the log."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    timestamp_ms: int


class _Producer:
    __slots__ = ("batches", "epoch")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: deque[Appended] = deque(maxlen=_REMEMBERED)


# One row of a saved memory: producer id, epoch, and the fields of one appended batch.
Row = tuple[int, int, int, int, int, int]


class Producers:
    """The idempotent producers of one partition."""

    def __init__(self) -> None:
        self._producers: dict[int, _Producer] = {}

    def find_repeat(self, header: BatchHeader) -> Appended | None:
        """Judge a batch: None to append it, or where it was appended already.

        Raises:
            KafkaRefusal: when its epoch is over, or its sequence neither follows nor repeats.
        """
        if header.producer_id == NO_PRODUCER:
            return None
        known = self._producers.get(header.producer_id)
        if known is None:
            # Whoever is not remembered may be old rather than new: Kafka lets it go on.
            return None
        if header.producer_epoch < known.epoch:
            raise KafkaRefusal(Code.INVALID_PRODUCER_EPOCH, "a newer producer has this id")
        first = header.base_sequence
        if header.producer_epoch > known.epoch:
            if first != 0:
                raise KafkaRefusal(Code.OUT_OF_ORDER_SEQUENCE_NUMBER, "a new epoch begins at 0")
            return None
        last = _last_sequence(header)
        for batch in known.batches:
            if batch.first_sequence == first and batch.last_sequence == last:
                return batch
        expected = (known.batches[-1].last_sequence + 1) % _SEQUENCES
        if first == expected:
            return None
        if first < expected:
            raise KafkaRefusal(Code.DUPLICATE_SEQUENCE_NUMBER, "the batch is older than remembered")
        raise KafkaRefusal(
            Code.OUT_OF_ORDER_SEQUENCE_NUMBER, f"sequence {expected} comes next, not {first}"
        )

    def remember(self, header: BatchHeader) -> None:
        """Note a batch that has been appended; ``header`` has its place in the log."""
        if header.producer_id == NO_PRODUCER:
            return
        producer = self._of(header.producer_id, header.producer_epoch)
        producer.batches.append(
            Appended(
                header.base_sequence,
                _last_sequence(header),
                header.base_offset,
                header.max_timestamp,
            )
        )

    def forget_idle(self, now_ms: int) -> None:
        """Forget the producers that have written nothing for a day."""
        for producer_id, producer in list(self._producers.items()):
            if producer.batches[-1].timestamp_ms < now_ms - _FORGOTTEN_AFTER_MS:
                del self._producers[producer_id]

    def rows(self) -> list[Row]:
        """Write all that is remembered as plain rows."""
        return [
            (producer_id, producer.epoch, *batch)
            for producer_id, producer in self._producers.items()
            for batch in producer.batches
        ]

    def load(self, rows: Iterable[Row]) -> None:
        """Remember what `rows` wrote."""
        for producer_id, epoch, *batch in rows:
            self._of(producer_id, epoch).batches.append(Appended._make(batch))

    def _of(self, producer_id: int, epoch: int) -> _Producer:
        producer = self._producers.get(producer_id)
        if producer is None or producer.epoch != epoch:
            producer = self._producers[producer_id] = _Producer(epoch)
        return producer


def _last_sequence(header: BatchHeader) -> int:
    return (header.base_sequence + header.last_offset_delta) % _SEQUENCES
