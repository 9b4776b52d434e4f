"""Spoken: words and numbers from outside, as they can be kept and told again.

In        JSON and digits that anybody sent; JSON that was kept.
Out       values whose every text is UTF-8 and whose every number SQLite and JSON can hold.
Promises  what cannot be told again is refused at the door; where it was kept all the same, it is
          told with a question mark in its place, so that nothing behind it has to wait.
Why       JSON can write half a character (``"\\ud800"``), which no answer can carry.
"""

import json
import re
from typing import Any

from sandbox.telegram.refusals import bad_request

NUMBER_LIMIT = 2**63
_NUMBER = re.compile(r"[0-9]{1,18}")


def read_json(source: str | bytes) -> Any:  # noqa: ANN401 (JSON is any of its kinds)
    """Read JSON that can be told again.

    Raises:
        ValueError: when it is no JSON, or no UTF-8 can carry it.
    """
    try:
        parsed = json.loads(source)
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return parsed


def read_kept(text: str) -> Any:  # noqa: ANN401 (JSON is any of its kinds)
    """Read JSON that was kept, with a question mark for each half of a character."""
    parsed = json.loads(text)
    if "\\ud" not in text:
        return parsed
    return json.loads(json.dumps(parsed, ensure_ascii=False).encode(errors="replace"))


def read_number(text: str, name: str) -> int:
    """Read digits as a number that can be kept; anything else is refused with HTTP 400."""
    if _NUMBER.fullmatch(text) is None:
        raise bad_request(f"{name} must be a whole number of at most 18 digits")
    return int(text)


def within_limit(number: int, name: str) -> int:
    """Pass a number that can be kept; a greater one is refused with HTTP 400."""
    if not -NUMBER_LIMIT < number < NUMBER_LIMIT:
        raise bad_request(f"{name} is too great a number")
    return number
