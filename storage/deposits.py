"""Deposits: lamports that came in from outside, and how far each address was read.

In        what `chain.deposits` found, in a block that a fork can take back or in a final one.
Out       cursors; what a deposit is now.
Promises  a deposit is one row for its signature and address, whoever finds it and how often; it is
          posted by whose address it is; it is undone once, to the lamport, or waits.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rooms.asset import Asset
from rooms.units import Address, Lamports, Signature, Slot
from storage.connections import Connection
from storage.sql import queries

SQL = queries("deposits")

_NAME = "deposits:"


async def cursors(
    connection: Connection, named: Collection[Address] | None = None
) -> Mapping[Address, tuple[Signature, Slot]]:
    """Return the last signature, with its slot, that was read of all addresses or of some."""
    found: dict[Address, tuple[Signature, Slot]] = {}
    if named is None:
        rows = await connection.fetch(SQL["cursors"])
    else:
        rows = await connection.fetch(SQL["cursors_of"], [f"{_NAME}{each}" for each in named])
    for row in rows:
        signature, _, slot = row["position"].partition("@")
        if slot:
            address = Address(row["name"].removeprefix(_NAME))
            found[address] = Signature(signature), Slot(int(slot))
    return found


class Became(StrEnum):
    """Name what telling of a deposit changed."""

    POSTED = "posted"
    FINAL = "final"
    """Posted before, and now for good."""
    KNOWN = "known"
    WAITS = "waits"
    """Another block brought it with other lamports, and what was posted cannot be undone yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFinal:
    """A posted deposit that a fork can still take back, or has taken back.

    Attributes:
        user: whose address it came to; None for a vault and the operator's.
        gone: the finalized chain has not got it, and undoing it waits.
    """

    signature: Signature
    address: Address
    slot: Slot
    lamports: Lamports
    user: int | None
    gone: bool
    asset: Asset


async def post(
    connection: Connection,
    signature: Signature,
    address: Address,
    *,
    lamports: Lamports,
    other_lamports: Lamports,
    slot: Slot,
    final: bool,
    lamports_min: Lamports,
) -> Became:
    """Post what came in to whose address it is; less than ``lamports_min`` is nobody's."""
    became = await connection.fetchval(
        SQL["post"], signature, address, lamports, other_lamports, slot, final, lamports_min
    )
    return Became(became)


async def undo(connection: Connection, signature: Signature, address: Address) -> bool:
    """Post the exact negative of a deposit that is gone; say whether it could be done."""
    undone: bool = await connection.fetchval(SQL["undo"], signature, address)
    return undone


async def not_final(connection: Connection) -> list[NotFinal]:
    """Return posted deposits that a fork can still take back or has taken back."""
    return [
        NotFinal(
            signature=Signature(row["signature"]),
            address=Address(row["address"]),
            slot=Slot(row["slot"]),
            lamports=Lamports(row["lamports"]),
            user=row["user_id"],
            gone=row["gone"],
            asset=Asset(row["asset"], row["decimals"]),
        )
        for row in await connection.fetch(SQL["not_final"])
    ]


async def final_of(connection: Connection, address: Address) -> dict[Signature, Slot]:
    """Return the deposits at an address that are posted for good."""
    rows = await connection.fetch(SQL["final_of"], address)
    return {Signature(row["signature"]): Slot(row["slot"]) for row in rows}


async def until_rescan(connection: Connection, every_ms: int) -> int:
    """Return in how many milliseconds every history is to be read again."""
    return int(await connection.fetchval(SQL["until_rescan"], every_ms))


async def rescanned(connection: Connection) -> None:
    """Note that every history was read."""
    await connection.execute(SQL["rescanned"])


async def move_cursor(
    connection: Connection, address: Address, signature: Signature, slot: Slot
) -> None:
    """Note that everything of an address up to here was read."""
    await connection.execute(SQL["move"], f"{_NAME}{address}", f"{signature}@{slot}")


async def stop_cursor(connection: Connection, address: Address, reason: str) -> None:
    """Note why an address is read no further."""
    await connection.execute(SQL["stop"], f"{_NAME}{address}", reason)
