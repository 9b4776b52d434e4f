"""Reckoning: the value of an expression from the values that it is made of.

In        a tree; what each of its leaves is now, as a whole number over a whole number.
Out       the same of the whole; true or false; or nothing, where something is divided by nothing.
Promises  exact: no rounding, no float, no order of steps that matters; the one rounding is at the
          end, down to the feed's scale; true is 1 and false is 0.
Why       a comparison of exact values cannot be bent by a rounding that somebody chose.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rooms.expression.tree import (
    Arithmetic,
    Both,
    Comparison,
    Either,
    Expression,
    Leaf,
    Negation,
    Number,
    Past,
    Series,
    Sign,
)
from rooms.units import Value

VALUE_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Exact:
    """A value: ``over`` is above nothing. It is not brought to its lowest terms."""

    whole: int
    over: int = 1

    def __post_init__(self) -> None:
        assert self.over > 0, "a value is over something"


class NoValueError(ArithmeticError):
    """Something is divided by nothing."""


def reckon(expression: Expression, leaves: Mapping[Leaf, Exact]) -> Exact:
    """Reckon an expression; a condition gives 1 or 0.

    All of it is reckoned, whatever is known after a part, so that its order does not matter.

    Raises:
        NoValueError: when something is divided by nothing.
    """
    match expression:
        case Number(whole, scale, is_percent):
            return Exact(whole, 10 ** (scale + 2 * is_percent))
        case Series() | Past():
            return leaves[expression]
        case Arithmetic(sign, left, right):
            return _joined(sign, reckon(left, leaves), reckon(right, leaves))
        case Comparison(sign, left, right):
            return _truth(_holds(sign, reckon(left, leaves), reckon(right, leaves)))
        case Both(parts):
            return min((reckon(part, leaves) for part in parts), key=_whole)
        case Either(parts):
            return max((reckon(part, leaves) for part in parts), key=_whole)
        case Negation(part):
            return _truth(not reckon(part, leaves).whole)


def value_at_scale(exact: Exact, scale: int) -> Value | None:
    """Round down to whole ``10**-scale``; None when that is no value that a feed can have."""
    whole = exact.whole * 10**scale // exact.over
    return Value(whole) if 0 <= whole <= VALUE_MAX else None


def _joined(sign: Sign, left: Exact, right: Exact) -> Exact:
    match sign:
        case Sign.PLUS:
            return Exact(left.whole * right.over + right.whole * left.over, left.over * right.over)
        case Sign.MINUS:
            return Exact(left.whole * right.over - right.whole * left.over, left.over * right.over)
        case Sign.TIMES:
            return Exact(left.whole * right.whole, left.over * right.over)
        case _:
            if right.whole == 0:
                raise NoValueError("divided by nothing")
            turn = 1 if right.whole > 0 else -1
            return Exact(turn * left.whole * right.over, turn * left.over * right.whole)


def _holds(sign: Sign, left: Exact, right: Exact) -> bool:
    difference = left.whole * right.over - right.whole * left.over
    match sign:
        case Sign.ABOVE:
            return difference > 0
        case Sign.AT_LEAST:
            return difference >= 0
        case Sign.BELOW:
            return difference < 0
        case _:
            return difference <= 0


def _whole(exact: Exact) -> int:
    return exact.whole


def _truth(holds: bool) -> Exact:  # noqa: FBT001 - it is the whole of it
    return Exact(int(holds))
