"""Receipts: the fate of each live attempt, asked of two providers and posted to the ledger.

In        live attempts; what the finalized chain says of them.
Out       entries for fees, floors and transfers; stakes in the pool or due back; what is told.
Promises  only what is final is posted; what landed is compared with what was planned, instruction
          by instruction, before a lamport is posted; an attempt is posted once.
Why       PostgreSQL makes the entries itself, out of the rows of plan and attempt: whoever speaks
          for custody can say what happened, and cannot invent an account or an amount.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from chain.fate import Asked, FateReading, ask_fates
from chain.reading import LandedTransaction
from chain.tokens import Token
from chain.trouble import Frozen
from rooms.event import Event, Kind
from rooms.transfer import Fate, TransferKind
from rooms.units import Address, Lamports, Signature, UnixMs
from storage import attempts, outbox, plans, restores
from storage.attempts import LiveAttempt, OpenTransfer, PlannedTransfer
from storage.connections import Connection, transaction
from streams import releases
from streams.batches import destination_of
from streams.custody import Custody
from streams.freezing import freeze
from streams.tokens import read_tokens

log = structlog.get_logger()

Move = tuple[Address | None, Address, Address, int]
"""The mint of what moved, or None for lamports; from where, to where, how much."""


async def post_fates(custody: Custody) -> int:
    """Ask for the fate of every live attempt and post what is final; return how many ended."""
    async with custody.connections.acquire() as connection:
        live = await attempts.live(connection)
    custody.hints.want_signatures(each.signature for each in live)
    if not live:
        return 0
    readings = await ask_fates(
        custody.providers,
        [Asked(each.signature, each.last_valid_height, each.context_slot) for each in live],
    )
    ended = 0
    for attempt in live:
        try:
            ended += await _post(custody, attempt, readings[attempt.signature])
        except Frozen as why:
            # What this one did is for a person to look at; the others are posted all the same.
            await freeze(custody, why)
    return ended


async def _post(custody: Custody, attempt: LiveAttempt, reading: FateReading) -> bool:
    landing = reading.landing
    fate = reading.fate
    if fate is Fate.UNKNOWN or (landing is not None and not landing.finalized):
        return False
    async with transaction(custody.connections) as connection:
        if not await attempts.lock(connection, attempt.id):
            return False
        restoring = await restores.under_way(connection) is not None
        open_transfers = await attempts.transfers_of(connection, attempt.id)
        floors = await attempts.floors_of(connection, attempt.id)
        if fate is Fate.LAPSED:
            await attempts.finish(connection, attempt.id, "LAPSED")
            await releases.follow(connection, open_transfers, fate, restoring=restoring)
        else:
            assert landing is not None, "what is in a block has landed somewhere"
            assert reading.transaction is not None, "what is in a block can be read"
            if fate is Fate.REFUSED:
                await attempts.finish(
                    connection, attempt.id, "REFUSED", slot=landing.slot,
                    block_at=landing.block_time, fee=landing.fee, error=reading.error,
                )  # fmt: skip
                await releases.follow(connection, open_transfers, fate, restoring=restoring)
            else:
                tokens = await read_tokens(connection)
                _check_plan(reading.transaction, open_transfers, floors, custody, tokens)
                await attempts.finish(
                    connection, attempt.id, "LANDED", slot=landing.slot,
                    block_at=landing.block_time, fee=landing.fee,
                )  # fmt: skip
                await _land(connection, attempt.signature, reading, open_transfers)
            await attempts.post_receipts(connection, [attempt.id])
    log.info("posted", signature=attempt.signature, fate=fate.name, transfers=len(open_transfers))
    return True


def _check_plan(
    landed: LandedTransaction,
    open_transfers: Sequence[OpenTransfer],
    floors: Sequence[tuple[Address, Lamports]],
    custody: Custody,
    tokens: Mapping[str, Token],
) -> None:
    """Compare what happened with what was planned.

    Raises:
        Frozen: when the signed transaction did anything else.
    """
    payer = custody.operator.fee_payer
    planned = Counter[Move](_move(each.transfer, tokens) for each in open_transfers)
    planned.update((None, payer, address, lamports) for address, lamports in floors)
    happened = Counter[Move](
        (None, each.source, each.destination, each.lamports) for each in landed.moved
    )
    happened.update(
        (each.mint, each.source, each.destination, each.amount) for each in landed.tokens_moved
    )
    if planned != happened:
        raise Frozen(f"{landed.signature} moved something else than was planned")


def _move(planned: PlannedTransfer, tokens: Mapping[str, Token]) -> Move:
    token = tokens.get(planned.asset.name)
    if token is None:
        return None, planned.source, planned.destination, planned.lamports
    return token.mint, planned.source, destination_of(planned, token), planned.lamports


async def _land(
    connection: Connection,
    signature: Signature,
    reading: FateReading,
    open_transfers: Sequence[OpenTransfer],
) -> None:
    landing = reading.landing
    assert landing is not None, "a landing is posted"
    events: list[Event] = []
    rooms = sorted(
        {each.transfer.room for each in open_transfers if each.transfer.room is not None}
    )
    judged = {room: await attempts.lock_room(connection, room) for room in rooms}
    for each in open_transfers:
        transfer = each.transfer
        if transfer.kind is TransferKind.STAKE:
            assert transfer.room is not None, "a stake has a room"
            in_time = landing.block_time <= judged[transfer.room].cut_at
            if in_time and judged[transfer.room].sealed:
                raise Frozen(f"stake {transfer.subject} landed in time, after its room was sealed")
            await _land_stake(connection, transfer, signature, reading, in_time=in_time)
            events += await _told_of_stake(
                connection, transfer, signature, landing.block_time, in_time=in_time
            )
        else:
            events += _told(transfer, signature, landing.block_time)
            if transfer.kind is TransferKind.WITHDRAWAL:
                assert transfer.subject is not None, "a withdrawal is one"
                await attempts.end_withdrawal(connection, transfer.subject, "PAID")
    await attempts.land(connection, [each.transfer.id for each in open_transfers])
    for room in rooms:
        if await attempts.pay_room(connection, room):
            events.append(Event(Kind.ROOM_PAID, landing.block_time, room=room))
    await outbox.tell(connection, events)
    if any(each.transfer.kind is TransferKind.STAKE for each in open_transfers):
        await outbox.wake(connection, "custody")


async def _land_stake(
    connection: Connection,
    transfer: PlannedTransfer,
    signature: Signature,
    reading: FateReading,
    *,
    in_time: bool,
) -> None:
    assert reading.landing is not None, "a landed stake is in a block"
    assert transfer.subject is not None, "a stake has an id"
    await attempts.land_stake(
        connection,
        transfer.subject,
        in_time=in_time,
        landed_at=reading.landing.block_time,
        slot=reading.landing.slot,
        signature=signature,
    )
    if not in_time:
        await plans.plan_refunds(connection, [transfer.subject])


async def _told_of_stake(
    connection: Connection,
    transfer: PlannedTransfer,
    signature: Signature,
    at: UnixMs,
    *,
    in_time: bool,
) -> list[Event]:
    assert transfer.room is not None, "a stake has a room"
    facts: dict[str, object] = {"lamports": str(transfer.lamports), **transfer.asset.facts}
    if not in_time:
        return [Event(Kind.STAKE_MISSED, at, room=transfer.room, user=transfer.user, facts=facts)]
    yes, no = await attempts.pool(connection, transfer.room)
    side = await attempts.side_of(connection, transfer.subject or 0)
    facts |= {"side": side, "signature": signature}
    return [
        Event(
            Kind.STAKE_LANDED,
            at,
            room=transfer.room,
            facts={**facts, "stake": str(transfer.subject), "yes": str(yes), "no": str(no)},
        ),
        Event(Kind.BET_CONFIRMED, at, room=transfer.room, user=transfer.user, facts=facts),
    ]


def _told(transfer: PlannedTransfer, signature: Signature, at: UnixMs) -> list[Event]:
    facts = {
        "lamports": str(transfer.lamports), "signature": signature, **transfer.asset.facts
    }  # fmt: skip
    match transfer.kind:
        case TransferKind.SHARES | TransferKind.RETURN:
            return []
        case TransferKind.EARNING:
            return [Event(Kind.EARNING_LANDED, at, user=transfer.user, facts=facts)]
        case TransferKind.WITHDRAWAL:
            return [
                Event(
                    Kind.WITHDRAWAL_PAID,
                    at,
                    user=transfer.user,
                    facts={**facts, "to_address": transfer.destination},
                )
            ]
        case _:
            refund = transfer.kind is TransferKind.REFUND
            return [
                Event(
                    Kind.PAYOUT_LANDED,
                    at,
                    room=transfer.room,
                    facts={**facts, "address": transfer.destination},
                ),
                Event(
                    Kind.BET_PAID,
                    at,
                    room=transfer.room,
                    user=transfer.user,
                    facts={**facts, "refund": refund},
                ),
            ]
