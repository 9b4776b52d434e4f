"""Withdrawal: whether a person's lamports may leave, and when.

In        what is asked, what the person has and has taken out lately, when the address was added.
Out       the moment from which it may leave; a refusal with what to do.
Promises  up to a free amount a day leaves at once, to a new address too; more waits.
"""

from dataclasses import dataclass

from rooms.decimal_text import text_from_whole
from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalLimits:
    """Say how much may leave and how long the rest waits.

    Attributes:
        free_lamports_day: leaves at once, to any address.
        cool_down_ms: how long a new address waits for more than that.
        delay_ms: how long more than that waits to an address past its cool-down.
        lamports_day_max: no person takes out more a day.
    """

    lamports_min: Lamports = Lamports(2_000_000)
    free_lamports_day: Lamports = Lamports(500_000_000)
    cool_down_ms: int = DAY_MS
    delay_ms: int = 2 * 3_600_000
    lamports_day_max: Lamports = Lamports(100_000_000_000)


def due_at(
    lamports: Lamports,
    *,
    available: Lamports,
    taken_today: Lamports,
    address_since: UnixMs,
    now: UnixMs,
    limits: WithdrawalLimits,
) -> UnixMs:
    """Say when a withdrawal may leave.

    Args:
        lamports: what is asked.
        available: what the person has.
        taken_today: asked for and not refused in the last 24 hours, without this one.
        address_since: when the person first used the address.
        now: the moment of judging.
        limits: what this installation allows.

    Raises:
        Refused: with the code of the first rule that it breaks.
    """
    if lamports < limits.lamports_min:
        raise Refused(
            "below_min", f"A withdrawal is at least {text_from_whole(limits.lamports_min, 9)} SOL."
        )
    if lamports > available:
        raise Refused("too_little", f"You have {text_from_whole(available, 9)} SOL to withdraw.")
    if taken_today + lamports > limits.lamports_day_max:
        raise Refused("day_limit", "That is more than may leave in one day; ask for less.")
    if taken_today + lamports <= limits.free_lamports_day:
        return now
    return UnixMs(max(now + limits.delay_ms, address_since + limits.cool_down_ms))
