"""Shapes: what a request must look like, written so that a person can read it beside a document.

A shape is a value that must be just so; or a `Word`, that must pass a check; or a list or an object
of shapes. In an object a name that ends in ``?`` may be left out, and no other name may be there.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Word:
    """A value of a kind, such as an address."""

    name: str
    is_one: Callable[[Any], object]

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Many:
    """From so many to so many values of a shape."""

    shape: Any
    least: int
    most: int


def text(name: str, pattern: str) -> Word:
    """Give a kind of text."""
    return Word(name, lambda value: isinstance(value, str) and re.fullmatch(pattern, value))


def whole(name: str, least: int, most: int = 2**63 - 1) -> Word:
    """Give a kind of whole number."""
    return Word(name, lambda value: type(value) is int and least <= value <= most)


def one_of(*values: str) -> Word:
    """Give a word out of a few."""
    return Word(" | ".join(values), lambda value: value in values)


ADDRESS = text("ADDRESS", r"[1-9A-HJ-NP-Za-km-z]{32,44}")
BLOCKHASH = text("BLOCKHASH", r"[1-9A-HJ-NP-Za-km-z]{32,44}")
SIGNATURE = text("SIGNATURE", r"[1-9A-HJ-NP-Za-km-z]{64,88}")
BASE64 = text("BASE64", r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
HEX = text("HEX", r"(?:[0-9a-f]{2})+")
TEXT = text("TEXT", r"(?s).+")
UUID = text("UUID", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MILLISECONDS = text("MILLISECONDS", r"[1-9][0-9]{12}")
"""As text: a number in JSON would be another body, and another fingerprint."""
SLOT = whole("SLOT", 0)
COUNT = whole("COUNT", 1)


def otherwise(shape: object, value: object, where: str = "") -> Iterator[str]:
    """Say, a line each, where a value is not of a shape."""
    match shape:
        case Word():
            if not shape.is_one(value):
                yield f"{where or 'it'} is {value!r} and ought to be {shape}"
        case Many():
            if not isinstance(value, list) or not shape.least <= len(value) <= shape.most:
                yield f"{where or 'it'} ought to be {shape.least} to {shape.most} of them"
                return
            for place, each in enumerate(value):
                yield from otherwise(shape.shape, each, f"{where}[{place}]")
        case Mapping():
            yield from _object(shape, value, where)
        case Sequence() if not isinstance(shape, str):
            if not isinstance(value, list) or len(value) != len(shape):
                yield f"{where or 'it'} is {value!r} and ought to be {list(shape)}"
                return
            for place, (one, each) in enumerate(zip(shape, value, strict=True)):
                yield from otherwise(one, each, f"{where}[{place}]")
        case _:
            if type(value) is not type(shape) or value != shape:
                yield f"{where or 'it'} is {value!r} and ought to be {shape!r}"


def _object(shape: Mapping[str, object], value: object, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where or 'it'} is {value!r} and ought to be an object"
        return
    known = {name.removesuffix("?"): each for name, each in shape.items()}
    for name in sorted(value.keys() - known.keys()):
        yield f"{where}.{name} ought not to be there"
    for name, each in shape.items():
        bare = name.removesuffix("?")
        if bare in value:
            yield from otherwise(each, value[bare], f"{where}.{bare}")
        elif bare == name:
            yield f"{where}.{bare} is missing"
