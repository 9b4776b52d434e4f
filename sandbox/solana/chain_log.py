"""chain_log: the file that is the chain, appended and flushed before anything is answered.

In        records: genesis, landed transactions, changes of clock and rent, forks.
Out       the same records in order when the file is opened again.
Promises  a torn tail is cut off; damage before the tail is refused, never skipped; one writer.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from sandbox.solana.blocks import Era

_FRAME = 8  # bytes: length and checksum, 4 each
_RECORD_BYTES_MAX = 16_000_000


class Genesis(msgspec.Struct, tag="genesis", array_like=True, frozen=True):
    """What the chain was made with."""

    secret: bytes
    at_ms: int
    slot_ms: int
    skip_one_in: int
    lamports_per_byte: int
    faucet_lamports: int
    first_slot: int


class Landing(msgspec.Struct, tag="landing", array_like=True, frozen=True):
    """A transaction that is in the block of this slot, with or without an error."""

    slot: int
    raw: bytes


class ClockChange(msgspec.Struct, tag="clock", array_like=True, frozen=True):
    """The clock goes on in another way."""

    slot: int
    at_ms: int
    slot_ms: int
    running: bool

    def era(self) -> Era:
        """Return the era this change begins."""
        return Era(self.slot, self.at_ms, self.slot_ms, self.running)


class RentChange(msgspec.Struct, tag="rent", array_like=True, frozen=True):
    """Rent costs this from now on."""

    lamports_per_byte: int


class Fork(msgspec.Struct, tag="fork", array_like=True, frozen=True):
    """The chain went another way from a slot to its head; these transactions are not in it.

    When only single transactions vanished, ``from_slot`` is past the head: no block was made anew.
    """

    from_slot: int
    head_slot: int
    vanished: list[str]


Record = Genesis | Landing | ClockChange | RentChange | Fork


class ChainLog:
    """Keep the chain's records in a file, or nowhere when there is no folder."""

    def __init__(self, data_dir: Path | None) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._file: int | None = None
        self._head: int | None = None
        self._size = 0
        self.path: Path | None = None
        if data_dir is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
            self.path = data_dir / "chain.log"
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as busy:
                os.close(self._file)
                raise OSError(
                    f"the sandbox chain in {data_dir} is already running; stop it first"
                ) from busy
            self._head = os.open(data_dir / "head", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        """Hold the file open."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the file."""
        for descriptor in (self._file, self._head):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._head = None

    def records(self) -> Iterator[Record]:
        """Read what is there, and cut off a record whose writing was interrupted.

        Raises:
            ValueError: when a record before the last one is damaged.
        """
        if self._file is None or self.path is None:
            return
        decoder = msgspec.msgpack.Decoder(Record)
        whole = self.path.read_bytes()
        place = 0
        while place < len(whole):
            length = int.from_bytes(whole[place : place + 4], "little")
            end = place + _FRAME + length
            body = whole[place + _FRAME : end]
            checksum = int.from_bytes(whole[place + 4 : place + _FRAME], "little")
            if len(whole) - place < _FRAME or (length <= _RECORD_BYTES_MAX and end > len(whole)):
                break
            if length == 0 and not any(whole[place:]):
                # A file system may have kept the new length and not yet the bytes.
                break
            if zlib.crc32(body) != checksum:
                if end == len(whole):
                    break
                raise ValueError(f"{self.path} is damaged at byte {place}")
            yield decoder.decode(body)
            place = end
        os.ftruncate(self._file, place)
        os.lseek(self._file, place, os.SEEK_SET)
        self._size = place

    def append(self, record: Record) -> None:
        """Write one record through to the operating system.

        Raises:
            OSError: when the disk refuses; the file is then as it was.
        """
        if self._file is None:
            return
        body = self._encoder.encode(record)
        frame = len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body
        try:
            written = os.write(self._file, frame)
            if written != len(frame):
                raise OSError("the disk took only part of a record")
        except OSError:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(frame)

    def keep_head(self, now_ms: int) -> None:
        """Remember how far the wall clock was, in place, so that no restart goes behind it."""
        if self._head is not None:
            os.pwrite(self._head, now_ms.to_bytes(8, "little"), 0)

    def head_ms(self) -> int:
        """Return the wall time last kept, or 0."""
        if self._head is None:
            return 0
        return int.from_bytes(os.pread(self._head, 8, 0), "little")
