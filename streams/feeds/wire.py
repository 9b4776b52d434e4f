"""Wire: the few readings that venues' frames share.

In        a frame's text, and the shape that a venue's file expects of it.
Out       that shape; whole sequence numbers; whole milliseconds.
Promises  whatever is not exactly that shape is `Impossible`; no number passes through a float.
"""

import re
from calendar import timegm
from datetime import datetime
from typing import TypeVar

import msgspec

from rooms.refusal import Impossible, must
from rooms.units import UnixMs

Shape = TypeVar("Shape")

SEQUENCE_MAX = 2**63 - 1
ABSENT = msgspec.Raw()
"""A field that may be missing, and whose digits are wanted."""

_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)
_MOMENT_MIN, _MOMENT_MAX = 10**12, 10**13  # 2001 to 2286: seconds and microseconds fall outside.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


def read(frame: str | bytes | msgspec.Raw, shape: msgspec.json.Decoder[Shape]) -> Shape:
    """Read JSON text as the shape.

    Raises:
        Impossible: when it is not JSON, is nested absurdly, or is another shape.
    """
    try:
        return shape.decode(frame)
    except (ValueError, RecursionError) as error:
        raise Impossible(f"malformed frame: {error}") from error


def sequence(number: int | str) -> int:
    """Read a venue's trade id, a JSON integer or a string of digits."""
    if isinstance(number, str):
        must(number.isascii() and number.isdigit() and len(number) <= 19, "a trade id is digits")
        number = int(number)
    must(0 <= number <= SEQUENCE_MAX, "a trade id is between 0 and 2^63")
    return number


def is_told(told: msgspec.Raw) -> bool:
    """Say whether a field is there and not null."""
    return bytes(told) not in (b"", b"null")


def plain_number(told: msgspec.Raw | str) -> str:
    """Write a JSON number as plain decimal text, digit by digit, also one with an exponent."""
    text = told if isinstance(told, str) else bytes(told).decode(errors="replace")
    parts = _NUMBER.fullmatch(text)
    if parts is None:
        raise Impossible("a value is a number")
    sign, whole, fraction, exponent = parts[1], parts[2], parts[3] or "", int(parts[4] or "0")
    digits, point = whole + fraction, len(whole) + exponent
    if point <= 0:
        digits, point = "0" * (1 - point) + digits, 1
    digits = digits.ljust(point, "0")
    whole, fraction = digits[:point].lstrip("0") or "0", digits[point:]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def cut_to(text: str, places: int) -> str:
    """Leave out the digits of plain decimal text that are finer than so many places."""
    whole, point, fraction = text.partition(".")
    return f"{whole}.{fraction[:places]}" if point and places else whole


def request_number(text: str | None) -> int | None:
    """Read the number under which we asked, as a venue gives it back; None for anything else."""
    ours = text is not None and text.isascii() and text.isdigit() and len(text) <= 9
    return int(text) if ours and text is not None else None


def moment(ms: int | str) -> UnixMs:
    """Read milliseconds since 1970, a JSON integer or a string of digits."""
    if isinstance(ms, str):
        must(ms.isascii() and ms.isdigit() and len(ms) == 13, "a moment is 13 digits")
        ms = int(ms)
    must(_MOMENT_MIN <= ms < _MOMENT_MAX, "a moment is in milliseconds since 1970")
    return UnixMs(ms)


def moment_from_us(us: str) -> UnixMs:
    """Read microseconds since 1970, a string of digits, cut to the millisecond."""
    must(us.isascii() and us.isdigit() and len(us) == 16, "a moment is 16 digits")
    return moment(int(us) // 1000)


def moment_from_rfc3339(text: str) -> UnixMs:
    """Read UTC text such as ``2021-04-17T16:43:30.244075Z``, cut to the millisecond."""
    parts = _RFC3339.fullmatch(text)
    if parts is None:
        raise Impossible("a moment is RFC 3339 in UTC")
    try:
        seconds = timegm(datetime.fromisoformat(parts[1]).timetuple())
    except ValueError as error:
        raise Impossible(f"no such moment: {error}") from error
    return moment(seconds * 1000 + int((parts[2] or "").ljust(3, "0")[:3]))
