"""Pool: what the sides have staked, and that as odds, for eyes only.

In        stakes that landed in time.
Out       totals a side; odds in basis points, never an input to money.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rooms.refusal import must
from rooms.room import Side, VoidReason
from rooms.units import BPS_WHOLE, Bps, Lamports


@dataclass(frozen=True, slots=True)
class Stake:
    """One payment into a room that counts.

    Attributes:
        id: larger is later.
        bet: the bet that it belongs to; a person has one bet in a room.
        weight_bps: its share of the losing pool is by lamports times this; 10,000 is plain.
        referrer: who brought the bettor, or None.
    """

    id: int
    bet: int
    user: int
    side: Side
    lamports: Lamports
    weight_bps: Bps = BPS_WHOLE
    referrer: int | None = None

    def __post_init__(self) -> None:
        must(self.lamports > 0, "a stake moves something")
        must(self.weight_bps > 0, "a stake has weight")


@dataclass(frozen=True, slots=True)
class Pool:
    """What each side has staked, in lamports."""

    yes: Lamports
    no: Lamports

    @property
    def total(self) -> Lamports:
        """Both sides together."""
        return Lamports(self.yes + self.no)

    def odds_bps(self, side: Side) -> Bps | None:
        """Say what one staked on ``side`` stands against, for eyes only; None while it is empty."""
        own = self.yes if side is Side.YES else self.no
        return Bps(self.total * BPS_WHOLE // own) if own else None


def pool_of(stakes: Iterable[Stake]) -> Pool:
    """Add up a room's stakes."""
    yes = no = 0
    for stake in stakes:
        if stake.side is Side.YES:
            yes += stake.lamports
        else:
            no += stake.lamports
    return Pool(Lamports(yes), Lamports(no))


def void_of_pool(stakes: Iterable[Stake]) -> VoidReason | None:
    """Say why a sealed pool is no contest, or None when it is one."""
    stakes = tuple(stakes)
    if len({stake.user for stake in stakes}) < 2:
        return VoidReason.TOO_FEW_BETTORS
    pool = pool_of(stakes)
    if not pool.yes or not pool.no:
        return VoidReason.ONE_SIDED
    return None
