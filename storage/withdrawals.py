"""Withdrawals: what people ask to take out, from the asking until it is planned.

In        what the rules allowed and refused.
Out       each withdrawal once, to whoever claims it; what the rules need to know of its past.
Promises  withdrawals are judged one worker at a time, in the order of asking.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs
from rooms.withdrawal import DAY_MS
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("withdrawals")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks to take out."""

    id: int
    user: int
    to_address: str
    lamports: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What came before a withdrawal.

    Attributes:
        taken_today: by the person in the last 24 hours, without what was refused or came back.
        address_since: when the person first used the address; the asking itself, when never.
        is_ours: whether the destination is an address of this place.
        has_address: whether there is an address that it could leave from.
        now: the database's clock.
    """

    taken_today: Lamports
    address_since: UnixMs
    is_ours: bool
    has_address: bool
    now: UnixMs


async def claim_asked(connection: Connection, limit: int) -> list[Asked]:
    """Claim withdrawals that nobody has judged, in the order of asking."""
    await connection.execute(SQL["take_turn"])
    return [Asked(**row) for row in await connection.fetch(SQL["claim_asked"], limit)]


async def histories(connection: Connection, ids: Iterable[int]) -> dict[int, History]:
    """Read what came before each withdrawal; lock the people's accounts first."""
    rows = await connection.fetch(SQL["histories"], list(ids), DAY_MS)
    return {
        row["id"]: History(
            taken_today=row["taken_today"],
            address_since=row["address_since"],
            is_ours=row["is_ours"],
            has_address=row["has_address"],
            now=row["now"],
        )
        for row in rows
    }


async def accept(connection: Connection, accepted: Sequence[tuple[int, UnixMs]]) -> None:
    """Note from when each withdrawal may leave."""
    await connection.execute(
        SQL["accept"], [each for each, _ in accepted], [due_at for _, due_at in accepted]
    )


async def refuse(connection: Connection, refused: Sequence[tuple[int, Refused]]) -> None:
    """Note why each withdrawal may not leave."""
    await connection.execute(
        SQL["refuse"],
        [each for each, _ in refused],
        [{"code": refusal.code, "sentence": refusal.sentence} for _, refusal in refused],
    )


async def claim_due(connection: Connection, limit: int) -> list[int]:
    """Claim withdrawals whose moment has come."""
    return [row["id"] for row in await connection.fetch(SQL["claim_due"], limit)]


async def leave(connection: Connection, ids: Iterable[int]) -> None:
    """Note that withdrawals leave now."""
    await connection.execute(SQL["leave"], list(ids))
