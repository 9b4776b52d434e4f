"""Bet: whether a person may stake so much on a side of a room, now.

In        the room, what the person has there already, how much is available, the moment.
Out       nothing when it is allowed; a refusal with what to do when it is not.
Promises  one side a person and room; no stake after lock; the rule's own limits hold.
"""

from dataclasses import dataclass

from rooms.refusal import Refused
from rooms.room import Room, Side, State
from rooms.units import Lamports, UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a room and a person look like at the moment of asking.

    Attributes:
        own_side: the side of the person's bet, or None before the first stake.
        own_lamports: the person's stakes so far, held or landed.
        bettors: how many people have a bet in the room.
        available_lamports: what the person may bet.
        pool_lamports: what everybody has staked, held or landed; only a capped pool needs it.
        can_land: whether signing and landing before the cut can still be expected.
    """

    state: State
    own_side: Side | None
    own_lamports: Lamports
    bettors: int
    available_lamports: Lamports
    can_land: bool
    pool_lamports: Lamports = Lamports(0)


def check_bet(room: Room, standing: Standing, side: Side, lamports: Lamports, now: UnixMs) -> None:
    """Say why the bet cannot be taken, or return.

    Raises:
        Refused: with the code of the first rule that it breaks.
    """
    text = room.money.text
    if standing.state is State.DRAFT:
        raise Refused("not_open", "This room is still warming up; try again in a moment.")
    if standing.state is not State.OPEN or now >= room.lock_at:
        raise Refused("locked", "Bets on this room are closed.")
    if not standing.can_land:
        raise Refused("cannot_land", "Too late for the stake to arrive before the room is cut.")
    if standing.own_side is not None and standing.own_side is not side:
        raise Refused("other_side", f"You bet {standing.own_side} here; you can add to that side.")
    if lamports < room.stake_lamports_min:
        least = text(room.stake_lamports_min)
        raise Refused("below_min", f"A stake here is at least {least}.")
    if standing.own_lamports + lamports > room.stake_lamports_max:
        raise Refused("above_max", f"A person stakes at most {text(room.stake_lamports_max)} here.")
    if room.seats is not None and standing.own_side is None and standing.bettors >= room.seats:
        raise Refused("full", "All seats in this room are taken.")
    cap = room.pool_lamports_max
    if cap is not None and standing.pool_lamports + lamports > cap:
        raise Refused(
            "pool_full",
            f"All stakes here together stay below {text(cap)}, as so little moves this price; "
            f"{text(max(0, cap - standing.pool_lamports))} still fit.",
        )
    if lamports > standing.available_lamports:
        raise Refused(
            "too_little",
            f"You have {text(standing.available_lamports)} to bet; deposit more or bet less.",
        )
