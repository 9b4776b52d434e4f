"""Room record: reads from a provider all that the finalized chain says of one room's vault.

In        a vault's address and its room.
Out       a `rooms.chain_record.ChainRecord`.
Promises  transactions are read whole, with their signatures checked; a failed one counts for
          nothing; more than `TRANSACTIONS_MAX` are refused, not cut off.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain.reading import LandedTransaction
from chain.rpc import SIGNATURES_MAX, Rpc
from chain.trouble import NotKnown
from rooms.chain_record import ChainRecord, StakeOnChain
from rooms.refusal import Impossible
from rooms.units import Address, Lamports, Signature

AT_ONCE: Final = 8
TRANSACTIONS_MAX: Final = 200_000
_STAKE: Final = re.compile(r"r1 stake (?P<room>\d+) (?P<stake>\d+) (?P<side>[YN])")
_SETTLED: Final = re.compile(r"r1 settled (?P<room>\d+) (YES|NO|VOID) (?P<hash>[0-9a-f]{64})")


async def read_room(rpc: Rpc, room: int, vault: Address) -> ChainRecord:
    """Read everything of a vault; of a room in a token, of the vault's account for it.

    Raises:
        NotKnown: when the provider gives no answer.
        Impossible: when there is more than can be read.
    """
    landed = await _transactions(rpc, vault)
    left: Counter[Address] = Counter()
    stakes: list[StakeOnChain] = []
    memos: list[tuple[str, Signature]] = []
    for each in landed:
        signers = {vault}
        for move in _moves(each):
            if move.source == vault and move.destination != each.fee_payer:
                left[move.destination] += move.amount
                signers.add(move.signer)
        memos += [(memo, each.signature) for signer in signers for memo in each.memos_of(signer)]
        stakes += _stakes(each, room, vault)
    return ChainRecord(memos=tuple(memos), stakes=tuple(stakes), left=dict(left))


async def settled_memo_of(rpc: Rpc, signature: Signature) -> tuple[int, str] | None:
    """Return the room and the hash that a transaction's settlement memo names, or None."""
    landed = await rpc.transaction(signature, "finalized")
    for memo in landed.memos if landed else ():
        said = _SETTLED.fullmatch(memo.text)
        if said and memo.signers:
            return int(said["room"]), said["hash"]
    return None


async def _transactions(rpc: Rpc, vault: Address) -> list[LandedTransaction]:
    """Read a vault's transactions, the oldest first."""
    names: list[Signature] = []
    before: Signature | None = None
    while True:
        listed = await rpc.signatures_for(vault, before=before, commitment="finalized")
        names += [each.signature for each in listed]
        if len(names) > TRANSACTIONS_MAX:
            raise Impossible(f"{vault} has more than {TRANSACTIONS_MAX} transactions")
        if len(listed) < SIGNATURES_MAX:
            break
        before = listed[-1].signature
    found: list[LandedTransaction] = []
    for start in range(0, len(names), AT_ONCE):
        found += await asyncio.gather(
            *(_read(rpc, name) for name in names[start : start + AT_ONCE])
        )
    return [each for each in reversed(found) if each.error is None]


async def _read(rpc: Rpc, name: Signature) -> LandedTransaction:
    landed = await rpc.transaction(name, "finalized")
    if landed is None:
        raise NotKnown(f"{rpc.name} lists {name} and does not have it")
    return landed


@dataclass(frozen=True, slots=True)
class _Move:
    """Lamports or tokens that moved, and who signed for them: of a token account, its wallet."""

    source: Address
    destination: Address
    signer: Address
    amount: int


def _moves(landed: LandedTransaction) -> list[_Move]:
    return [
        *(
            _Move(each.source, each.destination, each.source, each.lamports)
            for each in landed.moved
        ),
        *(
            _Move(each.source, each.destination, each.authority, each.amount)
            for each in landed.tokens_moved
        ),
    ]


def _stakes(landed: LandedTransaction, room: int, vault: Address) -> Sequence[StakeOnChain]:
    return [
        StakeOnChain(
            stake=int(said["stake"]),
            side=said["side"],
            address=moved.source,
            lamports=Lamports(moved.amount),
            signature=landed.signature,
            at=landed.block_time,
        )
        for moved in _moves(landed)
        if moved.destination == vault and moved.signer != landed.fee_payer
        for memo in landed.memos_of(moved.signer)
        if (said := _STAKE.fullmatch(memo)) and int(said["room"]) == room
    ]
