"""Units: what our whole numbers count, each under a name of its own.

Holds     lamports, values, basis points, moments, slots and block heights.
Promises  everything counted is an int; the only division of money is `share_floor`.
Why       a float rounds silently and differently from place to place; an int cannot.
"""

from typing import NewType

Lamports = NewType("Lamports", int)
"""10^-9 SOL; beside another asset, its smallest unit. All money is counted in these."""

Value = NewType("Value", int)
"""A feed's value times 10^scale of that feed. Two feeds' values are never compared."""

Bps = NewType("Bps", int)
"""1/10,000."""

UnixMs = NewType("UnixMs", int)
"""Milliseconds since 1970, UTC. Every moment in the product is one of these."""

Slot = NewType("Slot", int)
"""Solana's clock."""

BlockHeight = NewType("BlockHeight", int)
"""Solana's count of real blocks: skipped slots have none. A blockhash lives in height."""

Address = NewType("Address", str)
"""A Solana address in base58."""

Signature = NewType("Signature", str)
"""A Solana transaction's first signature in base58: the transaction's name."""

BPS_WHOLE = Bps(10_000)
LAMPORTS_PER_SOL = Lamports(1_000_000_000)
LAMPORTS_MAX = Lamports(2**63 - 1)


def share_floor(amount: int, part: int, whole: int) -> int:
    """Return ``amount * part / whole`` rounded down; the caller answers for what is left over."""
    assert whole > 0, "a share is taken of something"
    assert 0 <= part <= whole, "a share is at most the whole"
    assert amount >= 0, "money is shared, never debt"
    return amount * part // whole
