"""Weight: how much of the losing pool a stake on a fixed value may claim.

In        the value now, the target, the time left, the feed's volatility, the side.
Out       the driftless chance of the side in basis points; the weight (1 − p) / p, at most 5.
Promises  whole numbers from end to end, the same on every machine.
Why       in a pool, who bets last with the outcome nearly known takes the others' money;
          weighing a stake by the odds against it at that moment leaves nothing to take.
"""

from math import isqrt
from typing import Final

from rooms.room import Side
from rooms.units import BPS_WHOLE, Bps, Value

YEAR_MS: Final = 365 * 86_400_000
CHANCE_BPS_MIN: Final = Bps(200)
CHANCE_BPS_MAX: Final = Bps(9_800)
WEIGHT_BPS_MAX: Final = Bps(50_000)

_TWICE_UPPER_TAIL_BPS: Final = (
    10000, 9203, 8415, 7642, 6892, 6171, 5485, 4839, 4237, 3681, 3173, 2713, 2301, 1936, 1615,
    1336, 1096, 891, 719, 574, 455, 357, 278, 214, 164, 124, 93, 69, 51, 37, 27,
)  # fmt: skip
"""2 · (1 − Φ(z)) in basis points for z = 0.0, 0.1, … 3.0."""

_E9: Final = 10**9


def chance_bps(
    *, value: Value, target: Value, left_ms: int, volatility_bps: Bps, side: Side
) -> Bps:
    """Return the driftless chance of ``side``, held between 2 % and 98 %.

    The chance to touch in time is 2 · (1 − Φ(d / (σ √t))), d the logarithm of target over value.
    """
    assert target > 0, "a target is positive"
    if value == 0:
        # A condition that does not hold says nothing about how near it is.
        return Bps(BPS_WHOLE // 2)
    assert value > 0, "a value is not negative"
    distance = _log_e9(max(value, target), min(value, target))
    # σ √t in 10^-9: volatility_bps / 10^4 · √(left / year), the root taken of a scaled square.
    deviation = isqrt(volatility_bps**2 * max(left_ms, 0) * _E9**2 // YEAR_MS) // BPS_WHOLE
    touched = _twice_upper_tail_bps(distance, deviation)
    chance = touched if side is Side.YES else BPS_WHOLE - touched
    return Bps(min(CHANCE_BPS_MAX, max(CHANCE_BPS_MIN, chance)))


def weight_bps(chance: Bps) -> Bps:
    """Return (1 − p) / p in basis points, at most 5 and never nothing."""
    assert 0 < chance < BPS_WHOLE, "a chance is held off 0 and 1"
    return Bps(max(1, min(WEIGHT_BPS_MAX, (BPS_WHOLE - chance) * BPS_WHOLE // chance)))


def _twice_upper_tail_bps(distance_e9: int, deviation_e9: int) -> int:
    if distance_e9 == 0:
        return BPS_WHOLE
    if deviation_e9 == 0:
        return 0
    tenths, thousandths = divmod(distance_e9 * 10_000 // deviation_e9, 1_000)
    if tenths + 1 >= len(_TWICE_UPPER_TAIL_BPS):
        return _TWICE_UPPER_TAIL_BPS[-1]
    here, there = _TWICE_UPPER_TAIL_BPS[tenths], _TWICE_UPPER_TAIL_BPS[tenths + 1]
    return here - (here - there) * thousandths // 1_000


def _log_e9(larger: int, smaller: int) -> int:
    """Return ln(larger / smaller) · 10^9 by 2 · artanh, its terms summed until they vanish."""
    halvings = 0
    while larger >= 2 * smaller:
        smaller *= 2
        halvings += 1
    ratio = (larger - smaller) * _E9 // (larger + smaller)
    term, power, total = ratio, 1, 0
    while term:
        total += term // power
        term = term * ratio // _E9 * ratio // _E9
        power += 2
    return 2 * total + halvings * 693_147_181
