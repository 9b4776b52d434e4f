"""Attempts: signings of transfers, from the plan to the receipt.

In        planned transfers; what was signed; what became of it.
Out       what is due; what is live; the rows that a fate changes.
Promises  a transfer has at most one live attempt (a unique index refuses a second); bytes are
          committed before anybody may send them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asyncpg import PostgresError, Record

from rooms.asset import SOL, Asset
from rooms.room import Outcome, Side
from rooms.transfer import TransferKind
from rooms.units import Address, BlockHeight, Lamports, Signature, Slot, UnixMs
from storage.connections import Connection
from storage.leases import LeaseLostError
from storage.sql import queries

SQL = queries("attempts")

EPOCH_IS_OVER = "RL001"
"""The database's own word for a signing by a custody that another has followed."""
RESTORING = "RL002"
"""And for a signing while a restore is open."""
ABOVE_LIMIT = "RL003"
"""And for one with which more would leave in this hour than may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTransfer:
    """Lamports that must move on chain.

    Attributes:
        subject: the stake's or the withdrawal's id; None for payouts and shares.
        user: whose money it is; None for shares and returns.
        alone: a batch with it was refused, so it is signed by itself.
        asset: of a token the source is an account for it, and the destination too; but of a
            withdrawal it is the wallet that the account belongs to.
    """

    id: int
    kind: TransferKind
    room: int | None
    user: int | None
    subject: int | None
    source: Address
    destination: Address
    lamports: Lamports
    alone: bool
    refused_count: int
    asset: Asset = SOL


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTransfer:
    """A planned transfer, the key of what it is, and what its memo says."""

    key: str
    transfer: PlannedTransfer
    side: Side | None
    outcome: Outcome | None
    evidence_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTransfer:
    """A transfer of an attempt, and whether it may still be signed anew."""

    transfer: PlannedTransfer
    may_sign: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAttempt:
    """A signing whose fate is open."""

    id: int
    signature: Signature
    raw: bytes
    last_valid_height: BlockHeight
    context_slot: Slot
    sent_at: UnixMs | None


class TakenAlready(Exception):
    """A signing cannot be written down now: its transfers, or its very bytes, are taken."""


class AboveLimit(Exception):
    """A signing was refused, since with it more would leave in this hour than may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotWallet:
    """What custody can and may spend now, in lamports.

    Attributes:
        fee_payer: lies at the fee payer's address and is not on its way already.
        outgoing: may still be signed in this hour to outside addresses.
        floors: may still be signed in this hour from the fee payer to our own.
    """

    fee_payer: int
    outgoing: Lamports
    floors: Lamports


@dataclass(frozen=True, slots=True)
class JudgedRoom:
    """What a landed stake is judged by."""

    cut_at: UnixMs
    sealed: bool


async def due(connection: Connection, limit: int) -> list[DueTransfer]:
    """Return planned transfers, the nearest cut first."""
    return [
        DueTransfer(
            key=row["key"],
            transfer=_planned(row),
            side=Side(row["side"]) if row["side"] else None,
            outcome=Outcome(row["settled_outcome"]) if row["settled_outcome"] else None,
            evidence_hash=row["evidence_hash"],
        )
        for row in await connection.fetch(SQL["due"], limit)
    ]


async def overdue(connection: Connection, limit: int) -> list[PlannedTransfer]:
    """Claim planned transfers whose last moment for signing has passed."""
    return [_planned(row) for row in await connection.fetch(SQL["overdue"], limit)]


async def lock_planned(connection: Connection, transfer: int) -> bool:
    """Lock a transfer; say whether nobody has signed it."""
    return await connection.fetchval(SQL["lock_planned"], transfer) is not None


async def hot_wallet(connection: Connection, fee_payer: Address) -> HotWallet:
    """Return what custody can and may spend now."""
    row = await connection.fetchrow(SQL["hot_wallet"], fee_payer)
    assert row is not None, "an aggregate has a row"
    return HotWallet(
        fee_payer=row["fee_payer"],
        outgoing=Lamports(row["outgoing"]),
        floors=Lamports(row["floors"]),
    )


async def has_settled_memo(connection: Connection, room: int) -> bool:
    """Say whether the room's settlement memo has landed or still may."""
    return bool(await connection.fetchval(SQL["has_settled_memo"], room))


async def moving(connection: Connection) -> dict[Address, frozenset[int]]:
    """Return by how much live attempts may change each address: by any one of them, or by all."""
    return {
        row["address"]: frozenset((*row["each"], row["whole"]))
        for row in await connection.fetch(SQL["moving"])
    }


async def audit_head_told(connection: Connection) -> int:
    """Return the last row of the audit log that was put on the chain, or is on its way; else 0."""
    return int(await connection.fetchval(SQL["audit_head_told"]))


async def floors(connection: Connection, addresses: Sequence[Address]) -> dict[Address, Lamports]:
    """Return the operator's rent minimum under each address, laid or on its way, and to stay."""
    rows = await connection.fetch(SQL["floors"], list(addresses))
    return {row["address"]: Lamports(row["lamports"]) for row in rows}


async def write_down(
    connection: Connection,
    *,
    signature: Signature,
    raw: bytes,
    last_valid_height: BlockHeight,
    context_slot: Slot,
    fee_payer: Address,
    memo: str,
    transfers: Sequence[int],
    floors: Sequence[tuple[Address, Lamports]],
    epoch: int,
) -> int:
    """Write a signing down with its transfers and floors.

    Raises:
        LeaseLostError: when another custody has begun an epoch since; nothing was written.
        TakenAlready: the transaction must be rolled back, as some of its transfers are taken up.
        AboveLimit: it must be rolled back, as more would leave in this hour than may.
    """
    taken = await connection.fetch(SQL["take_up"], list(transfers))
    if len(taken) != len(transfers):
        raise TakenAlready("somebody else has taken up one of these transfers")
    try:
        attempt: int | None = await connection.fetchval(
            SQL["insert"], signature, raw, last_valid_height, context_slot, fee_payer, memo, epoch
        )
    except PostgresError as refused:
        if refused.sqlstate == EPOCH_IS_OVER:
            raise LeaseLostError(str(refused)) from refused
        if refused.sqlstate == RESTORING:
            raise TakenAlready(str(refused)) from refused
        raise
    if attempt is None:
        # The same transfers on the same blockhash are the same bytes; the next block has another.
        raise TakenAlready("these very bytes were signed before")
    try:
        await connection.execute(SQL["link"], attempt, list(transfers))
        await connection.execute(
            SQL["link_floors"],
            attempt,
            [address for address, _ in floors],
            [lamports for _, lamports in floors],
        )
    except PostgresError as refused:
        if refused.sqlstate == ABOVE_LIMIT:
            raise AboveLimit(str(refused)) from refused
        raise
    return attempt


async def live(connection: Connection) -> list[LiveAttempt]:
    """Return every attempt whose fate is open, the oldest first."""
    return [
        LiveAttempt(
            id=row["id"],
            signature=Signature(row["signature"]),
            raw=row["raw"],
            last_valid_height=BlockHeight(row["last_valid_height"]),
            context_slot=Slot(row["context_slot"]),
            sent_at=row["sent_at"],
        )
        for row in await connection.fetch(SQL["live"])
    ]


async def begin_sending(connection: Connection, attempt: int) -> bool:
    """Note that an attempt is about to be sent; say whether it may be."""
    return await connection.fetchval(SQL["begin_sending"], attempt) is not None


async def lock_unsent(connection: Connection, attempt: int) -> bool:
    """Lock an attempt that nobody has begun to send; say whether it is one."""
    return await connection.fetchval(SQL["lock_unsent"], attempt) is not None


async def lock(connection: Connection, attempt: int) -> bool:
    """Lock an attempt; say whether its fate is still open."""
    return await connection.fetchrow(SQL["lock"], attempt) is not None


async def transfers_of(connection: Connection, attempt: int) -> list[OpenTransfer]:
    """Lock and return an attempt's transfers."""
    rows = await connection.fetch(SQL["transfers_of"], attempt)
    return [OpenTransfer(transfer=_planned(row), may_sign=row["may_sign"]) for row in rows]


async def floors_of(connection: Connection, attempt: int) -> list[tuple[Address, Lamports]]:
    """Return the rent minimums that an attempt brings along."""
    rows = await connection.fetch(SQL["floors_of"], attempt)
    return [(Address(row["address"]), Lamports(row["lamports"])) for row in rows]


async def finish(
    connection: Connection,
    attempt: int,
    state: str,
    *,
    slot: Slot | None = None,
    block_at: UnixMs | None = None,
    fee: Lamports | None = None,
    error: str | None = None,
) -> None:
    """Write an attempt's end down; its transfers are free for what follows."""
    await connection.execute(SQL["finish"], attempt, state, slot, block_at, fee, error)
    await connection.execute(SQL["unlink"], attempt)


async def land(connection: Connection, transfers: Sequence[int]) -> None:
    """Note that transfers have landed for good."""
    await connection.execute(SQL["land"], list(transfers))


async def release(connection: Connection, transfers: Sequence[int]) -> None:
    """Note that transfers will never move."""
    await connection.execute(SQL["release"], list(transfers))


async def plan_again(
    connection: Connection, transfers: Sequence[int], *, refused: bool, alone: bool
) -> None:
    """Have transfers signed anew, by themselves when their batch was refused."""
    await connection.execute(SQL["plan_again"], list(transfers), int(refused), alone)


async def are_ours(connection: Connection, signatures: Sequence[Signature]) -> set[Signature]:
    """Return which of these signatures are attempts of ours."""
    rows = await connection.fetch(SQL["are_ours"], list(signatures))
    return {Signature(row["signature"]) for row in rows}


async def lock_room(connection: Connection, room: int) -> JudgedRoom:
    """Lock a room and return what a landed stake is judged by."""
    row = await connection.fetchrow(SQL["lock_room"], room)
    assert row is not None, "a stake's room exists"
    return JudgedRoom(UnixMs(row["cut_at"]), row["sealed_at"] is not None)


async def land_stake(
    connection: Connection,
    stake: int,
    *,
    in_time: bool,
    landed_at: UnixMs,
    slot: Slot,
    signature: Signature,
) -> Side:
    """Note when and by which transaction a stake landed, and whether it counts."""
    state = "LANDED" if in_time else "MISSED"
    side = await connection.fetchval(SQL["land_stake"], stake, state, landed_at, slot, signature)
    assert side is not None, "a stake lands once"
    return Side(side)


async def release_stake(connection: Connection, stake: int) -> None:
    """Note that a stake will never land."""
    released = await connection.fetchval(SQL["release_stake"], stake)
    assert released is not None, "only a held stake is released"


async def pool(connection: Connection, room: int) -> tuple[Lamports, Lamports]:
    """Return what has landed in time on YES and on NO."""
    row = await connection.fetchrow(SQL["pool"], room)
    assert row is not None, "an aggregate has a row"
    return Lamports(row["yes"]), Lamports(row["no"])


async def end_withdrawal(connection: Connection, withdrawal: int, state: str) -> None:
    """Note how a withdrawal ended."""
    await connection.execute(SQL["end_withdrawal"], withdrawal, state)


async def post_receipts(connection: Connection, ended: Sequence[int]) -> None:
    """Post what attempts that are in a finalized block did, by what was planned."""
    await connection.execute(SQL["post_receipts"], list(ended))


async def post_releases(connection: Connection, transfers: Sequence[int]) -> None:
    """Post that what was held for released transfers is available again."""
    await connection.execute(SQL["post_releases"], list(transfers))


async def pay_room(connection: Connection, room: int) -> bool:
    """Note that nothing of a room can still move; say whether that is so just now."""
    return await connection.fetchval(SQL["pay_room"], room) is not None


def _planned(row: Record) -> PlannedTransfer:
    return PlannedTransfer(
        id=row["id"],
        kind=TransferKind(row["kind"]),
        room=row["room_id"],
        user=row["user_id"],
        subject=row["subject_id"],
        source=Address(row["from_address"]),
        destination=Address(row["to_address"]),
        lamports=Lamports(row["lamports"]),
        alone=row["alone"],
        refused_count=row["refused_count"],
        asset=Asset(row["asset"], row["decimals"]),
    )


async def side_of(connection: Connection, stake: int) -> Side:
    """Return the side that a stake is on."""
    return Side(await connection.fetchval(SQL["side_of"], stake))
