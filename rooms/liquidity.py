"""Liquidity: how much money moves a thin market, and what a room on it may hold.

In        what lies in the market and what SOL costs, in dollars; the move that a room is about.
Out       lamports.
Promises  whole numbers, rounded down.
Why       where one purse can move the price, a room must never hold more than a small part of what
          the move costs: else the move pays for itself.
"""

from math import isqrt
from typing import Final

from rooms.refusal import must
from rooms.units import BPS_WHOLE, LAMPORTS_PER_SOL, Bps, Lamports, Value

SOL_FEED: Final = "SOL/USD"
"""What a market's dollars are counted against."""

_WHOLE: Final = 10**8


def side_lamports(market: Value, market_scale: int, sol: Value, sol_scale: int) -> Lamports:
    """Return one half of what lies in a market, in lamports.

    Args:
        market: dollars in the market, both halves together, at its scale.
        market_scale: of ``market``.
        sol: what a SOL costs in dollars, at its scale.
        sol_scale: of ``sol``.
    """
    must(sol > 0, "a SOL costs something")
    return Lamports(market * 10**sol_scale * LAMPORTS_PER_SOL // (2 * 10**market_scale * sol))


def cost_of_move(side: Lamports, move_bps: int) -> Lamports:
    """Return what it costs to move the price of a pool of two halves: half · (√(1 + move) − 1)."""
    assert move_bps >= 0, "a move has a size"
    root = isqrt((BPS_WHOLE + move_bps) * _WHOLE * _WHOLE // BPS_WHOLE)
    return Lamports(side * (root - _WHOLE) // _WHOLE)


def pool_max(side: Lamports, move_bps: int, part_bps: Bps) -> Lamports:
    """Return what a room about a move may hold: so small a part of what the move costs."""
    return Lamports(cost_of_move(side, move_bps) * part_bps // BPS_WHOLE)
