"""Withdrawal: whether a person's lamports may leave, and when.

In        what is asked, what the person has, what was taken out lately, how long the address and
          the PIN have been there, which winnings are fresh.
Out       the moment from which it may leave; a refusal with what to do.
Promises  up to a free amount a day leaves at once, to a new address too; more waits, and a large
          amount longer; nobody takes more in an hour or a day than is allowed.
Why       whoever steals a phone is slowed down until its owner has noticed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from rooms.asset import SOL, Asset
from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_SOL = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalLimits:
    """Say how much may leave and how long the rest waits.

    Attributes:
        free_lamports_day: so much a person and day leaves at once, to any address.
        pin_only_lamports_day: so much needs the PIN alone; more the authenticator's code too.
        cool_down_ms: how long more waits after its address, or the PIN, was new.
        delay_ms: how long more waits in any case.
        large_lamports: more than this in one withdrawal waits ``large_delay_ms`` instead.
        person_lamports_hour_max: what a person may ask for in an hour; so for the others.
        all_lamports_hour_max: what may leave here in an hour, to whomever; the rest waits.
        winnings_ms: how long winnings stay after they were paid, before they may leave.
        large_pool_lamports: winnings from a pool above this stay ``large_pool_winnings_ms``.
        signed_lamports_hour_max: what custody signs in an hour to outside addresses, whoever
            cleared it; above what may leave, so that reaching it is an alarm.
        floor_lamports_hour_max: what it signs in an hour from the fee payer to our own addresses.
    """

    lamports_min: Lamports = Lamports(2_000_000)
    free_lamports_day: Lamports = Lamports(_SOL // 2)
    pin_only_lamports_day: Lamports = Lamports(0)
    cool_down_ms: int = DAY_MS
    delay_ms: int = 2 * HOUR_MS
    large_lamports: Lamports = Lamports(20 * _SOL)
    large_delay_ms: int = DAY_MS
    person_lamports_hour_max: Lamports = Lamports(50 * _SOL)
    person_lamports_day_max: Lamports = Lamports(100 * _SOL)
    address_lamports_hour_max: Lamports = Lamports(50 * _SOL)
    address_lamports_day_max: Lamports = Lamports(100 * _SOL)
    all_lamports_hour_max: Lamports = Lamports(500 * _SOL)
    all_lamports_day_max: Lamports = Lamports(2_000 * _SOL)
    winnings_ms: int = 90_000
    large_pool_lamports: Lamports = Lamports(50 * _SOL)
    large_pool_winnings_ms: int = 900_000
    signed_lamports_hour_max: Lamports = Lamports(600 * _SOL)
    floor_lamports_hour_max: Lamports = Lamports(10 * _SOL)


_UNIT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWithdrawals(WithdrawalLimits):
    """The same limits for a token of six decimals that is worth a dollar, such as USDC."""

    lamports_min: Lamports = Lamports(_UNIT)
    free_lamports_day: Lamports = Lamports(100 * _UNIT)
    large_lamports: Lamports = Lamports(4_000 * _UNIT)
    person_lamports_hour_max: Lamports = Lamports(10_000 * _UNIT)
    person_lamports_day_max: Lamports = Lamports(20_000 * _UNIT)
    address_lamports_hour_max: Lamports = Lamports(10_000 * _UNIT)
    address_lamports_day_max: Lamports = Lamports(20_000 * _UNIT)
    all_lamports_hour_max: Lamports = Lamports(100_000 * _UNIT)
    all_lamports_day_max: Lamports = Lamports(400_000 * _UNIT)
    large_pool_lamports: Lamports = Lamports(10_000 * _UNIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was asked for and not refused lately, by the person and to the address."""

    person_hour: Lamports = Lamports(0)
    person_day: Lamports = Lamports(0)
    address_hour: Lamports = Lamports(0)
    address_day: Lamports = Lamports(0)

    def and_also(self, *, person: int, address: int) -> "Taken":
        """Add what was allowed just now."""
        return Taken(
            person_hour=Lamports(self.person_hour + person),
            person_day=Lamports(self.person_day + person),
            address_hour=Lamports(self.address_hour + address),
            address_day=Lamports(self.address_day + address),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What decides when a withdrawal may leave.

    Attributes:
        available: what the person has.
        taken: lately, without this one.
        address_since: when the person wrote the address down; now, when never.
        secured_since: when the PIN or the authenticator was last changed.
        fresh: winnings paid a moment ago: how much, and from when they may leave.
        now: the moment of judging.
        asset: what all of it is counted in.
    """

    available: Lamports
    taken: Taken = field(default_factory=Taken)
    address_since: UnixMs
    secured_since: UnixMs = UnixMs(0)
    fresh: Sequence[tuple[Lamports, UnixMs]] = ()
    now: UnixMs
    asset: Asset = SOL


def due_at(lamports: Lamports, outlook: Outlook, limits: WithdrawalLimits) -> UnixMs:
    """Say when a withdrawal may leave.

    Raises:
        Refused: with the code of the first rule that it breaks.
    """
    text = outlook.asset.text
    if lamports < limits.lamports_min:
        raise Refused("below_min", f"A withdrawal is at least {text(limits.lamports_min)}.")
    if lamports > outlook.available:
        raise Refused("too_little", f"You have {text(outlook.available)} to withdraw.")
    _check(lamports, outlook, limits)
    return UnixMs(max(_careful(lamports, outlook, limits), _seasoned(lamports, outlook)))


def needs_code(lamports: Lamports, taken_day: Lamports, limits: WithdrawalLimits) -> bool:
    """Say whether a withdrawal needs the authenticator's code besides the PIN."""
    return taken_day + lamports > limits.pin_only_lamports_day


def _check(lamports: Lamports, outlook: Outlook, limits: WithdrawalLimits) -> None:
    taken = outlook.taken
    for code, said, so_far, most in (
        ("hour_limit", "in one hour", taken.person_hour, limits.person_lamports_hour_max),
        ("day_limit", "in one day", taken.person_day, limits.person_lamports_day_max),
        ("address_limit", "to one address in one hour", taken.address_hour,
         limits.address_lamports_hour_max),
        ("address_limit", "to one address in one day", taken.address_day,
         limits.address_lamports_day_max),
        ("place_limit", "here in one hour", 0, limits.all_lamports_hour_max),
        ("place_limit", "here in one day", 0, limits.all_lamports_day_max),
    ):  # fmt: skip
        if so_far + lamports > most:
            left = outlook.asset.text(max(0, most - so_far))
            raise Refused(code, f"That is more than may leave {said}: {left} can just now.")


def _careful(lamports: Lamports, outlook: Outlook, limits: WithdrawalLimits) -> UnixMs:
    """Say until when an amount waits for its size, its address and the PIN."""
    if outlook.taken.person_day + lamports <= limits.free_lamports_day:
        return outlook.now
    delay_ms = limits.large_delay_ms if lamports > limits.large_lamports else limits.delay_ms
    since = max(outlook.address_since, outlook.secured_since)
    return UnixMs(max(outlook.now + delay_ms, since + limits.cool_down_ms))


def _seasoned(lamports: Lamports, outlook: Outlook) -> UnixMs:
    """Say from when enough of what the person has may leave; what is oldest leaves first."""
    fresh = sorted((free_at, won) for won, free_at in outlook.fresh if free_at > outlook.now)
    old = outlook.available - sum(won for _, won in fresh)
    if lamports <= old:
        return outlook.now
    for (free_at, _), freed in zip(fresh, accumulate(won for _, won in fresh), strict=True):
        if lamports <= old + freed:
            return free_at
    raise AssertionError("what is available is old, or fresh and free one day")
