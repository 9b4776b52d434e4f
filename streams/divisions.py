"""Divisions: derives every plan again before a key is used for it.

In        planned transfers that are about to be signed together.
Out       nothing, when each is what the sealed pool, the stake or the withdrawal says; else the
          room or withdrawal set aside, a breach, and everything paused.
Promises  a payout, a refund and shares are signed only when `rooms.settlement` over the sealed pool
          gives just these lamports to just these people, and the evidence hash is the one that the
          memo will say; nothing is signed to an address that is not on record for it.
Why       the process that plans has no keys; who has keys believes no plan. So a wrong or tampered
          row costs a pause and no money.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from rooms.audit import Breach, Rule
from rooms.canonical import content_hash, plain_of
from rooms.evidence import division_of, plain_division
from rooms.pool import pool_of
from rooms.refusal import Impossible, must
from rooms.transfer import TransferKind
from rooms.units import Lamports
from storage import audit, divisions, set_aside
from storage.attempts import DueTransfer
from storage.connections import Connection, transaction
from storage.divisions import Written
from streams.custody import Custody
from streams.settlements import divide

log = structlog.get_logger()

REMEMBERED_MAX: Final = 8
"""Rooms whose division is remembered: it never changes, and a large one has many batches."""

_DIVIDED = (TransferKind.PAYOUT, TransferKind.REFUND, TransferKind.SHARES)


async def are_as_planned(custody: Custody, together: Sequence[DueTransfer]) -> bool:
    """Say whether all of these may be signed; what may not is set aside and everything paused."""
    async with custody.connections.acquire() as connection:
        wrong = {
            key: f"{key} is not what its rows and our addresses say"
            for _, key in await divisions.otherwise(
                connection, [each.transfer.id for each in together]
            )
        }
        for each in together:
            key = each.key
            if each.transfer.kind in _DIVIDED and key not in wrong:
                why = await _divided_otherwise(custody, connection, each)
                if why is not None:
                    wrong[key] = why
    if not wrong:
        return True
    async with transaction(custody.connections) as connection:
        for each in together:
            if each.key in wrong:
                why = wrong[each.key]
                origin = _origin(each)
                await set_aside.set_aside(connection, origin, each.key, why)
                await audit.report(connection, Breach(Rule.PLANNED_OTHERWISE, each.key, why))
                log.error("breach", rule=Rule.PLANNED_OTHERWISE, what=why, set_aside=origin)
    return False


def derive(written: Written) -> Mapping[str, Lamports]:
    """Divide a settled room's pool again; return what each planned transfer must move.

    Raises:
        Impossible: when the seal, the stakes and what was written do not say the same.
    """
    decided = written.decided
    pool = pool_of(decided.stakes)
    must((pool.yes, pool.no) == written.sealed, "the stakes that count are the sealed pool")
    settlement = divide(decided, pool.total)
    must(
        (settlement.outcome, settlement.pool, settlement.house, settlement.shares)
        == (written.outcome, written.pool, written.house, written.shares),
        "the settlement is what the sealed pool gives",
    )
    must(content_hash(written.bundle) == written.evidence_hash, "the evidence is what was hashed")
    division = plain_division(division_of(settlement, decided.stakes, decided.addresses))
    must(plain_of(written.bundle)["division"] == division, "the evidence says the same division")
    room = decided.room.rule.id
    due = {f"payout:{room}:{payout.user}": payout.lamports for payout in settlement.payouts} | {
        f"refund:{refund.stake}": refund.lamports for refund in settlement.refunds
    }
    rest = settlement.house + sum(lamports for _, lamports in settlement.shares)
    return due | {f"shares:{room}": Lamports(rest)}


async def _divided_otherwise(
    custody: Custody, connection: Connection, due: DueTransfer
) -> str | None:
    transfer = due.transfer
    assert transfer.room is not None, "what leaves a vault is of a room"
    if transfer.kind is TransferKind.REFUND:
        assert transfer.subject is not None, "a refund is of a stake"
        if transfer.subject in await divisions.missed(connection, [transfer.subject]):
            return None
    known = custody.divisions.get(transfer.room)
    if known is None:
        written = await divisions.settled(connection, transfer.room)
        if written is None:
            return f"{due.key} is planned and its room has no settlement"
        try:
            known = derive(written)
        except Impossible as wrong:
            return f"{due.key} is of a room that does not add up: {wrong}"
        while len(custody.divisions) >= REMEMBERED_MAX:
            custody.divisions.pop(next(iter(custody.divisions)))
        custody.divisions[transfer.room] = known
    if known.get(due.key) != transfer.lamports:
        return (
            f"{due.key} moves {transfer.lamports} lamports, and the sealed pool gives "
            f"{known.get(due.key, 0)}"
        )
    return None


def _origin(due: DueTransfer) -> str:
    """Name what is signed no more until a person has looked: the room, or the withdrawal alone."""
    room = due.transfer.room
    return f"signing/{due.key}" if room is None else f"signing/room:{room}"
