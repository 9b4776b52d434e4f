"""Tree: what an expression is made of, and how it is written.

Out       the text of a tree, with no more brackets than it needs; reading it gives the tree again.
Holds     numbers, series, looks back at a series, arithmetic, comparisons, and, or, not.
Promises  two trees are equal when they say the same in the same order, wherever they stood.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from rooms.decimal_text import text_from_whole

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000


class Measure(StrEnum):
    """Say what of a coin a series is."""

    PRICE = "price"
    """Dollars for one."""
    MARKET_CAP = "mcap"
    """Dollars for all."""


class Look(StrEnum):
    """Say what is asked of a series' past."""

    CHANGE = "change"
    """From the value then to the value now, as a percentage of the value then."""
    HIGH = "high"
    LOW = "low"
    AVERAGE = "average"


class Sign(StrEnum):
    """Name what stands between two sides."""

    PLUS = "+"
    MINUS = "-"
    TIMES = "*"
    OVER = "/"
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was typed: ``whole`` of ``10**-scale``, with no zeros at its end.

    Attributes:
        is_percent: ``5%`` is not 5.
        at: the column at which it stood; the same in every node.
    """

    whole: int
    scale: int = 0
    is_percent: bool = False
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Series:
    """A plain feed, as an expression names it."""

    measure: Measure
    coin: str
    at: int = field(default=0, compare=False)

    @property
    def feed(self) -> str:
        """Return the feed's name."""
        return f"{self.coin}/USD" if self.measure is Measure.PRICE else f"mcap:{self.coin}"


@dataclass(frozen=True, slots=True)
class Past:
    """A look back at a series over the last ``span_ms``."""

    look: Look
    series: Series
    span_ms: int
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two sides made into one value."""

    sign: Sign
    left: "Expression"
    right: "Expression"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides compared, which is true or false."""

    sign: Sign
    left: "Expression"
    right: "Expression"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Both:
    """True when every part is; there are two at least."""

    parts: tuple["Expression", ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Either:
    """True when any part is; there are two at least."""

    parts: tuple["Expression", ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Negation:
    """True when its part is not."""

    part: "Expression"
    at: int = field(default=0, compare=False)


Leaf = Series | Past
Expression = Number | Series | Past | Arithmetic | Comparison | Both | Either | Negation


class _Strength(IntEnum):
    """How tightly a node holds its parts: a weaker one inside needs brackets."""

    EITHER = 0
    BOTH = 1
    NEGATION = 2
    COMPARISON = 3
    SUM = 4
    PRODUCT = 5
    ALONE = 6


_LARGE: Final = ((12, "T"), (9, "B"), (6, "M"))
_LARGE_PLACES_MAX: Final = 3


def text_of(expression: Expression) -> str:
    """Write an expression."""
    match expression:
        case Number():
            return _number(expression)
        case Series(measure, coin):
            return f"{measure}({coin})"
        case Past(look, series, span_ms):
            of = series.coin if series.measure is Measure.PRICE else text_of(series)
            return f"{look}({of}, {span_text(span_ms)})"
        case Arithmetic(sign, left, right):
            own = _strength(expression)
            # Signs of one strength are read from the left: on the right they need brackets.
            return f"{_inside(left, own)} {sign} {_inside(right, _Strength(own + 1))}"
        case Comparison(sign, left, right):
            return f"{_inside(left, _Strength.SUM)} {sign} {_inside(right, _Strength.SUM)}"
        case Both(parts):
            return " and ".join(_inside(part, _Strength.NEGATION) for part in parts)
        case Either(parts):
            return " or ".join(_inside(part, _Strength.BOTH) for part in parts)
        case Negation(part):
            return f"not {_inside(part, _Strength.NEGATION)}"


def span_text(span_ms: int) -> str:
    """Write a length of time: whole hours, or else whole minutes."""
    hours, rest = divmod(span_ms, HOUR_MS)
    return f"{span_ms // MINUTE_MS}m" if rest else f"{hours}h"


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """Return the nodes directly inside one."""
    match expression:
        case Number() | Series():
            return ()
        case Past(series=series):
            return (series,)
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            return (left, right)
        case Both(parts) | Either(parts):
            return parts
        case Negation(part):
            return (part,)


def nodes_of(expression: Expression) -> Iterator[Expression]:
    """Give a node and all inside it, each before its parts."""
    yield expression
    for part in parts_of(expression):
        yield from nodes_of(part)


def leaves_of(expression: Expression) -> tuple[Leaf, ...]:
    """Return what must be known to reckon an expression, each once, in the order of its text."""
    found: dict[Leaf, None] = {}

    def look(node: Expression) -> None:
        match node:
            case Series() | Past():
                found[node] = None
            case _:
                for part in parts_of(node):
                    look(part)

    look(expression)
    return tuple(sorted(found, key=text_of))


def feeds_of(expression: Expression) -> tuple[str, ...]:
    """Return the feeds that an expression is made of, each once, sorted."""
    return tuple(sorted({node.feed for node in nodes_of(expression) if isinstance(node, Series)}))


def depth_of(expression: Expression) -> int:
    """Return how many nodes lie above each other."""
    return 1 + max((depth_of(part) for part in parts_of(expression)), default=0)


def _strength(expression: Expression) -> _Strength:
    match expression:
        case Either():
            return _Strength.EITHER
        case Both():
            return _Strength.BOTH
        case Negation():
            return _Strength.NEGATION
        case Comparison():
            return _Strength.COMPARISON
        case Arithmetic(sign=Sign.PLUS | Sign.MINUS):
            return _Strength.SUM
        case Arithmetic():
            return _Strength.PRODUCT
        case _:
            return _Strength.ALONE


def _inside(expression: Expression, least: _Strength) -> str:
    text = text_of(expression)
    return text if _strength(expression) >= least else f"({text})"


def _number(number: Number) -> str:
    percent = "%" if number.is_percent else ""
    if not number.is_percent:
        for zeros, letter in _LARGE:
            places = number.scale + zeros
            if abs(number.whole) >= 10**places:
                text = text_from_whole(number.whole, places)
                if len(text.partition(".")[2]) <= _LARGE_PLACES_MAX:
                    return text + letter
    return text_from_whole(number.whole, number.scale) + percent
