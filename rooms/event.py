"""Event: what happened, told to people and programs, once for each fact.

Holds     every kind of event, which of them are public, what each carries.
Promises  a public event names rooms, sides, lamports, addresses and signatures, never a person;
          room ids and amounts past 2^53 travel as text, so that every JSON reader keeps them exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Name what happened. Every change of a room's state is one of these."""

    ROOM_OPENED = "room.opened"
    """feed, comparator, move_bps, target, times, held_ms, is_live, vault."""
    STAKE_LANDED = "stake.landed"
    """room, stake, side, lamports, signature; pool after it: yes, no."""
    ROOM_LOCKED = "room.locked"
    ROOM_SEALED = "room.sealed"
    """yes, no, bettors, slot."""
    WATCH_STARTED = "watch.started"
    """target, base."""
    ROOM_DECIDED = "room.decided"
    """outcome, reason, value, crossing_at."""
    ROOM_SETTLED = "room.settled"
    """outcome, reason, pool, evidence_hash, payouts: how many."""
    PAYOUT_LANDED = "payout.landed"
    """room, address, lamports, signature."""
    ROOM_PAID = "room.paid"

    WALLET_READY = "wallet.ready"
    """user, address."""
    ROOM_REFUSED = "room.refused"
    """user, code, sentence."""
    BET_TAKEN = "bet.taken"
    """user, room, side, lamports, weight_bps."""
    BET_REFUSED = "bet.refused"
    """user, room, code, sentence."""
    BET_CONFIRMED = "bet.confirmed"
    """user, room, side, lamports, signature."""
    STAKE_MISSED = "stake.missed"
    """user, room, lamports: it landed after the cut and goes back in full."""
    STAKE_RELEASED = "stake.released"
    """user, room, lamports: it never landed."""
    BET_WON = "bet.won"
    """user, room, lamports: what will be paid; staked."""
    BET_LOST = "bet.lost"
    """user, room, staked."""
    BET_PAID = "bet.paid"
    """user, room, lamports, signature, refund: whether a stake came back instead."""
    DEPOSIT_POSTED = "deposit.posted"
    """user, lamports, signature."""
    DEPOSIT_UNDONE = "deposit.undone"
    """user, lamports, signature: the network took it back before it was final."""
    EARNING_LANDED = "earning.landed"
    """user, lamports, signature: host and referral shares are in the wallet."""
    WITHDRAWAL_REFUSED = "withdrawal.refused"
    """user, lamports, code, sentence."""
    WITHDRAWAL_ACCEPTED = "withdrawal.accepted"
    """user, lamports, to_address, due_at."""
    WITHDRAWAL_PAID = "withdrawal.paid"
    """user, lamports, to_address, signature."""
    WITHDRAWAL_RELEASED = "withdrawal.released"
    """user, lamports: it did not leave; cancelled: as its owner wished; sentence: why it cannot."""


PUBLIC = frozenset(
    {
        Kind.ROOM_OPENED,
        Kind.STAKE_LANDED,
        Kind.ROOM_LOCKED,
        Kind.ROOM_SEALED,
        Kind.WATCH_STARTED,
        Kind.ROOM_DECIDED,
        Kind.ROOM_SETTLED,
        Kind.PAYOUT_LANDED,
        Kind.ROOM_PAID,
    }
)
"""What subscribers hear; everything else concerns one person."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        room: the room it is about, or None.
        user: the one person it concerns, or None; never set on a public event.
        facts: what the kind says it carries; ids and amounts as text where JSON could bend them.
    """

    kind: Kind
    at: int
    room: int | None = None
    user: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert (self.kind in PUBLIC) == (self.user is None), "public events name no person"
        assert self.kind not in PUBLIC or self.room is not None, "public events are about a room"
