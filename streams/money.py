"""Money: what the stages that decide about money share, and which topic wakes which of them.

Holds     the database, live prices, the limits of this installation; a table of stages.
Promises  no stage here signs, sends or knows a key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rooms.room import RoomLimits
from rooms.units import Lamports
from storage.connections import Connections
from storage.live import LivePrice


class LivePrices(Protocol):
    """What knows the price of each feed as it is now."""

    async def prices_of(self, feeds: Iterable[str]) -> dict[str, LivePrice]:
        """Return the live price of each feed that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningPace:
    """How fast custody signs, so that no stake is taken that could not arrive.

    Attributes:
        stakes_per_s: how many stakes are signed a second.
        sign_ms: from taking a bet until its stake can be signed when nobody waits.
        land_ms: from signing until the stake is in a block.
    """

    stakes_per_s: int = 50
    sign_ms: int = 500
    land_ms: int = 5_000

    def __post_init__(self) -> None:
        assert self.stakes_per_s > 0, "custody signs something"
        assert self.sign_ms >= 0, "signing takes its time"
        assert self.land_ms >= 0, "landing takes its time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What the openings, bets, settlements and withdrawals stages work with.

    Attributes:
        new_room_id: gives a random number of `rooms.room.ROOM_ID_BITS` bits.
        draft_wait_ms: a draft that cannot be opened for so long is refused.
        batch_max: how many requests are decided in one transaction.
        settled_max: how many rooms are divided in one transaction.
        evidence_wait_ms: how long a settlement waits for the last of its evidence.
        token_stakes: by the name of a token in which rooms may be made, the least and the most
            that a stake limit may be.
        floor_idle_ms: from a person's address the rent minimum comes back after so long.
        earning_lamports_min: fewer earned lamports wait for more, as a transaction costs 10,000.
    """

    connections: Connections
    prices: LivePrices
    new_room_id: Callable[[], int]
    room_limits: RoomLimits = field(default_factory=RoomLimits)
    signing: SigningPace = field(default_factory=SigningPace)
    draft_wait_ms: int = 600_000
    batch_max: int = 500
    settled_max: int = 16
    evidence_wait_ms: int = 0
    token_stakes: Mapping[str, tuple[Lamports, Lamports]] = field(default_factory=dict)
    floor_idle_ms: int = 30 * 86_400_000
    earning_lamports_min: Lamports = Lamports(100_000)
