"""Settlements: decided pools waiting to be divided, and their divisions.

In        settlements of `rooms.settlement`.
Out       decided and sealed rooms with their stakes and the evidence of their crossing.
Promises  a room is divided once; rooms that a person must look at are not claimed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from rooms.crossing import Crossing
from rooms.evidence import shown_from
from rooms.pool import Stake
from rooms.room import Side
from rooms.settlement import Settlement
from rooms.units import Address, UnixMs
from storage import evidence
from storage.connections import Connection
from storage.evidence import Watched
from storage.rooms import KeptRoom, kept
from storage.sql import queries

SQL: Final = queries("settlements")
_SIDES: Final = {side.value: side for side in Side}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decided and sealed room with all that its settlement follows from.

    Attributes:
        addresses: of the people who have a stake that counts.
        crossing: as the stage that decided wrote it down; None where nothing was crossed.
    """

    room: KeptRoom
    stakes: tuple[Stake, ...]
    addresses: Mapping[int, Address]
    crossing: Crossing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """A room's settlement with everything that it follows from.

    Attributes:
        bundle: its evidence, in its canonical text.
        evidence_hash: of that text.
    """

    room: int
    settlement: Settlement
    bundle: str
    evidence_hash: str


async def claim(
    connection: Connection, limit: int, *, wait_ms: int = 0, is_recorded: bool = False
) -> list[Decided]:
    """Claim decided and sealed rooms, the seal that has waited longest first.

    Args:
        connection: the transaction in which they are divided.
        limit: how many at most.
        wait_ms: how long after its decision a room waits for the last of its evidence.
        is_recorded: whether that is a segment of the recording too.
    """
    claimed = await connection.fetch(SQL["claim"], limit, wait_ms, is_recorded)
    rooms = [kept(row) for row in claimed]
    return await decided(connection, rooms) if rooms else []


async def decided(connection: Connection, rooms: Sequence[KeptRoom]) -> list[Decided]:
    """Return rooms with their stakes and crossings."""
    ids = [room.rule.id for room in rooms]
    stakes: dict[int, list[Stake]] = {room: [] for room in ids}
    addresses: dict[int, dict[int, Address]] = {room: {} for room in ids}
    # By position, as there may be very many.
    for room, stake, bet, user, side, lamports, weight, referrer, address in await connection.fetch(
        SQL["stakes"], ids
    ):
        stakes[room].append(Stake(stake, bet, user, _SIDES[side], lamports, weight, referrer))
        addresses[room][user] = address
    crossings = {
        row["room"]: msgspec.convert(row["evidence"], Crossing)
        for row in await connection.fetch(SQL["crossings"], ids)
    }
    return [
        Decided(
            room=room,
            stakes=tuple(stakes[room.rule.id]),
            addresses=addresses[room.rule.id],
            crossing=crossings.get(room.rule.id),
        )
        for room in rooms
    ]


async def insert(connection: Connection, divided: Sequence[Divided]) -> UnixMs:
    """Write settlements and the state of their rooms; return the moment."""
    at = UnixMs(await connection.fetchval(SQL["now"]))
    settlements = [each.settlement for each in divided]
    await connection.execute(
        SQL["insert"],
        [each.room for each in divided],
        [settlement.outcome.value for settlement in settlements],
        [settlement.reason and settlement.reason.value for settlement in settlements],
        [settlement.pool for settlement in settlements],
        [settlement.house for settlement in settlements],
        [settlement.shares for settlement in settlements],
        [each.evidence_hash for each in divided],
        at,
    )
    await connection.execute(SQL["settled"], [each.room for each in divided])
    await evidence.store(
        connection, [(each.room, each.evidence_hash, each.bundle) for each in divided]
    )
    return at


def watched(decided: Decided) -> Watched:
    """Return what of a room's watch its evidence shows."""
    rule, to_at, crossing = decided.room.rule, decided.room.decided_at, decided.crossing
    assert to_at is not None, "a decided room has its moment"
    from_at = shown_from(rule.watch_at, crossing)
    return Watched(room=rule.id, feed=rule.feed, from_at=min(from_at, to_at), to_at=to_at)
