"""Faults: what goes wrong on request, so that a signer's client can be seen to bear it.

Holds     in memory only: a server that was started anew is a healthy one.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

KINDS: Final = {
    "cut": "do what is asked, then close the connection without an answer",
    "pending": "let an activity be pending for so many looks at it",
    "status": "end an activity in this status",
    "error": "refuse before doing anything, with status and Turnkey's word",
    "flip": "sign a transaction whose first transfer goes elsewhere",
    "stranger": "sign with another key than the one asked for",
    "garbage": "answer what is not JSON",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is to go wrong, once."""

    kind: str
    looks: int = 0
    status: str = ""
    http: int = 500
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a fault is one of {', '.join(KINDS)}")


@dataclass(slots=True)
class Faults:
    """What is still to go wrong, each with the next activity submitted.

    Attributes:
        clock_off_ms: how far the server's clock is from the truth.
    """

    waiting: deque[Fault] = field(default_factory=deque)
    clock_off_ms: int = 0

    def add(self, *faults: Fault) -> None:
        """Let these strike, one after the other."""
        self.waiting.extend(faults)

    def next(self) -> Fault | None:
        """Take the one that strikes now."""
        return self.waiting.popleft() if self.waiting else None

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.waiting)
