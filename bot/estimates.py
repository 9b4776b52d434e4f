"""Estimates: what a stake would bring, for eyes only.

In        the pool as it stands, the room's fees, a stake and its weight.
Out       lamports, rounded down; a range for how the pool may move.
Promises  the same division that `rooms.settlement` makes, on a pool that is not sealed yet.
"""

from dataclasses import dataclass

from rooms.room import Room, Side
from rooms.units import BPS_WHOLE, Bps, Lamports, UnixMs, Value, share_floor
from rooms.weight import chance_bps, weight_bps
from storage.cards import RoomCard

CHANCE_BPS_LEAST = Bps(500)
CHANCE_BPS_MOST = Bps(9_000)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stake would bring if nothing else came in, and between which bounds it may move.

    Attributes:
        low: if half as much again joined the same side.
        high: if half as much again joined the other side.
    """

    now: Lamports
    low: Lamports
    high: Lamports


def estimate(card: RoomCard, side: Side, lamports: Lamports, weight: Bps) -> Estimate:
    """Say what ``lamports`` more on ``side`` would bring."""
    losing = card.side(Side.NO if side is Side.YES else Side.YES).lamports
    weighed = card.side(side).weighed
    return Estimate(
        now=_payout(card.room, losing, weighed, lamports, weight),
        low=_payout(card.room, losing, weighed * 3 // 2, lamports, weight),
        high=_payout(card.room, losing * 3 // 2, weighed, lamports, weight),
    )


def own_payout(card: RoomCard) -> Lamports:
    """Say what the person's own stakes would bring if their side won now."""
    assert card.own_side is not None, "only who has a bet has a payout"
    losing = card.side(Side.NO if card.own_side is Side.YES else Side.YES).lamports
    weighed = card.side(card.own_side).weighed
    share = _prize(card.room, losing) * card.own_weighed // max(weighed, 1)
    return Lamports(card.own_lamports + share)


def weight_now(room: Room, side: Side, price: Value | None, now: UnixMs) -> Bps:
    """Say what a stake weighs when it is taken now; plain where the target is a move."""
    if room.is_move or room.target is None or price is None:
        return BPS_WHOLE
    return weight_bps(
        chance_bps(
            value=price,
            target=room.target,
            left_ms=room.deadline_at - now,
            volatility_bps=room.volatility_bps,
            side=side,
        )
    )


def is_long_shot(chance: Bps) -> bool:
    """Say whether a target is so near or far that its maker should confirm it."""
    return not CHANCE_BPS_LEAST <= chance <= CHANCE_BPS_MOST


def _payout(room: Room, losing: int, weighed: int, lamports: Lamports, weight: Bps) -> Lamports:
    own = lamports * weight
    return Lamports(lamports + _prize(room, losing) * own // (weighed + own))


def _prize(room: Room, losing: int) -> int:
    protocol = share_floor(losing, room.protocol_fee_bps, BPS_WHOLE)
    return losing - protocol - share_floor(losing, room.host_fee_bps, BPS_WHOLE)
