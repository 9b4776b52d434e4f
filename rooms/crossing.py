"""Crossing: the index price reaching a target, carrying its evidence.

Holds     the price that crossed and the last one short of the target, each with its ticks.
Promises  nobody has to look upstream to check it.
"""

from dataclasses import dataclass

from rooms.index_price import IndexPrice
from rooms.refusal import must
from rooms.room import Comparator, reached
from rooms.units import UnixMs, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Say that ``price`` reached ``target``.

    Attributes:
        before: the last index price short of the target, or None when there was none.
        price: the index price that crossed; its ``at`` says whether it lies in the watch.
    """

    room: int
    comparator: Comparator
    target: Value
    before: IndexPrice | None
    price: IndexPrice

    def __post_init__(self) -> None:
        must(reached(self.comparator, self.target, self.price.value), "a crossing is at the target")

    @property
    def source_at(self) -> UnixMs:
        """Return the earliest source time in the crossing price."""
        return min(tick.source_at for tick in self.price.ticks)
