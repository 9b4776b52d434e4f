"""Audit heads: what the chain says of the audit log: heads that custody put there as memos.

In        the fee payer's address.
Out       the newest heads, each with its transaction.
Promises  a head counts only when the fee payer signed it and its transaction is final.
"""

import re
from typing import Final

from chain.rpc import SIGNATURES_MAX, Rpc
from rooms.audit_log import Head
from rooms.units import Address, Signature

HEADS_MAX: Final = 24
LISTED_MAX: Final = 10 * SIGNATURES_MAX
_SAID: Final = re.compile(r"r1 audit (?P<number>[1-9]\d{0,17}) (?P<hash>[0-9a-f]{64})")


def head_memo(head: Head) -> str:
    """Return the memo that puts a head on the chain."""
    return f"r1 audit {head.number} {head.hash}"


async def newest_heads(rpc: Rpc, fee_payer: Address) -> list[tuple[Head, Signature]]:
    """Return the newest heads on the chain, at most `HEADS_MAX`, the newest first.

    Raises:
        NotKnown: when the provider gives no answer.
    """
    found: list[tuple[Head, Signature]] = []
    before: Signature | None = None
    for _ in range(LISTED_MAX // SIGNATURES_MAX):
        listed = await rpc.signatures_for(fee_payer, before=before, commitment="finalized")
        for each in listed:
            if each.error is not None or (each.memo is not None and "r1 audit " not in each.memo):
                continue
            head = await _head(rpc, each.signature, fee_payer)
            if head is not None:
                found.append((head, each.signature))
            if len(found) == HEADS_MAX:
                return found
        if len(listed) < SIGNATURES_MAX:
            break
        before = listed[-1].signature
    return found


async def _head(rpc: Rpc, signature: Signature, fee_payer: Address) -> Head | None:
    landed = await rpc.transaction(signature, "finalized")
    if landed is None or landed.fee_payer != fee_payer:
        return None
    said = [_SAID.fullmatch(memo) for memo in landed.memos_of(fee_payer)]
    return next((Head(int(each["number"]), each["hash"]) for each in said if each), None)
