"""Canonical: the one text of a plain value, and the hash that names it.

In        lists and objects of whole numbers, text, booleans and nothing.
Out       JSON with sorted keys and no blanks; its SHA-256 in hex.
Promises  equal values give equal text; text that holds a float is refused when it is read.
"""

import hashlib
import json
from typing import Any, NoReturn

from rooms.refusal import Impossible


def canonical(plain: Any) -> str:  # noqa: ANN401 - whatever JSON can say
    """Write a plain value, without floats, in its one text."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def plain_of(text: str | bytes) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Read a plain value.

    Raises:
        Impossible: when it is no JSON, or has a float or a name twice in it.
    """
    try:
        return json.loads(
            text, parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_once
        )
    except (ValueError, RecursionError) as error:
        raise Impossible(f"not plain JSON: {error}") from None


def content_hash(content: str | bytes) -> str:
    """Return the SHA-256 of text in UTF-8, or of bytes, in hex."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"{text} is no whole number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
