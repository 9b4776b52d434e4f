"""Evidence: everything that a settlement follows from, as one text that anyone can hash again.

In        a room's rule, what decided it, the stakes that count, the division.
Out       a bundle of plain JSON values; its SHA-256 in hex.
Promises  the same facts give the same hash, whatever their order; people appear by their Solana
          addresses only; whole numbers past 2^53 are text.
Why       the hash goes into a memo on chain, so that the bundle cannot be changed afterwards.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rooms.pool import Stake
from rooms.room import Room
from rooms.settlement import Settlement
from rooms.units import Address, UnixMs, Value


def evidence(
    room: Room,
    *,
    base: Value | None,
    decided_at: UnixMs,
    crossing: Mapping[str, Any] | None,
    stakes: Iterable[Stake],
    addresses: Mapping[int, Address],
    settlement: Settlement,
) -> dict[str, Any]:
    """Put together what a settlement follows from.

    Args:
        room: the rule, its target fixed where it is a move.
        base: the index price that fixed a move's target.
        decided_at: the log's time of the decision.
        crossing: the crossing as it was written down, or None.
        stakes: those that count.
        addresses: of everyone who has one of them.
        settlement: the division.
    """
    return {
        "room": {
            "id": str(room.id),
            "feed": room.feed,
            "scale": room.scale,
            "comparator": int(room.comparator),
            "move_bps": room.move_bps,
            "base": _text(base),
            "target": _text(room.target),
            "opened_at": room.opened_at,
            "lock_at": room.lock_at,
            "cut_at": room.cut_at,
            "watch_at": room.watch_at,
            "deadline_at": room.deadline_at,
            "target_wait_ms": room.target_wait_ms,
            "gap_ms_max": room.gap_ms_max,
            "protocol_fee_bps": room.protocol_fee_bps,
            "host_fee_bps": room.host_fee_bps,
            "held_ms": room.held_ms,
            "is_live": room.is_live,
            "pool_lamports_max": _text(room.pool_lamports_max),
            "guards": asdict(room.guards),
        },
        "decided_at": decided_at,
        "crossing": crossing,
        "stakes": [
            {
                "id": str(stake.id),
                "bet": str(stake.bet),
                "address": addresses[stake.user],
                "side": stake.side.value,
                "lamports": str(stake.lamports),
                "weight_bps": stake.weight_bps,
            }
            for stake in sorted(stakes, key=lambda stake: stake.id)
        ],
        "division": {
            "outcome": settlement.outcome.value,
            "reason": settlement.reason and settlement.reason.value,
            "pool": str(settlement.pool),
            "payouts": [
                {"bet": str(payout.bet), "lamports": str(payout.lamports)}
                for payout in settlement.payouts
            ],
            "refunds": [
                {"stake": str(refund.stake), "lamports": str(refund.lamports)}
                for refund in settlement.refunds
            ],
            "shares": str(sum(lamports for _, lamports in settlement.shares)),
            "house": str(settlement.house),
        },
    }


def evidence_hash(bundle: Mapping[str, Any]) -> str:
    """Hash a bundle: SHA-256 over its JSON with sorted keys and no blanks, in UTF-8."""
    text = json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
