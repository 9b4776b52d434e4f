"""Cards: what the bot shows, read in one statement a card.

Out       rooms with their pools, a person's wallet, bets and history; whole numbers all.
Promises  reads only, and only what the person or everyone may see.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from rooms.asset import SOL, Asset
from rooms.feed import Guards
from rooms.room import Comparator, Outcome, Room, Side, State, VoidReason
from rooms.units import Address, Bps, Lamports, Signature, Slot, UnixMs, Value
from storage.connections import Connection
from storage.sql import queries

SQL = queries("cards")


@dataclass(frozen=True, slots=True, kw_only=True)
class SidePool:
    """What lies on one side of a room.

    Attributes:
        weighed: the sum of lamports times weight in basis points.
    """

    lamports: Lamports
    weighed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCard:
    """A room as one person sees it.

    Attributes:
        yes: what is staked on YES: the sealed pool once there is one, else what is on its way too.
        own_lamports: the person's own stakes; own_weighed likewise.
        value: the value that decided it; None unless a crossing did.
        name: of what it is about: an expression, or the feed's own.
        meaning: what a value of the feed is, or of those that it is made of, where the name does
            not say so.
    """

    room: Room
    unit: str
    state: State
    outcome: Outcome | None
    void_reason: VoidReason | None
    sealed_at: UnixMs | None
    sealed_slot: Slot | None
    vault: Address | None
    evidence_hash: str | None
    value: Value | None
    yes: SidePool
    no: SidePool
    bettors: int
    own_side: Side | None
    own_lamports: Lamports
    own_weighed: int
    meaning: str = ""
    name: str

    def side(self, side: Side) -> SidePool:
        """Return what lies on ``side``."""
        return self.yes if side is Side.YES else self.no


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """What a person has, and where.

    Attributes:
        held: reserved for stakes and withdrawals that have not landed.
        in_rooms: landed in rooms that are not settled.
        coming: payouts and refunds that have not landed.
        earned: host and referral shares.
    """

    address: Address | None
    available: Lamports
    held: Lamports
    in_rooms: Lamports
    coming: Lamports
    earned: Lamports
    asset: Asset = SOL


@dataclass(frozen=True, slots=True, kw_only=True)
class BetLine:
    """One bet of a person, as a line of a list.

    Attributes:
        paid: what has landed back: payout or refunds; signature of the newest of them.
    """

    room: int
    feed: str
    unit: str
    scale: int
    comparator: Comparator
    move_bps: Bps | None
    target: Value | None
    state: State
    outcome: Outcome | None
    deadline_at: UnixMs
    side: Side
    staked: Lamports
    paid: Lamports | None
    signature: Signature | None
    asset: Asset = SOL


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """One change of what a person has available; ``key`` is the entry's."""

    at: UnixMs
    key: str
    lamports: int
    balance: Lamports
    signature: Signature | None
    asset: Asset = SOL


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLine:
    """A withdrawal that has not left yet; ``due_at`` is None until it is judged."""

    id: int
    lamports: Lamports
    to_address: str
    due_at: UnixMs | None
    asset: Asset = SOL


@dataclass(frozen=True, slots=True)
class Invited:
    """Who came by a person's invitation, and what that earned."""

    people: int
    earned: Lamports


async def room(connection: Connection, room_id: int, user: int) -> RoomCard | None:
    """Read one room as a person sees it; None when there is none."""
    found = await _rooms(connection, user, [room_id])
    return found[0] if found else None


async def open_rooms(
    connection: Connection, user: int, *, offset: int, limit: int
) -> list[RoomCard]:
    """Read rooms that are not decided: those that take bets first, the nearest lock first."""
    rows = await connection.fetch(SQL["open_rooms"], offset, limit)
    return await _rooms(connection, user, [row["id"] for row in rows])


async def wallet(connection: Connection, user: int, asset: Asset = SOL) -> Wallet:
    """Read what a person has of an asset."""
    row = await connection.fetchrow(SQL["wallet"], user, asset.name)
    assert row is not None, "the statement has no condition"
    return Wallet(**row, asset=asset)


async def waiting(connection: Connection, user: int) -> list[WaitingLine]:
    """Read a person's withdrawals that have not left yet."""
    return [
        WaitingLine(
            id=row["id"],
            lamports=row["lamports"],
            to_address=row["to_address"],
            due_at=row["due_at"],
            asset=Asset(row["asset"], row["decimals"]),
        )
        for row in await connection.fetch(SQL["waiting"], user)
    ]


async def bets(
    connection: Connection, user: int, *, won: bool, offset: int, limit: int
) -> list[BetLine]:
    """Read a person's bets, the newest first; with ``won`` only those that won."""
    return [_bet(row) for row in await connection.fetch(SQL["bets"], user, won, offset, limit)]


async def history(
    connection: Connection, user: int, *, offset: int, limit: int
) -> list[HistoryLine]:
    """Read what changed what a person has available, in any asset, the newest first."""
    rows = await connection.fetch(SQL["history"], user, offset, limit)
    return [
        HistoryLine(
            at=row["at"],
            key=row["key"],
            lamports=row["lamports"],
            balance=row["balance"],
            signature=row["signature"],
            asset=Asset(row["asset"], row["decimals"]),
        )
        for row in rows
    ]


async def invited(connection: Connection, user: int) -> Invited:
    """Read how many people a person brought, and what shares that and hosting earned."""
    row = await connection.fetchrow(SQL["invited"], user)
    assert row is not None, "the statement has no condition"
    return Invited(row["people"], row["earned"])


async def _rooms(connection: Connection, user: int, ids: Sequence[int]) -> list[RoomCard]:
    if not ids:
        return []
    rows = await connection.fetch(SQL["rooms"], list(ids), user)
    return [
        RoomCard(
            room=Room(
                id=row["id"],
                creator=row["creator"],
                feed=row["feed"],
                scale=row["scale"],
                comparator=Comparator(row["comparator"]),
                move_bps=row["move_bps"],
                target=row["target"],
                opened_at=row["opened_at"],
                lock_at=row["lock_at"],
                cut_at=row["cut_at"],
                watch_at=row["watch_at"],
                deadline_at=row["deadline_at"],
                target_wait_ms=row["target_wait_ms"],
                gap_ms_max=row["gap_ms_max"],
                protocol_fee_bps=row["protocol_fee_bps"],
                host_fee_bps=row["host_fee_bps"],
                stake_lamports_min=row["stake_lamports_min"],
                stake_lamports_max=row["stake_lamports_max"],
                seats=row["seats"],
                volatility_bps=row["volatility_bps"],
                guards=Guards(**row["guards"]),
                held_ms=row["held_ms"],
                is_live=row["is_live"],
                pool_lamports_max=row["pool_lamports_max"],
                asset=row["asset"],
                asset_decimals=row["asset_decimals"],
            ),
            unit=row["unit"],
            meaning=row["meaning"],
            name=row["name"],
            state=State(row["state"]),
            outcome=Outcome(row["outcome"]) if row["outcome"] else None,
            void_reason=VoidReason(row["void_reason"]) if row["void_reason"] else None,
            sealed_at=row["sealed_at"],
            sealed_slot=row["sealed_slot"],
            vault=row["vault"],
            evidence_hash=row["evidence_hash"],
            value=row["value"],
            yes=SidePool(lamports=row["yes"], weighed=int(row["yes_weighed"])),
            no=SidePool(lamports=row["no"], weighed=int(row["no_weighed"])),
            bettors=row["bettors"],
            own_side=Side(row["own_side"]) if row["own_side"] else None,
            own_lamports=row["own_lamports"],
            own_weighed=int(row["own_weighed"]),
        )
        for row in rows
    ]


def _bet(row: asyncpg.Record) -> BetLine:
    facts = dict(row)
    asset = Asset(facts.pop("asset"), facts.pop("asset_decimals"))
    return BetLine(
        **{
            **facts,
            "asset": asset,
            "comparator": Comparator(row["comparator"]),
            "state": State(row["state"]),
            "outcome": Outcome(row["outcome"]) if row["outcome"] else None,
            "side": Side(row["side"]),
        }
    )
