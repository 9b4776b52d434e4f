"""Units: what an expression counts, and where it counts what cannot be counted together.

In        a tree, and the text that it was read from.
Out       whether it is a value or a condition, and of what unit; or a `Misread` at the place.
Promises  a price is never added to a market cap; a percentage meets only percentages; a bare number
          takes the unit of what it stands beside.
"""

from enum import StrEnum

from rooms.expression.reading import Misread
from rooms.expression.tree import (
    Arithmetic,
    Both,
    Comparison,
    Either,
    Expression,
    Look,
    Measure,
    Negation,
    Number,
    Past,
    Series,
    Sign,
)


class Unit(StrEnum):
    """Say what a value counts, in words for people."""

    PRICE = "a price"
    MARKET_CAP = "a market cap"
    PERCENT = "a percentage"
    RATIO = "a ratio"
    BARE = "a bare number"
    """As typed: it takes the unit of the other side."""
    TRUTH = "a condition"


_OF_MEASURE = {Measure.PRICE: Unit.PRICE, Measure.MARKET_CAP: Unit.MARKET_CAP}
_PLAIN = (Unit.BARE, Unit.RATIO)


def unit_of(expression: Expression, text: str) -> Unit:
    """Return the unit of an expression.

    Args:
        expression: what was read.
        text: from what, for the caret.

    Raises:
        Misread: where two units do not go together.
    """

    def wrong(at: int, sentence: str) -> Misread:
        return Misread(" ".join(text.split()), at, sentence)

    def judge(node: Expression) -> Unit:
        match node:
            case Number(is_percent=is_percent):
                return Unit.PERCENT if is_percent else Unit.BARE
            case Series(measure=measure):
                return _OF_MEASURE[measure]
            case Past(look=look, series=series):
                return Unit.PERCENT if look is Look.CHANGE else _OF_MEASURE[series.measure]
            case Arithmetic():
                return judge_arithmetic(node)
            case Comparison():
                return judge_comparison(node)
            case Both(parts) | Either(parts):
                for part in parts:
                    must_be_condition(part)
            case Negation(part):
                must_be_condition(part)
        return Unit.TRUTH

    def must_be_condition(part: Expression) -> None:
        found = judge(part)
        if found is not Unit.TRUTH:
            raise wrong(part.at, f"This is {found}, not a condition: compare it with something.")

    def judge_value(part: Expression) -> Unit:
        found = judge(part)
        if found is Unit.TRUTH:
            raise wrong(part.at, "A condition is true or false: it cannot be reckoned with.")
        return found

    def judge_arithmetic(node: Arithmetic) -> Unit:
        left, right = judge_value(node.left), judge_value(node.right)
        if isinstance(node.left, Number) and isinstance(node.right, Number):
            raise wrong(node.at, "Both sides are plain numbers: write the result.")
        found = made_of(node.sign, left, right)
        if found is None:
            raise wrong(node.at, _why_not(node.sign, left, right))
        return found

    def judge_comparison(node: Comparison) -> Unit:
        left, right = judge_value(node.left), judge_value(node.right)
        if isinstance(node.left, Number) and isinstance(node.right, Number):
            raise wrong(node.at, "Both sides are plain numbers: there is nothing to wait for.")
        if node.left == node.right:
            raise wrong(node.at, "Both sides are the same: there is nothing to wait for.")
        units = {left, right}
        if Unit.PERCENT in units and units != {Unit.PERCENT}:
            if Unit.BARE in units:
                raise wrong(node.at, "A percentage is compared with a percentage, such as 5%.")
            raise wrong(node.at, "A percentage is compared only with a percentage.")
        if len(units) == 2 and Unit.BARE not in units:
            raise wrong(node.at, f"{_capital(left)} cannot be compared with {right}.")
        return Unit.TRUTH

    return judge(expression)


def made_of(sign: Sign, left: Unit, right: Unit) -> Unit | None:
    """Return the unit of two sides made into one value, or None when they cannot be."""
    if sign in (Sign.PLUS, Sign.MINUS):
        if left is right:
            return left
        units = {left, right}
        if Unit.BARE in units and Unit.PERCENT not in units:
            return (units - {Unit.BARE}).pop()
        return None
    if sign is Sign.OVER:
        if left is right:
            return Unit.RATIO
        if right in _PLAIN:
            return Unit.RATIO if left is Unit.BARE else left
        return None
    for factor, other in ((left, right), (right, left)):
        if factor in _PLAIN or (factor is Unit.PERCENT and other is not Unit.PERCENT):
            return Unit.RATIO if other is Unit.BARE else other
    return None


def _why_not(sign: Sign, left: Unit, right: Unit) -> str:
    match sign:
        case Sign.PLUS | Sign.MINUS:
            done = "added to" if sign is Sign.PLUS else "taken from"
            first, second = (left, right) if sign is Sign.PLUS else (right, left)
            hint = ""
            if {left, right} == {Unit.PERCENT, Unit.BARE}:
                hint = " Write it with %."
            elif Unit.PERCENT in (left, right):
                hint = " For 5% more, multiply by 105%."
            return f"{_capital(first)} cannot be {done} {second}.{hint}"
        case Sign.OVER:
            return f"{_capital(left)} cannot be divided by {right}."
        case _:
            return f"{_capital(left)} times {right} means nothing here."


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
