"""Conversion: one source's value made another feed's, in whole numbers.

In        a value at its scale; the index price of a rate or of a supply at theirs.
Out       the value at the feed's scale, rounded down; whether a coin still holds its peg.
Promises  one multiplication and one division of whole numbers: nothing is rounded on the way.
Why       a venue that trades for a dollar coin does not say dollars: when the coin loses its peg,
          the venue's prices mean something else, and are dropped instead of converted.
"""

from collections.abc import Iterable
from typing import Final

from rooms.units import BPS_WHOLE, Bps

READ_SCALE: Final = 18
"""What will be converted is read at this scale, so that no digit of it is lost before."""

PEG_BPS_MAX: Final = Bps(50)
"""A dollar coin further from a dollar than this has lost its peg."""

PEGGED: Final = frozenset({"USDT", "USDC"})
"""The coins that promise to be a dollar."""


def product_at(scale: int, factors: Iterable[tuple[int, int]]) -> int:
    """Multiply values, each with its scale, into one value at ``scale``, rounded down."""
    product, places = 1, -scale
    for value, its_scale in factors:
        product *= value
        places += its_scale
    part: int = 10 ** abs(places)
    return product // part if places >= 0 else product * part


def holds_peg(rate: int, scale: int) -> bool:
    """Say whether a dollar coin's price in dollars is near enough to one."""
    dollar: int = 10**scale
    return abs(rate - dollar) * BPS_WHOLE <= dollar * PEG_BPS_MAX
