"""Wishes: what a subscriber may ask the gateway for, read from path and query.

In        a request's target, as it came.
Out       which feeds after which numbers, or events after which number.
Promises  what is not understood is refused with a sentence; nothing is guessed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from rooms.refusal import Refused
from rooms.room import room_named

PRICES_PATH: Final = "/v1/prices"
SETTLEMENTS_PATH: Final = "/v1/settlements"
FEEDS_MAX: Final = 50
NUMBER_MAX: Final = 2**53 - 1
FIELDS_MAX: Final = 8
_EVIDENCE: Final = re.compile(r"/v1/rooms/(?P<room>[0-9a-z]{1,19})/evidence")
_FIELDS: Final = {
    PRICES_PATH: frozenset({"feeds", "from"}),
    SETTLEMENTS_PATH: frozenset({"cursor"}),
}


@dataclass(frozen=True, slots=True)
class PricesWish:
    """These feeds, each after a number; None: what holds now, and then what comes."""

    after: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class SettlementsWish:
    """The events after a number; None: only what comes."""

    cursor: int | None


@dataclass(frozen=True, slots=True)
class EvidenceWish:
    """The evidence of one room, once."""

    room: int


Wish = PricesWish | SettlementsWish


def path_of(target: str) -> str:
    """Return the path of a request's target."""
    return urlsplit(target).path


def read_wish(target: str) -> Wish | None:
    """Read a request's target; None when there is no such path.

    Raises:
        Refused: when the query cannot be answered.
    """
    parts = urlsplit(target)
    known = _FIELDS.get(parts.path)
    if known is None:
        return None
    fields = _fields(parts.query, known)
    if parts.path == PRICES_PATH:
        return _prices_wish(fields.get("feeds", ""), fields.get("from", ""))
    cursor = fields.get("cursor")
    return SettlementsWish(None if cursor is None else _number("cursor", cursor))


def read_evidence_wish(target: str) -> EvidenceWish | None:
    """Read a request for a room's evidence, named by its number or its code; None when it is none.

    Raises:
        Refused: when no room can be named so.
    """
    parts = urlsplit(target)
    named = _EVIDENCE.fullmatch(parts.path)
    if named is None:
        return None
    _fields(parts.query, frozenset())
    return EvidenceWish(room_named(named["room"]))


def _fields(query: str, known: frozenset[str]) -> dict[str, str]:
    try:
        found = parse_qs(query, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise Refused("bad_query", "The query cannot be read.") from None
    for name, values in found.items():
        if name not in known:
            names = ", ".join(sorted(known))
            raise Refused("bad_query", f"{name[:40]!r} is not known here; known: {names}.")
        if len(values) > 1:
            raise Refused("bad_query", f"{name!r} is given twice.")
    return {name: values[0] for name, values in found.items()}


def _prices_wish(feeds: str, after: str) -> PricesWish:
    names = [name for name in feeds.split(",") if name]
    if not names:
        raise Refused("bad_query", "Say which feeds: /v1/prices?feeds=SOL/USD,BTC/USD.")
    if len(names) > FEEDS_MAX:
        raise Refused("bad_query", f"Ask for at most {FEEDS_MAX} feeds.")
    numbers: dict[str, int | None] = dict.fromkeys(names)
    for pair in filter(None, after.split(",")):
        # A feed's name may hold a colon; its number does not.
        feed, _, number = pair.rpartition(":")
        if feed not in numbers:
            raise Refused("bad_query", "'from' names feeds asked for: from=SOL/USD:1200.")
        numbers[feed] = _number("from", number)
    return PricesWish(numbers)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= NUMBER_MAX):
        raise Refused("bad_query", f"'{name}' is a whole number such as 1200, not {text[:40]!r}.")
    return int(text)
