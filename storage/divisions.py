"""Divisions: settled rooms as custody reads them again, before it signs what they plan.

In        a settled room; planned transfers.
Out       all that its settlement follows from, and what was written of it; transfers that are
          planned otherwise than their rows say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rooms.room import Outcome
from rooms.units import Lamports
from storage import evidence, settlements
from storage.connections import Connection
from storage.rooms import kept
from storage.settlements import Decided
from storage.sql import queries

SQL: Final = queries("divisions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written down of a settlement, beside what it follows from.

    Attributes:
        sealed: what the seal has on YES and on NO.
        bundle: its evidence, as it is kept.
    """

    decided: Decided
    sealed: tuple[Lamports, Lamports]
    outcome: Outcome
    pool: Lamports
    house: Lamports
    shares: tuple[tuple[int, Lamports], ...]
    evidence_hash: str
    bundle: str


async def settled(connection: Connection, room: int) -> Written | None:
    """Read a settled room again; None when it has no settlement."""
    row = await connection.fetchrow(SQL["settled"], room)
    if row is None:
        return None
    kept_evidence = await evidence.of(connection, room)
    (decided,) = await settlements.decided(connection, [kept(row)])
    return Written(
        decided=decided,
        sealed=(Lamports(row["sealed_yes"] or 0), Lamports(row["sealed_no"] or 0)),
        outcome=Outcome(row["written_outcome"]),
        pool=Lamports(row["written_pool"]),
        house=Lamports(row["written_house"]),
        shares=tuple((int(user), Lamports(part)) for user, part in row["written_shares"]),
        evidence_hash=row["written_hash"],
        bundle=kept_evidence[1] if kept_evidence else "",
    )


async def otherwise(connection: Connection, transfers: Sequence[int]) -> list[tuple[int, str]]:
    """Return id and key of transfers that are not what their rows and our addresses say."""
    rows = await connection.fetch(SQL["otherwise"], list(transfers))
    return [(row["id"], row["key"]) for row in rows]


async def missed(connection: Connection, stakes: Iterable[int]) -> set[int]:
    """Return which of these stakes missed the cut."""
    return {row["id"] for row in await connection.fetch(SQL["missed"], list(stakes))}
