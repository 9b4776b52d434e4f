"""Played: what became of a seed, and of many.

Out       figures that add up; faults in words.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one seed.

    Attributes:
        faults: everything that is not as it must be; nothing when all is well.
        digest: the fingerprint of everything that happened, in its order.
        struck: how often each trouble happened.
        reached: how many rooms, stakes, attempts and so on came to each end.
        transactions: in the chain's blocks.
        statements: that the database worked on; ``lock_waits`` of them waited for another's lock.
        turns: how often it was decided who moves next.
        deaths: how often a process ended and was started again.
    """

    seed: int
    faults: tuple[str, ...]
    digest: str
    struck: Mapping[str, int]
    reached: Mapping[str, int]
    transactions: int
    statements: int
    turns: int
    lock_waits: int
    deaths: int
    virtual_s: float
    real_s: float


@dataclass
class Summary:
    """What became of many."""

    seeds: int = 0
    transactions: int = 0
    statements: int = 0
    turns: int = 0
    lock_waits: int = 0
    deaths: int = 0
    virtual_s: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    failed: list[Played] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """Count one more."""
        self.seeds += 1
        self.transactions += played.transactions
        self.statements += played.statements
        self.turns += played.turns
        self.lock_waits += played.lock_waits
        self.deaths += played.deaths
        self.virtual_s += played.virtual_s
        self.struck.update(played.struck)
        self.reached.update(played.reached)
        if played.faults:
            self.failed.append(played)
