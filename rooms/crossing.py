"""Crossing: the index price reaching a target, carrying its evidence.

Holds     the last price short of the target, and those from there to the one that decided, each
          with the tick of every source and the reason for each that was left out.
Promises  nobody has to look upstream to check it.
"""

from collections.abc import Collection, Sequence
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
        began: the index price that began a hold; None where the first touch decides.
        between: index prices of the hold: of every second the lowest and the highest.
        price: the index price that decided; its ``at`` says whether it lies in the watch.
    """

    room: int
    comparator: Comparator
    target: Value
    before: IndexPrice | None
    began: IndexPrice | None = None
    between: tuple[IndexPrice, ...] = ()
    price: IndexPrice

    def __post_init__(self) -> None:
        through = (self.began or self.price, *self.between, self.price)
        must(
            all(reached(self.comparator, self.target, each.value) for each in through),
            "a crossing is at the target from its beginning to its end",
        )

    @property
    def source_at(self) -> UnixMs:
        """Return the earliest source time in the price that touched."""
        return (self.began or self.price).source_at


def thinned(prices: Sequence[IndexPrice], starts: Collection[int]) -> list[int]:
    """Return the places to keep: the lowest and the highest price of every second.

    Args:
        prices: in order.
        starts: places that stay, with the one before each; every one begins a second of its own.
    """
    stay = {place for start in starts for place in (start - 1, start) if place >= 0}
    extremes: dict[tuple[int, int], tuple[int, int]] = {}
    began = 0
    for place, price in enumerate(prices):
        began += place in starts
        key = price.at // 1000, began
        low, high = extremes.get(key, (place, place))
        low = place if price.value < prices[low].value else low
        high = place if price.value > prices[high].value else high
        extremes[key] = low, high
        began += place in starts
    return sorted(stay.union(*extremes.values()))
