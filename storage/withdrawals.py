"""Withdrawals: what people ask to take out, from the asking until it is planned.

In        what the rules allowed and refused.
Out       each withdrawal once, to whoever claims it.
Promises  withdrawals are judged, and leave, one worker at a time; what is above a limit is refused
          by the schema as well, whoever writes it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from asyncpg import Record

from rooms.asset import SOL, Asset
from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("withdrawals")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks to take out; ``cancelled`` when it is wanted back already."""

    id: int
    user: int
    to_address: str
    lamports: Lamports
    cancelled: bool
    asset: Asset = SOL


async def claim_asked(connection: Connection, limit: int) -> list[Asked]:
    """Claim withdrawals that nobody has judged, in the order of asking."""
    await connection.execute(SQL["take_turn"])
    return [_asked(row) for row in await connection.fetch(SQL["claim_asked"], limit)]


async def accept(connection: Connection, accepted: Sequence[tuple[int, UnixMs]]) -> None:
    """Note from when each withdrawal may leave.

    Raises:
        asyncpg.CheckViolationError: when one is above a limit.
    """
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
    """Claim withdrawals whose moment has come, as many as the place's limits let leave now."""
    await connection.execute(SQL["take_turn"])
    return [row["id"] for row in await connection.fetch(SQL["claim_due"], limit)]


async def leave(connection: Connection, ids: Iterable[int]) -> None:
    """Note that withdrawals leave now."""
    await connection.execute(SQL["leave"], list(ids))


async def claim_cancelled(connection: Connection, limit: int) -> list[Asked]:
    """Claim withdrawals that wait and whose owners want them back."""
    return [_asked(row) for row in await connection.fetch(SQL["claim_cancelled"], limit)]


async def call_off(connection: Connection, ids: Iterable[int]) -> None:
    """Note that withdrawals will not leave."""
    await connection.execute(SQL["call_off"], list(ids))


def _asked(row: Record) -> Asked:
    return Asked(
        id=row["id"],
        user=row["user"],
        to_address=row["to_address"],
        lamports=Lamports(row["lamports"]),
        cancelled=row["cancelled"],
        asset=Asset(row["asset"], row["decimals"]),
    )
