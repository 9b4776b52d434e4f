"""Form: an expression as it is always written, so that the same meaning is the same feed.

In        a tree of any form.
Out       the tree in its one form; its text; the name of the feed that it is.
Promises  order, blanks, brackets, `not`, and which side a number stands on make no other feed; the
          form of a form is itself; both give the same value on the same inputs, silence too.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from rooms.expression.reading import DEPTH_MAX, TEXT_MAX, Misread, read
from rooms.expression.tree import (
    Arithmetic,
    Both,
    Comparison,
    Either,
    Expression,
    Negation,
    Number,
    Sign,
    depth_of,
    feeds_of,
    leaves_of,
    nodes_of,
    text_of,
)
from rooms.expression.units import Unit, made_of, unit_of

PREFIX: Final = "expr:"
NAME_DIGITS: Final = 32
FEEDS_MAX: Final = 5
LEAVES_MAX: Final = 8

_Member = tuple[Sign, str, Expression]
"""What is added or taken away, or multiplied or divided by: its sign, its text, itself."""

_TURNED: Final = {
    Sign.ABOVE: Sign.BELOW,
    Sign.AT_LEAST: Sign.AT_MOST,
    Sign.BELOW: Sign.ABOVE,
    Sign.AT_MOST: Sign.AT_LEAST,
}
"""What a comparison becomes when its sides change places."""

_DENIED: Final = {
    Sign.ABOVE: Sign.AT_MOST,
    Sign.AT_LEAST: Sign.BELOW,
    Sign.BELOW: Sign.AT_LEAST,
    Sign.AT_MOST: Sign.ABOVE,
}
"""What a comparison becomes under `not`."""


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression that makes sense, in its one form.

    Attributes:
        text: that form, written.
        unit: what it counts; `Unit.TRUTH` for a condition.
    """

    tree: Expression
    text: str
    unit: Unit

    @property
    def name(self) -> str:
        """Return the name of the feed that this is."""
        return name_of(self.text)

    @property
    def feeds(self) -> tuple[str, ...]:
        """Return the feeds that it is made of."""
        return feeds_of(self.tree)

    @property
    def is_condition(self) -> bool:
        """Say whether it is true or false, rather than a value."""
        return self.unit is Unit.TRUTH


def formula(text: str) -> Formula:
    """Read what somebody typed, whatever its form.

    Raises:
        Misread: when it cannot be a feed, with the place and what to do.
    """
    typed = read(text)
    plain = " ".join(text.split())
    unit = unit_of(typed, text)
    if not feeds_of(typed):
        raise Misread(plain, 0, "There is no feed in this: name one, such as price(SOL).")
    if unit is Unit.PERCENT:
        raise Misread(
            plain, 0, "A percentage alone is no feed: compare it, such as change(SOL, 1h) >= 5%."
        )
    if len(feeds_of(typed)) > FEEDS_MAX:
        raise Misread(plain, 0, f"At most {FEEDS_MAX} feeds go into one expression.")
    if len(leaves_of(typed)) > LEAVES_MAX:
        raise Misread(plain, 0, f"At most {LEAVES_MAX} prices and looks back go into one.")
    tree = formed(typed)
    written = text_of(tree)
    if len(written) > TEXT_MAX or depth_of(tree) > DEPTH_MAX:
        raise Misread(plain, 0, f"Written out it is too long: {written}")
    return Formula(tree, written, unit)


def new_formula(text: str) -> Formula:
    """Read what somebody typed for a new feed: one that never has a value is refused, too.

    Raises:
        Misread: when it cannot be a feed, with the place and what to do.
    """
    found = formula(text)
    for node in nodes_of(read(text)):
        if not (isinstance(node, Arithmetic) and node.sign is Sign.OVER):
            continue
        if isinstance(node.right, Number) and node.right.whole == 0:
            at = node.right.at
            raise Misread(" ".join(text.split()), at, "Nothing can be divided by 0.")
    return found


def name_of(text: str) -> str:
    """Return the name of the feed that a formed text is: the same text, the same name."""
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:NAME_DIGITS]


def formed(expression: Expression, *, denied: bool = False) -> Expression:
    """Return an expression in its one form.

    Args:
        expression: of any form.
        denied: return the form of its negation.
    """
    match expression:
        case Negation(part):
            return formed(part, denied=not denied)
        case Both(parts):
            return _joined(Either if denied else Both, parts, denied=denied)
        case Either(parts):
            return _joined(Both if denied else Either, parts, denied=denied)
        case Comparison():
            return _compared(expression, denied=denied)
        case Arithmetic(sign=Sign.PLUS | Sign.MINUS):
            return _chain(expression, Sign.PLUS, Sign.MINUS)
        case Arithmetic():
            return _chain(expression, Sign.TIMES, Sign.OVER)
        case _:
            return expression


def _joined(
    kind: type[Both] | type[Either], parts: tuple[Expression, ...], *, denied: bool
) -> Expression:
    found: dict[str, Expression] = {}
    for part in parts:
        inner = formed(part, denied=denied)
        for each in inner.parts if isinstance(inner, kind) else (inner,):
            found[text_of(each)] = each
    ordered = tuple(found[text] for text in sorted(found))
    return ordered[0] if len(ordered) == 1 else kind(ordered)


def _compared(comparison: Comparison, *, denied: bool) -> Comparison:
    sign = _DENIED[comparison.sign] if denied else comparison.sign
    left, right = formed(comparison.left), formed(comparison.right)
    is_number = isinstance(left, Number), isinstance(right, Number)
    turns = is_number[0] if is_number[0] != is_number[1] else text_of(left) > text_of(right)
    return Comparison(_TURNED[sign], right, left) if turns else Comparison(sign, left, right)


def _chain(expression: Arithmetic, forward: Sign, back: Sign) -> Expression:
    """Sort what is added and what is taken away, or multiplied and divided by.

    What stands right of a division is divided by as a whole: were ``a / (b / c)`` made
    ``a * c / b``, it would have a value where ``c`` is nothing.
    """
    found: list[_Member] = []

    def take(node: Expression, sign: Sign) -> None:
        opens = isinstance(node, Arithmetic) and node.sign in (forward, back)
        if not opens or sign is Sign.OVER:
            inner = formed(node)
            found.append((sign, text_of(inner), inner))
            return
        assert isinstance(node, Arithmetic), "only arithmetic opens"
        take(node.left, sign)
        other = back if sign is forward else forward
        take(node.right, other if node.sign is back else sign)

    take(expression, forward)
    found.sort(key=lambda each: (each[0] is back, each[1]))
    for first in found:
        if first[0] is forward:
            chained = _chained(first, [each for each in found if each is not first])
            if chained is not None:
                return chained
    return Arithmetic(expression.sign, formed(expression.left), formed(expression.right))


def _chained(first: _Member, rest: list[_Member]) -> Expression | None:
    """Join members in their order, each as soon as its unit goes with those before."""
    tree, unit = first[2], unit_of(first[2], first[1])
    while rest:
        for member in rest:
            sign, text, node = member
            met = made_of(sign, unit, unit_of(node, text))
            both_typed = isinstance(tree, Number) and isinstance(node, Number)
            if met is not None and not both_typed:
                break
        else:
            return None
        tree, unit = Arithmetic(sign, tree, node), met
        rest = [each for each in rest if each is not member]
    return tree
