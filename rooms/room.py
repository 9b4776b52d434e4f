"""Room: one market, from the wish to open it to the day it is paid.

In        what a person asked for, the limits of this installation, the index price now.
Out       the room's rule, fixed for good; or a refusal that says what to do.
Promises  everything a room depends on is snapshotted at creation; `≥` for up, `≤` for down.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from math import isqrt

from rooms.asset import SOL, Asset
from rooms.decimal_text import text_from_whole
from rooms.feed import Guards
from rooms.liquidity import pool_max
from rooms.refusal import Refused, must
from rooms.units import BPS_WHOLE, Bps, Lamports, UnixMs, Value

ROOM_ID_BITS = 62

LIVE_CUT_MS = 5_000
"""A live room is cut so long before the touch that decides it."""

FREEZE_BPS_MIN = Bps(5)
_FINE = 10**9
_YEAR_MS = 365 * 86_400_000

HELD_MS_MAX = 60_000


class Comparator(IntEnum):
    """Say which way a target lies; the number is stored."""

    UP = 1
    DOWN = -1


class Side(StrEnum):
    """What a bettor takes."""

    YES = "YES"
    NO = "NO"


class Outcome(StrEnum):
    """What a room became."""

    YES = "YES"
    NO = "NO"
    VOID = "VOID"


class State(StrEnum):
    """Where a room is in its life."""

    DRAFT = "DRAFT"
    """Asked for; waits for its vault's address and a warm feed."""
    OPEN = "OPEN"
    LOCKED = "LOCKED"
    DECIDED = "DECIDED"
    SETTLED = "SETTLED"
    PAID = "PAID"


class VoidReason(StrEnum):
    """Say why a room gave every stake back."""

    ONE_SIDED = "one_sided"
    TOO_FEW_BETTORS = "too_few_bettors"
    NO_PRICE_AT_WATCH = "no_price_at_watch"
    GAP = "gap"
    THIN_COVERAGE = "thin_coverage"
    SILENT_AT_END = "silent_at_end"
    REACHED_BEFORE_WATCH = "reached_before_watch"
    LOG_ENDED = "log_ended"
    SOURCES_SCATTERED = "sources_scattered"
    TOUCH_MISSED = "touch_missed"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomLimits:
    """Say what rooms this installation opens; every length in milliseconds.

    Attributes:
        open_ms_min: from asking to lock, at least.
        cut_ms: lock to cut.
        watch_ms: lock to watch.
        span_ms_min: from asking to deadline, at least.
        span_ms_max: from asking to deadline, at most.
        target_wait_ms: a move's first index price must come this soon after the watch starts.
        gap_ms_max: a longer gap, or a longer part of the watch than `gap_bps_max`, voids;
            no gap up to `gap_ms_floor` does.
        warm_ms: a room opens on a feed that has had an index price for so long.
        held_ms: how long a price is held in a room that only says that it must be.
        pool_bps_of_cost: what part of the cost of the move a room on a thin feed may hold.
        live: whether rooms that take bets while they are watched are opened here.
    """

    open_ms_min: int = 5 * 60_000
    cut_ms: int = 10_000
    watch_ms: int = 30_000
    span_ms_min: int = 15 * 60_000
    span_ms_max: int = 30 * 86_400_000
    target_wait_ms: int = 10_000
    gap_ms_max: int = 60_000
    gap_bps_max: Bps = Bps(500)
    gap_ms_floor: int = 2_000
    warm_ms: int = 60_000
    move_bps_min: Bps = Bps(1)
    move_bps_max: Bps = Bps(5_000)
    protocol_fee_bps: Bps = Bps(200)
    host_fee_bps: Bps = Bps(100)
    stake_lamports_min: Lamports = Lamports(10_000_000)
    stake_lamports_max: Lamports = Lamports(5_000_000_000)
    seats_max: int = 100_000
    held_ms: int = 3_000
    pool_bps_of_cost: Bps = Bps(500)
    live: bool = False

    def __post_init__(self) -> None:
        must(0 < self.cut_ms < self.watch_ms, "the cut lies between lock and watch")
        must(self.span_ms_min > self.watch_ms, "a room lives longer than its lock to watch")
        must(self.protocol_fee_bps + self.host_fee_bps <= 1_000, "fees are at most 10 %")
        must(0 < self.held_ms <= HELD_MS_MAX, "a price is held for a minute at most")
        must(0 < self.pool_bps_of_cost <= BPS_WHOLE, "a pool is a part of the cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomRequest:
    """What a person asks for. Exactly one of ``move_bps`` and ``fixed_value`` is given.

    Attributes:
        move_bps: signed: +200 is "+2 %" from the first index price of the watch.
        fixed_value: at the feed's scale.
        comparator: which way a fixed value lies, as it was shown; None takes it from the price now.
        lock_in_ms: from now; deadline_in_ms too.
        held_ms: how long the price must stay at or past the target; 0: the first touch decides;
            None leaves it to what the feed needs.
        is_live: whether bets are taken while the room is watched.
        asset: what is staked in it; the stake limits are counted in it.
    """

    creator: int
    feed: str
    move_bps: int | None
    fixed_value: Value | None
    lock_in_ms: int
    deadline_in_ms: int
    stake_lamports_min: Lamports
    stake_lamports_max: Lamports
    seats: int | None = None
    comparator: Comparator | None = None
    held_ms: int | None = None
    is_live: bool = False
    asset: Asset = SOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room's rule: all that decides it, fixed at creation but for a move's target.

    Attributes:
        move_bps: unsigned; `comparator` says which way. None for a fixed value.
        target: None until a move's target is fixed by the first index price of the watch.
        gap_ms_max: a longer gap in the watch voids the room.
        held_ms: how long the price must stay at or past the target; 0: the first touch decides.
        is_live: bets are taken while it is watched, until it is touched or locks.
        pool_lamports_max: what may be staked in it together, on a thin feed.
        asset: the name of what is staked in it; amounts of it have ``asset_decimals``.
    """

    id: int
    creator: int
    feed: str
    scale: int
    comparator: Comparator
    move_bps: Bps | None
    target: Value | None
    opened_at: UnixMs
    lock_at: UnixMs
    cut_at: UnixMs
    watch_at: UnixMs
    deadline_at: UnixMs
    target_wait_ms: int
    gap_ms_max: int
    protocol_fee_bps: Bps
    host_fee_bps: Bps
    stake_lamports_min: Lamports
    stake_lamports_max: Lamports
    seats: int | None
    volatility_bps: Bps
    guards: Guards
    held_ms: int = 0
    is_live: bool = False
    pool_lamports_max: Lamports | None = None
    asset: str = SOL.name
    asset_decimals: int = SOL.decimals

    def __post_init__(self) -> None:
        must(0 <= self.id < 2**ROOM_ID_BITS, "a room's id is a 62-bit number")
        if self.is_live:
            must(
                self.opened_at <= self.watch_at < self.lock_at < self.deadline_at,
                "a live room opens, is watched, locks and ends, in this order",
            )
            must(self.move_bps is None, "a live room is about a fixed value")
        else:
            must(
                self.opened_at < self.lock_at < self.cut_at < self.watch_at < self.deadline_at,
                "a room opens, locks, is cut, is watched and ends, in this order",
            )
        must(0 <= self.held_ms <= HELD_MS_MAX, "a price is held for a minute at most")
        must(
            self.move_bps is not None or self.target is not None,
            "a room has a move or a fixed value",
        )
        must(self.target is None or self.target > 0, "a target is positive")

    @property
    def money(self) -> Asset:
        """Return what is staked in it."""
        return Asset(self.asset, self.asset_decimals)

    @property
    def is_move(self) -> bool:
        """Say whether the target is a move, so that every stake has the same weight."""
        return self.move_bps is not None


def room_from_request(
    request: RoomRequest,
    *,
    id: int,  # noqa: A002 - the room's own word
    now: UnixMs,
    price_now: Value,
    scale: int,
    volatility_bps: Bps,
    guards: Guards,
    limits: RoomLimits,
    is_thin: bool = False,
    side_lamports: Lamports | None = None,
) -> Room:
    """Fix a room's rule, or say what about the request must change.

    Args:
        request: what a person asks for.
        id: of the room to be.
        now: the moment of asking.
        price_now: the index price; only a fixed value looks at it.
        scale: the feed's, as are volatility and guards.
        volatility_bps: see `rooms.feed.Feed`.
        guards: by which the feed is judged.
        limits: of this installation.
        is_thin: whether the feed has few sources, so that it must be held and its pool is small.
        side_lamports: half of what lies in a thin feed's market, where anybody knows.

    Raises:
        Refused: with the code of the first rule that the request breaks.
    """
    if request.lock_in_ms < limits.open_ms_min:
        raise Refused(
            "lock_too_soon", f"Bets must stay open at least {limits.open_ms_min // 1000} s."
        )
    if request.deadline_in_ms < limits.span_ms_min:
        raise Refused("deadline_too_soon", f"A room lasts at least {limits.span_ms_min // 1000} s.")
    if request.deadline_in_ms > limits.span_ms_max:
        raise Refused(
            "deadline_too_late", f"A room lasts at most {limits.span_ms_max // 86_400_000} days."
        )
    if request.deadline_in_ms <= request.lock_in_ms + limits.watch_ms:
        raise Refused(
            "no_watch",
            f"The deadline must come more than {limits.watch_ms // 1000} s after bets lock.",
        )
    if not (
        limits.stake_lamports_min
        <= request.stake_lamports_min
        <= request.stake_lamports_max
        <= limits.stake_lamports_max
    ):
        raise Refused("bad_stake_limits", "The stake limits lie outside what this place allows.")
    if request.seats is not None and not 2 <= request.seats <= limits.seats_max:
        raise Refused("bad_seats", f"A room has 2 to {limits.seats_max} seats.")
    comparator, move_bps, target = _aim(request, price_now, limits)
    held_ms = _held_ms(request, limits, is_thin=is_thin)
    pool_lamports_max = None
    if is_thin and request.asset.is_token:
        raise Refused("thin_asset", "A room on a feed with few sources is in SOL.")
    if is_thin:
        move = move_bps or _distance_bps(price_now, target)
        pool_lamports_max = _pool_lamports_max(request, limits, side_lamports, move)
    if request.is_live:
        _check_live(request, limits)
    watch_at = now if request.is_live else UnixMs(now + request.lock_in_ms + limits.watch_ms)
    deadline_at = UnixMs(now + request.deadline_in_ms)
    return Room(
        id=id,
        creator=request.creator,
        feed=request.feed,
        scale=scale,
        comparator=comparator,
        move_bps=move_bps,
        target=target,
        opened_at=now,
        lock_at=UnixMs(now + request.lock_in_ms),
        cut_at=UnixMs(now + request.lock_in_ms + limits.cut_ms),
        watch_at=watch_at,
        deadline_at=deadline_at,
        target_wait_ms=limits.target_wait_ms,
        gap_ms_max=_gap_ms_max(deadline_at - watch_at, limits),
        protocol_fee_bps=limits.protocol_fee_bps,
        host_fee_bps=limits.host_fee_bps,
        stake_lamports_min=request.stake_lamports_min,
        stake_lamports_max=request.stake_lamports_max,
        seats=request.seats,
        volatility_bps=volatility_bps,
        guards=guards,
        held_ms=held_ms,
        is_live=request.is_live,
        pool_lamports_max=pool_lamports_max,
        asset=request.asset.name,
        asset_decimals=request.asset.decimals,
    )


def target_of_move(comparator: Comparator, move_bps: Bps, base: Value) -> Value:
    """Return the value a move away from ``base``, rounded away from it.

    Rounding away means that a target is never easier than what the room says.
    """
    assert base > 0, "a move starts at a value"
    if comparator is Comparator.UP:
        return Value(-(-base * (BPS_WHOLE + move_bps) // BPS_WHOLE))
    return Value(max(1, base * (BPS_WHOLE - move_bps) // BPS_WHOLE))


def reached(comparator: Comparator, target: Value, value: Value) -> bool:
    """Say whether ``value`` is at or past ``target``: equal counts."""
    return value >= target if comparator is Comparator.UP else value <= target


def freeze_distance(target: Value, volatility_bps: Bps) -> Value:
    """Return how near the target a live room takes no stake: 0.05 %, or 3 σ of a second · √8.

    So near, who hears the venues a moment sooner would know what we do not know yet.
    """
    moved = isqrt(volatility_bps**2 * 9 * 8 * 1_000 * _FINE**2 // _YEAR_MS) // BPS_WHOLE
    return Value(max(target * FREEZE_BPS_MIN // BPS_WHOLE, target * moved // _FINE))


def _aim(
    request: RoomRequest, price_now: Value, limits: RoomLimits
) -> tuple[Comparator, Bps | None, Value | None]:
    if (request.move_bps is None) == (request.fixed_value is None):
        raise Refused(
            "one_target", "Give a move such as +2 %, or a value such as 205: one of them."
        )
    if request.move_bps is not None:
        size = abs(request.move_bps)
        if not limits.move_bps_min <= size <= limits.move_bps_max:
            raise Refused(
                "bad_move",
                f"A move is between {text_from_whole(limits.move_bps_min, 2)} % "
                f"and {text_from_whole(limits.move_bps_max, 2)} %, up or down.",
            )
        return (Comparator.UP if request.move_bps > 0 else Comparator.DOWN), Bps(size), None
    value = request.fixed_value
    assert value is not None
    if value <= 0:
        raise Refused("bad_value", "A target is a positive number.")
    comparator = request.comparator or (Comparator.UP if value > price_now else Comparator.DOWN)
    if reached(comparator, value, price_now):
        raise Refused("target_passed", "The price is there already: choose a target away from it.")
    return comparator, None, value


def _held_ms(request: RoomRequest, limits: RoomLimits, *, is_thin: bool) -> int:
    held_ms = request.held_ms
    if held_ms is None:
        held_ms = limits.held_ms if is_thin else 0
    if not 0 <= held_ms <= HELD_MS_MAX:
        raise Refused("bad_hold", f"A price is held for at most {HELD_MS_MAX // 1000} s.")
    if is_thin and held_ms < limits.held_ms:
        raise Refused(
            "needs_hold",
            f"This feed has few sources: here a target must be held for at least "
            f"{limits.held_ms // 1000} s.",
        )
    return held_ms


def _distance_bps(price_now: Value, target: Value | None) -> int:
    assert target is not None, "a room has a move or a fixed value"
    return abs(target - price_now) * BPS_WHOLE // price_now


def _pool_lamports_max(
    request: RoomRequest, limits: RoomLimits, side: Lamports | None, move_bps: int
) -> Lamports:
    if side is None:
        raise Refused(
            "no_liquidity",
            "This feed has few sources, and what it takes to move it is not known just now; "
            "try again in a moment.",
        )
    found = pool_max(side, move_bps, limits.pool_bps_of_cost)
    if found < 2 * request.stake_lamports_min:
        raise Refused(
            "too_thin",
            "It takes so little to move this feed so far that no fair pool fits on it; "
            "choose a target further away.",
        )
    return found


def _check_live(request: RoomRequest, limits: RoomLimits) -> None:
    if not limits.live:
        raise Refused("live_off", "Rooms that take bets while they are watched are off here.")
    if request.fixed_value is None:
        raise Refused("live_fixed", "A room that takes bets while it is watched needs a value.")


def _gap_ms_max(watch_span_ms: int, limits: RoomLimits) -> int:
    part = watch_span_ms * limits.gap_bps_max // BPS_WHOLE
    return max(limits.gap_ms_floor, min(limits.gap_ms_max, part))


_CODE_DIGITS = "23456789abcdefghjkmnpqrstuvwxyz"


def room_code(room: int) -> str:
    """Write a room's id for people: short, without letters that look alike."""
    digits = ""
    while True:
        room, digit = divmod(room, len(_CODE_DIGITS))
        digits = _CODE_DIGITS[digit] + digits
        if not room:
            return digits


def room_from_code(code: str) -> int:
    """Read a room's id from what `room_code` wrote.

    Raises:
        Refused: when it cannot be one.
    """
    room = 0
    if not 0 < len(code) <= 13 or any(letter not in _CODE_DIGITS for letter in code):
        raise Refused("no_room", "There is no room of this name.")
    for letter in code:
        room = room * len(_CODE_DIGITS) + _CODE_DIGITS.index(letter)
    if room >= 2**ROOM_ID_BITS:
        raise Refused("no_room", "There is no room of this name.")
    return room


def room_named(name: str) -> int:
    """Read a room's id from its code, or from its number, which has more digits than a code.

    Raises:
        Refused: when it cannot be one.
    """
    if len(name) > 13 and name.isascii() and name.isdigit() and int(name) < 2**ROOM_ID_BITS:
        return int(name)
    return room_from_code(name)
