"""Settlements: the stage that divides decided pools, once they are sealed.

In        decided and sealed rooms; settled rooms of which nothing can move any more.
Out       settlements with their evidence, entries and planned transfers; paid rooms; what is told.
Promises  a room is divided once; the whole pool is given away and no more; a room whose sums do
          not agree is set aside for a person and holds nobody up.
"""

import structlog

from rooms import ledger
from rooms.canonical import canonical, content_hash
from rooms.event import Event, Kind
from rooms.evidence import RULE_VERSION, Evidence, bundle_of, division_of
from rooms.ledger import Account
from rooms.refusal import Impossible, must
from rooms.room import Outcome
from rooms.settlement import Settlement, settle
from rooms.units import Lamports, UnixMs
from storage import evidence as evidence_rows
from storage import leases, outbox, plans, rooms, set_aside, settlements
from storage import ledger as accounts
from storage.connections import Connection, transaction
from storage.evidence import Witnessed
from storage.leases import Lease
from storage.settlements import Decided, Divided
from streams.money import Money

log = structlog.get_logger()


async def claim_settlements(money: Money) -> int:
    """Divide rooms that are decided and sealed; return how many were looked at."""
    async with transaction(money.connections) as connection:
        # A segment is waited for only while somebody records.
        is_recorded = money.evidence_wait_ms > 0 and await leases.is_taken(
            connection, Lease.RECORDER
        )
        decided = await settlements.claim(
            connection,
            money.settled_max,
            wait_ms=money.evidence_wait_ms,
            is_recorded=is_recorded,
        )
        if not decided:
            return 0
        pools = await accounts.balances(connection, [_pool(each) for each in decided])
        seen = await evidence_rows.gather(
            connection, [settlements.watched(each) for each in decided]
        )
        divided: list[tuple[Decided, Divided]] = []
        for each in decided:
            room = each.room.rule.id
            try:
                settlement = divide(each, pools[_pool(each)])
                divided.append((each, witness(each, settlement, seen[room])))
            except Impossible as wrong:
                await set_aside.set_aside(connection, f"rooms/{room}", repr(each), str(wrong))
                log.error("room_set_aside", room=room, why=str(wrong))
        await _write(connection, divided)
    return len(decided)


async def claim_paid(money: Money) -> int:
    """Note which settled rooms have nothing left to move; return how many."""
    async with transaction(money.connections) as connection:
        return len(
            await rooms.mark_paid(connection, await rooms.finished(connection, money.batch_max))
        )


def _pool(decided: Decided) -> Account:
    return ledger.pool(decided.room.rule.id).of(decided.room.rule.asset)


def divide(decided: Decided, pool: Lamports) -> Settlement:
    """Divide a room's pool.

    Args:
        decided: the room with its stakes.
        pool: what the ledger has on the room's pool account.

    Raises:
        Impossible: when the stakes, the seal and the ledger do not say the same.
    """
    room, rule = decided.room, decided.room.rule
    assert room.outcome is not None, "a decided room has an outcome"
    settlement = settle(
        decided.stakes,
        room.outcome,
        room.void_reason,
        host=rule.creator,
        protocol_fee_bps=rule.protocol_fee_bps,
        host_fee_bps=rule.host_fee_bps,
    )
    must(settlement.pool == room.sealed_lamports, "the stakes that count are the sealed pool")
    must(settlement.pool == pool, "the sealed pool is what the ledger has for it")
    return settlement


def witness(decided: Decided, settlement: Settlement, witnessed: Witnessed) -> Divided:
    """Put a settlement together with everything that it follows from."""
    room, rule = decided.room, decided.room.rule
    assert room.outcome is not None, "a decided room has an outcome"
    assert room.decided_at is not None, "a decided room has its moment"
    evidence = Evidence(
        rule_version=RULE_VERSION,
        room=rule,
        vault=witnessed.vault,
        treasury=witnessed.treasury,
        made=witnessed.made,
        caps=witnessed.caps,
        base=witnessed.base,
        outcome=room.outcome,
        reason=room.void_reason,
        decided_at=room.decided_at,
        crossing=decided.crossing,
        coverage=witnessed.coverage,
        spans=witnessed.spans,
        segments=witnessed.segments,
        seal=witnessed.seal,
        stakes=witnessed.stakes(decided.stakes, decided.addresses),
        division=division_of(settlement, decided.stakes, decided.addresses),
    )
    text = canonical(bundle_of(evidence))
    return Divided(
        room=rule.id, settlement=settlement, bundle=text, evidence_hash=content_hash(text)
    )


async def _write(connection: Connection, divided: list[tuple[Decided, Divided]]) -> None:
    if not divided:
        return
    results = [each for _, each in divided]
    at = await settlements.insert(connection, results)
    await outbox.tell(connection, [_settled(one, each, at) for one, each in divided])
    for decided, each in divided:
        await outbox.tell_bettors(connection, each.room, at, _bettors(decided, each))
    await accounts.post(
        connection,
        [
            ledger.settlement(each.room, each.settlement.pool).of(one.room.rule.asset)
            for one, each in divided
            if each.settlement.pool
        ],
    )
    await plans.plan_payouts(
        connection,
        [
            (each.room, payout.user, payout.lamports)
            for each in results
            for payout in each.settlement.payouts
        ],
    )
    await plans.plan_refunds(
        connection, [refund.stake for each in results for refund in each.settlement.refunds]
    )
    await plans.plan_shares(connection, [each.room for each in results])
    await rooms.mark_paid(connection, [each.room for each in results])
    await outbox.wake(connection, "custody")
    for each in results:
        log.info("room_settled", room=each.room, outcome=each.settlement.outcome.value,
                 pool=each.settlement.pool)  # fmt: skip


def _settled(decided: Decided, divided: Divided, at: UnixMs) -> Event:
    settlement = divided.settlement
    return Event(
        Kind.ROOM_SETTLED,
        at,
        room=divided.room,
        facts={
            "outcome": settlement.outcome.value,
            "reason": settlement.reason and settlement.reason.value,
            "pool": str(settlement.pool),
            "payouts": len(settlement.payouts) + len(settlement.refunds),
            "evidence_hash": divided.evidence_hash,
            **decided.room.rule.money.facts,
        },
    )


def _bettors(decided: Decided, divided: Divided) -> list[tuple[int, Lamports, Lamports | None]]:
    """Return everybody with what was staked and what will be paid; nobody when it is a void."""
    settlement = divided.settlement
    if settlement.outcome is Outcome.VOID:
        return []
    staked: dict[int, int] = {}
    for stake in decided.stakes:
        staked[stake.user] = staked.get(stake.user, 0) + stake.lamports
    paid = {payout.user: payout.lamports for payout in settlement.payouts}
    return [(user, Lamports(lamports), paid.get(user)) for user, lamports in staked.items()]
