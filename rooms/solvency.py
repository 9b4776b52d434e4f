"""Solvency: what is owed, as a tree of sums whose root commits to every claim.

In        claims: who is owed how much, each with a secret of its own.
Out       a root: one hash and one sum; for each claim a proof that it is in there.
Promises  no claim is negative, so none can hide another; a root has one sum, which the proof of
          each claim adds up to; who has one proof learns nothing of the others but sums.
Why       reserves without liabilities prove nothing, and a sum that nobody can check neither.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from rooms.refusal import must
from rooms.units import LAMPORTS_MAX, Lamports

SALT_BYTES = 32
_LEAF = b"\x00"
_INNER = b"\x01"


@dataclass(frozen=True, slots=True)
class Claim:
    """What one owner may claim.

    Attributes:
        owner: a person's id, or a word for what is no single person's.
        salt: known to the owner alone, so that a leaf cannot be guessed.
    """

    owner: str
    lamports: Lamports
    salt: bytes

    def __post_init__(self) -> None:
        must(0 <= self.lamports <= LAMPORTS_MAX, "a claim is never negative")
        must(len(self.salt) == SALT_BYTES, "a salt has its length")


@dataclass(frozen=True, slots=True)
class Node:
    """A hash, and the sum of everything below it."""

    hash: bytes
    lamports: Lamports


EMPTY = Node(bytes(32), Lamports(0))
"""The root of nothing, and the other half of a node that has none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node beside the way up; ``left`` when it stands to the left of it."""

    beside: Node
    left: bool


def salt_of(secret: bytes, report: str, owner: str) -> bytes:
    """Return an owner's salt in one report; it tells nothing of any other."""
    must(len(secret) >= SALT_BYTES, "the secret of the salts is long enough")
    return hmac.digest(secret, f"{report}/{owner}".encode(), "sha256")


def leaf(claim: Claim) -> Node:
    """Return the leaf of a claim."""
    owner = claim.owner.encode()
    body = claim.salt + len(owner).to_bytes(4, "big") + owner + _bytes(claim.lamports)
    return Node(hashlib.sha256(_LEAF + body).digest(), claim.lamports)


def root(claims: Sequence[Claim]) -> Node:
    """Return the root over all claims, whatever their order."""
    return _levels(claims)[-1][0]


def prove(claims: Sequence[Claim], owner: str) -> tuple[Step, ...]:
    """Return the way from an owner's leaf up to the root.

    Raises:
        Impossible: when there is not exactly one claim of that owner.
    """
    own = [claim for claim in claims if claim.owner == owner]
    must(len(own) == 1, "an owner has one claim")
    levels = _levels(claims)
    place = levels[0].index(leaf(own[0]))
    steps: list[Step] = []
    for level in levels[:-1]:
        other = place ^ 1
        beside = level[other] if other < len(level) else EMPTY
        steps.append(Step(beside, left=other < place))
        place //= 2
    return tuple(steps)


def is_in(claim: Claim, steps: Sequence[Step], top: Node) -> bool:
    """Say whether a claim is part of what ``top`` commits to."""
    node = leaf(claim)
    for step in steps:
        if not 0 <= step.beside.lamports <= LAMPORTS_MAX:
            return False
        pair = (step.beside, node) if step.left else (node, step.beside)
        if sum(each.lamports for each in pair) > LAMPORTS_MAX:
            return False
        node = _above(*pair)
    return node == top


def _levels(claims: Sequence[Claim]) -> list[list[Node]]:
    """Return the leaves, in the order of their hashes, and every level above them."""
    owners = {claim.owner for claim in claims}
    must(len(owners) == len(claims), "an owner has one claim")
    must(sum(claim.lamports for claim in claims) <= LAMPORTS_MAX, "all claims can be counted")
    level = sorted((leaf(claim) for claim in claims), key=lambda node: node.hash) or [EMPTY]
    levels = [level]
    while len(level) > 1:
        pairs = [*level, EMPTY] if len(level) % 2 else level
        level = [_above(left, right) for left, right in zip(pairs[::2], pairs[1::2], strict=True)]
        levels.append(level)
    return levels


def _above(left: Node, right: Node) -> Node:
    body = left.hash + _bytes(left.lamports) + right.hash + _bytes(right.lamports)
    return Node(hashlib.sha256(_INNER + body).digest(), Lamports(left.lamports + right.lamports))


def _bytes(lamports: Lamports) -> bytes:
    return lamports.to_bytes(8, "big")
