"""blocks: which slots have a block, how high it is, when it came and what its hash is.

In        the genesis secret and the eras of the chain's clock; a wall time in milliseconds.
Out       slots, heights, times and blockhashes, all computed, none stored.
Promises  an idle chain costs nothing; heights and times never go back; height is not slot.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from solders.hash import Hash


@dataclass(frozen=True, slots=True)
class Era:
    """Say how the clock ran from one slot on: its slot length, or standing still."""

    slot: int
    at_ms: int
    slot_ms: int
    running: bool = True


@dataclass(frozen=True, slots=True)
class Blocks:
    """Know which slots were skipped: one in every group of ``skip_one_in``, in no regular order."""

    secret: bytes
    skip_one_in: int

    def is_block(self, slot: int) -> bool:
        """Say whether a leader made a block in this slot."""
        return not self.skip_one_in or slot % self.skip_one_in != self._skipped(slot)

    def height(self, slot: int) -> int:
        """Count the blocks below the newest one at or before this slot."""
        if not self.skip_one_in:
            return slot
        group, place = divmod(slot, self.skip_one_in)
        return group * (self.skip_one_in - 1) + place - (place >= self._skipped(slot))

    def slot_of(self, height: int) -> int:
        """Find the slot of the block at this height."""
        if not self.skip_one_in:
            return height
        group, place = divmod(height, self.skip_one_in - 1)
        first = group * self.skip_one_in
        return first + place + (place >= self._skipped(first))

    def newest(self, slot: int) -> int:
        """Find the newest slot with a block at or before this one."""
        return self.slot_of(self.height(slot))

    def blockhash(self, slot: int, branch: int) -> Hash:
        """Derive the hash of the block in this slot, as this branch of the chain made it."""
        text = b"block" + self.secret + slot.to_bytes(8, "little") + branch.to_bytes(4, "little")
        return Hash(hashlib.sha256(text).digest())

    def _skipped(self, slot: int) -> int:
        group = slot // self.skip_one_in
        # Never the first of a group, so that slot 0 has a block and no two skips meet.
        mixed = (group * 2_654_435_761 + self.secret[0]) >> 5
        return 1 + mixed % (self.skip_one_in - 1)


class SlotClock:
    """Turn wall time into slots and slots into the time of their blocks."""

    def __init__(self, first: Era) -> None:
        self._eras = [first]

    @property
    def era(self) -> Era:
        """Return the era in force."""
        return self._eras[-1]

    def begin(self, era: Era) -> None:
        """Go on under another era, which begins with a slot of its own."""
        assert era.slot > self.era.slot, "a clock only goes on"
        assert era.at_ms >= self.era.at_ms, "a clock only goes on"
        self._eras.append(era)

    def slot_at(self, now_ms: int) -> int:
        """Find the slot of a wall time."""
        era = self.era
        if not era.running:
            return era.slot
        return era.slot + max(0, now_ms - era.at_ms) // era.slot_ms

    def time_of(self, slot: int) -> int:
        """Find when a slot began, in milliseconds."""
        place = bisect_right(self._eras, slot, key=_first_slot) - 1
        era = self._eras[max(place, 0)]
        began = era.at_ms + (slot - era.slot) * era.slot_ms
        after: Sequence[Era] = self._eras[place + 1 : place + 2]
        return min(began, after[0].at_ms) if after else began


def _first_slot(era: Era) -> int:
    return era.slot
