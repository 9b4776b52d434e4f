"""Reading: text that a person typed into a tree, or a sentence that says what is wrong and where.

In        text such as ``mcap(BONK) >= 2B and price(SOL) > 150``.
Out       its tree; or a `Misread` with a caret under the place.
Promises  bounded in length, size and depth; any text at all gives one of the two, in bounded time.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken

from rooms.decimal_text import whole_from_text
from rooms.expression.tree import (
    HOUR_MS,
    MINUTE_MS,
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
    depth_of,
    nodes_of,
)
from rooms.refusal import Refused

TEXT_MAX: Final = 200
NODES_MAX: Final = 40
DEPTH_MAX: Final = 12
DIGITS_MAX: Final = 18
SPAN_MS_MIN: Final = MINUTE_MS
SPAN_MS_MAX: Final = 24 * HOUR_MS
COIN_MAX: Final = 16

_GRAMMAR: Final = r"""
    start: _either
    _either: either | _both
    _both: both | _negated
    _negated: negation | _compared
    _compared: comparison | _sum
    _sum: sum | _product
    _product: product | _alone
    _alone: number | call | "(" _either ")"

    either: _both (_OR _both)+
    both: _negated (_AND _negated)+
    negation: NOT _negated
    comparison: _sum COMPARED _sum
    sum: _sum (PLUS | MINUS) _product
    product: _product (TIMES | OVER) _alone
    number: MINUS? NUMBER PERCENT?
    call: NAME "(" operand ("," SPAN)? ")"
    operand: NAME ("(" NAME ")")?

    _OR.2: /or\b/i
    _AND.2: /and\b/i
    NOT.2: /not\b/i
    COMPARED: />=|<=|>|<|≥|≤/
    PLUS: "+"
    MINUS: "-" | "−" | "–"
    TIMES: "*" | "×"
    OVER: "/" | "÷"
    NUMBER.1: /\$?[0-9]+(\.[0-9]+)?([KMBTkmbt]\b)?/
    PERCENT: "%"
    SPAN: /[0-9]+ ?[A-Za-z]+/
    NAME: /[A-Za-z0-9]+/

    %ignore " "
"""

_SIGNS: Final = {"−": "-", "–": "-", "×": "*", "÷": "/", "≥": ">=", "≤": "<="}
_ZEROS: Final = {"": 0, "K": 3, "M": 6, "B": 9, "T": 12}
_SPANS_MS: Final = {"m": MINUTE_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": 24 * HOUR_MS}
_NAMES: Final = ", ".join([*Measure, *Look])

_AFTER_A_VALUE: Final = {"PLUS", "_AND", "_OR", "$END"}
"""What the grammar takes where a value or a condition is whole."""


class Misread(Refused):
    """What was typed means nothing, with the place at which it stops to."""

    def __init__(self, text: str, at: int, sentence: str) -> None:
        super().__init__("bad_expression", sentence)
        self.text = text
        self.at = min(max(at, 0), len(text))

    def pointed(self) -> str:
        """Return what was typed with a caret under the place, in two lines."""
        return f"{self.text}\n{' ' * self.at}^"


def read(text: str) -> Expression:
    """Read an expression, whatever its units.

    Raises:
        Misread: when it is none, or too large.
    """
    plain = " ".join(text.split())
    if not plain:
        raise Misread("", 0, "Write a price or a condition, such as price(SOL) / price(ETH).")
    if len(plain) > TEXT_MAX:
        raise Misread(plain[:TEXT_MAX], TEXT_MAX, f"That is longer than {TEXT_MAX} characters.")
    try:
        expression: Expression = _PARSER.parse(plain)  # type: ignore[assignment]
    except (UnexpectedCharacters, UnexpectedToken) as error:
        raise _unexpected(plain, error) from None
    except _Wrong as wrong:
        raise Misread(plain, wrong.at, wrong.sentence) from None
    if sum(1 for _ in nodes_of(expression)) > NODES_MAX:
        raise Misread(plain, 0, f"That has more than {NODES_MAX} parts: make it shorter.")
    if depth_of(expression) > DEPTH_MAX:
        raise Misread(plain, 0, f"That is nested more than {DEPTH_MAX} deep: make it simpler.")
    return expression


class _Wrong(Exception):
    """A part that is well placed and still means nothing."""

    def __init__(self, token: Token, sentence: str) -> None:
        super().__init__(sentence)
        self.at = token.start_pos or 0
        self.sentence = sentence


def _sign(token: Token) -> Sign:
    return Sign(_SIGNS.get(token.value, token.value))


def _two_sided(make: Callable[..., Any]) -> Callable[[Any, list[Any]], Any]:
    def build(_: Any, children: list[Any]) -> Any:  # noqa: ANN401 - lark's shapes
        left, sign, right = children
        return make(_sign(sign), left, right, at=sign.start_pos)

    return build


class _Tree(Transformer[Token, Expression]):
    """Make nodes as the parser finds them, so that nothing is walked twice."""

    sum = _two_sided(Arithmetic)
    product = _two_sided(Arithmetic)
    comparison = _two_sided(Comparison)

    def start(self, children: list[Expression]) -> Expression:
        return children[0]

    def either(self, children: list[Expression]) -> Either:
        return Either(tuple(children), at=children[0].at)

    def both(self, children: list[Expression]) -> Both:
        return Both(tuple(children), at=children[0].at)

    def negation(self, children: list[Any]) -> Negation:
        return Negation(children[1], at=children[0].start_pos)

    def number(self, children: list[Token]) -> Number:
        first, is_percent = children[0], children[-1].type == "PERCENT"
        typed = children[1] if first.type == "MINUS" else first
        text = typed.value.removeprefix("$")
        letter = text[-1].upper() if text[-1].isalpha() else ""
        digits, _, places = text.removesuffix(text[-1] if letter else "").partition(".")
        if len(digits) + len(places) + _ZEROS[letter] > DIGITS_MAX:
            raise _Wrong(typed, f"A number has at most {DIGITS_MAX} digits.")
        if is_percent and (letter or typed.value.startswith("$")):
            raise _Wrong(typed, "A percentage is a plain number, such as 5%.")
        scale = len(places.rstrip("0"))
        whole = whole_from_text(f"{digits}.{places}" if places else digits, scale)
        zeros = min(scale, _ZEROS[letter])
        scale, whole = scale - zeros, whole * 10 ** (_ZEROS[letter] - zeros)
        if first.type == "MINUS":
            whole = -whole
        return Number(whole, scale, is_percent, at=first.start_pos or 0)

    def operand(self, children: list[Token]) -> list[Token]:
        return children

    def call(self, children: list[Any]) -> Series | Past:
        name: Token = children[0]
        operand: list[Token] = children[1]
        span: Token | None = children[2] if len(children) > 2 else None
        called, at = name.value.lower(), name.start_pos or 0
        if called in list(Measure):
            if len(operand) > 1:
                raise _Wrong(operand[0], f"Write {called}(COIN), such as {called}(SOL).")
            if span is not None:
                raise _Wrong(span, f"{called}() is now; for the past write {', '.join(Look)}.")
            return _series(Measure(called), operand[0], at)
        if called not in list(Look):
            raise _Wrong(name, f"There is no {called[:COIN_MAX]}(); there are {_NAMES}.")
        if span is None:
            raise _Wrong(operand[-1], f"Say how far back, such as {called}(SOL, 1h).")
        of = Measure.PRICE
        if len(operand) > 1:
            measured = operand[0].value.lower()
            if measured not in list(Measure):
                raise _Wrong(operand[0], f"{called}() looks back at price(COIN) or mcap(COIN).")
            of = Measure(measured)
        series = _series(of, operand[-1], operand[0].start_pos or 0)
        return Past(Look(called), series, _span_ms(span), at=at)


def _series(measure: Measure, coin: Token, at: int) -> Series:
    if len(coin.value) > COIN_MAX:
        raise _Wrong(coin, f"A coin's name has at most {COIN_MAX} letters.")
    return Series(measure, coin.value.upper(), at=at)


def _span_ms(token: Token) -> int:
    count, unit = re.fullmatch(r"([0-9]+) ?([A-Za-z]+)", token.value).groups()  # type: ignore[union-attr]
    unit_ms = _SPANS_MS.get(unit.lower())
    span_ms = int(count) * unit_ms if unit_ms and len(count) <= 6 else 0
    if not SPAN_MS_MIN <= span_ms <= SPAN_MS_MAX:
        raise _Wrong(token, "Look back from 1m to 24h, in whole minutes, such as 15m or 24h.")
    return span_ms


def _unexpected(text: str, error: UnexpectedToken | UnexpectedCharacters) -> Misread:
    """Say what is wrong at the place where the parser could not go on."""
    if isinstance(error, UnexpectedCharacters):
        at, accepted = error.pos_in_stream or 0, set(error.allowed or ())
    else:
        accepted = set(error.accepts or error.expected)
        is_end = error.token.type == "$END"
        at = len(text) if is_end else error.token.start_pos or 0
    typed, goes_on = text[at : at + 1], bool(accepted & _AFTER_A_VALUE)
    if typed in (">", "<", "≥", "≤") and goes_on:
        return Misread(text, at, "Only two sides are compared: join comparisons by and, or.")
    if typed in ("=", "!") and goes_on:
        return Misread(text, at, "Values are compared by >, >=, < and <=: they seldom meet.")
    if typed == ")" and goes_on:
        return Misread(text, at, "No bracket is open that this could close.")
    if typed == "/" and "COMMA" in accepted:
        return Misread(text, at, "All prices are in dollars: write price(SOL).")
    return _missing(text, at, accepted)


def _missing(text: str, at: int, accepted: set[str]) -> Misread:
    """Say what can stand here, by what the parser would have taken."""
    before = re.search(r"([A-Za-z0-9]+) ?$", text[:at])
    if "NUMBER" in accepted:
        return Misread(text, at, f"A number is missing here, or one of {_NAMES}.")
    if accepted == {"LPAR"} and before:
        name, at = before[1], before.start()
        if name.lower() in [*Measure, *Look]:
            return Misread(text, at, f"Say of what: {name.lower()}(SOL …).")
        return Misread(text, at, f"For the price of a coin write price({name[:COIN_MAX]}).")
    if accepted <= {"NAME"}:
        return Misread(text, at, "The name of a coin is missing here, such as SOL.")
    if "SPAN" in accepted:
        return Misread(text, at, "How far back is missing here, such as 1h.")
    if before and before[1].isdigit() and re.match(r"[ ,]?[0-9]", text[at:]):
        return Misread(text, at, "Write a number in one piece: 97250, or 2B for two billion.")
    if "COMMA" in accepted or not accepted & _AFTER_A_VALUE:
        return Misread(text, at, "A closing bracket is missing here.")
    if at == len(text):
        return Misread(text, at, "A closing bracket is missing at the end.")
    more = "or a closing bracket" if "RPAR" in accepted else "or nothing more"
    return Misread(text, at, f"This does not go on from here: a sign, and, or; {more}.")


_PARSER: Final = Lark(_GRAMMAR, parser="lalr", transformer=_Tree(), maybe_placeholders=False)
