"""Audit log: rows that are bound to one another, so that none can be changed or left out unseen.

In        rows in their order, each with the hash that was written beside it.
Out       the hash of the next row; the first row that is not what it was.
Promises  the hash of a row covers the row and every row before it.
Why       who may change a row may change its hash too, but not the head that somebody else keeps.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64
"""What stands before the first row."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a log: how many rows there are, and the hash of the last one."""

    number: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class LogRow:
    """One fact in the log.

    Attributes:
        number: 1, 2, 3, … without a gap.
        event: the public number of the event that it repeats, or None.
        act: the act that it repeats, or None.
        facts: whole numbers, text, lists and objects of them; never a float.
    """

    number: int
    at: int
    kind: str
    event: int | None
    act: int | None
    facts: Mapping[str, Any]


def link(before: str, row: LogRow) -> str:
    """Return the hash of ``row`` after the row whose hash is ``before``."""
    canonical = json.dumps(
        [row.number, row.at, row.kind, row.event, row.act, row.facts],
        sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False,
    )  # fmt: skip
    return hashlib.sha256(bytes.fromhex(before) + canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class BadRow:
    """The first row that is not what it was, and why."""

    number: int
    why: str


def follow(head: Head, rows: Iterable[tuple[LogRow, str]]) -> Head | BadRow:
    """Go along the rows after ``head``; return the new head, or the first bad row."""
    for row, written in rows:
        expected = head.number + 1
        if row.number != expected:
            return BadRow(expected, f"row {expected} is missing: row {row.number} follows")
        if link(head.hash, row) != written:
            return BadRow(expected, f"row {expected} or its hash was changed")
        head = Head(expected, written)
    return head


def compare(kept: Head, end: Head, hash_there: str | None) -> BadRow | None:
    """Compare a log with the head that was kept elsewhere.

    Args:
        kept: what was kept.
        end: the log's end now.
        hash_there: what the log has at the kept head's number; None when it has no such row.
    """
    if kept.number > end.number:
        return BadRow(
            end.number + 1,
            f"row {end.number + 1} is missing: the log was cut, the head that was kept is "
            f"row {kept.number}",
        )
    if kept.number and hash_there != kept.hash:
        return BadRow(kept.number, f"row {kept.number} is not the one that was kept as the head")
    return None
