"""Canonical: the one text of a plain value, and the hash that names it.

In        lists and objects of whole numbers, text, booleans and nothing.
Out       JSON with sorted keys and no blanks; its SHA-256 in hex.
Promises  equal values give equal text; what has a float in it has none.
"""

import hashlib
import json
from typing import Any


def canonical(plain: Any) -> str:  # noqa: ANN401 - whatever JSON can say
    """Write a plain value in its one text.

    Raises:
        ValueError: when it holds a float.
    """
    if _has_float(plain):
        raise ValueError("a float has no canonical text")
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_hash(content: str | bytes) -> str:
    """Return the SHA-256 of text in UTF-8, or of bytes, in hex."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _has_float(plain: Any) -> bool:  # noqa: ANN401 - whatever JSON can say
    match plain:
        case float():
            return True
        case dict():
            return any(_has_float(each) for each in plain.values())
        case list() | tuple():
            return any(_has_float(each) for each in plain)
    return False
