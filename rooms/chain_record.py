"""Chain record: what the chain itself says of a room, beside its evidence.

In        what left the room's vault and came to it, with the memos that their owners signed.
Out       findings: the memo with the evidence's hash, every stake, every payout.
Promises  a memo counts only when the owner of the money signed it; amounts are of instructions.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rooms.evidence import Evidence
from rooms.units import Address, Lamports, Signature, UnixMs
from rooms.verification import Finding


@dataclass(frozen=True, slots=True)
class StakeOnChain:
    """A transfer to the vault with a stake's memo."""

    stake: int
    side: str
    address: Address
    lamports: Lamports
    signature: Signature
    at: UnixMs | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRecord:
    """What lies on the chain of one room, finalized.

    Attributes:
        memos: that the vault signed, each with its transaction.
        stakes: what came by a stake's memo.
        left: what left the vault, by address; what went back to the operator's fee payer is not
            in it.
    """

    memos: Sequence[tuple[str, Signature]]
    stakes: Sequence[StakeOnChain]
    left: Mapping[Address, int]


def settled_memo(evidence: Evidence, evidence_hash: str) -> str:
    """Return the memo that travels with a room's first payouts."""
    return f"r1 settled {evidence.room.id} {evidence.division.outcome} {evidence_hash}"


def compare(evidence: Evidence, evidence_hash: str, record: ChainRecord) -> list[Finding]:
    """Compare a room's evidence with the chain."""
    settled = [(memo, name) for memo, name in record.memos if memo.startswith("r1 settled ")]
    said = settled[0][1] if settled else "none"
    return [
        Finding("memo on chain", said, "; ".join(_memos(evidence, evidence_hash, record)) or None),
        Finding(
            "stakes on chain",
            f"{len(record.stakes)} transfers to the vault",
            "; ".join(_stakes(evidence, record)) or None,
        ),
        Finding(
            "payouts on chain",
            f"{sum(record.left.values())} lamports to {len(record.left)} addresses",
            "; ".join(_payouts(evidence, record)) or None,
        ),
    ]


def owed(evidence: Evidence) -> dict[Address, int]:
    """Return what a settlement owes to each address."""
    division = evidence.division
    amounts: Counter[Address] = Counter()
    for payout in division.payouts:
        amounts[payout.address] += payout.lamports
    for refund in division.refunds:
        amounts[refund.address] += refund.lamports
    if division.shares + division.house:
        amounts[evidence.treasury] += division.shares + division.house
    return dict(amounts)


def _memos(evidence: Evidence, evidence_hash: str, record: ChainRecord) -> Iterator[str]:
    wanted = settled_memo(evidence, evidence_hash)
    found = {memo for memo, _ in record.memos if memo.startswith("r1 settled ")}
    if not found and owed(evidence):
        yield "no transaction of the vault says how it was settled"
    for memo in sorted(found - {wanted}):
        yield f"the chain says: {memo}"


def _stakes(evidence: Evidence, record: ChainRecord) -> Iterator[str]:
    found = {each.stake: each for each in record.stakes}
    for stake in evidence.stakes:
        there = found.get(stake.id)
        if there is None:
            yield f"stake {stake.id} is not there"
        elif (there.address, there.lamports, there.side, there.signature) != (
            stake.address, stake.lamports, stake.side[0], stake.signature,
        ):  # fmt: skip
            yield (
                f"stake {stake.id} is {there.lamports} on {there.side} from {there.address} by "
                f"{there.signature}"
            )
        elif there.at is not None and there.at != stake.landed_at:
            yield f"stake {stake.id} landed at {there.at}"


def _payouts(evidence: Evidence, record: ChainRecord) -> Iterator[str]:
    """Compare what left with what is owed, and with stakes that missed the cut and go back."""
    counted = {stake.id for stake in evidence.stakes}
    wanted: Counter[Address] = Counter(owed(evidence))
    for stake in record.stakes:
        if stake.stake not in counted:
            wanted[stake.address] += stake.lamports
    for address in sorted({*wanted, *record.left}):
        left = record.left.get(address, 0)
        if left != wanted[address]:
            yield f"{address} got {left}, {wanted[address]} is owed"
