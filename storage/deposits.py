"""Deposits: lamports that came in from outside, and how far each address was read.

In        what `chain.deposits` found, final.
Out       cursors; whether a deposit is new.
Promises  a deposit is one row for its signature and address, whoever finds it and how often.
"""

from collections.abc import Mapping

from rooms.ledger import Account
from rooms.units import Address, Lamports, Signature, Slot
from storage.connections import Connection
from storage.sql import queries

SQL = queries("deposits")

_NAME = "deposits:"


async def cursors(connection: Connection) -> Mapping[Address, tuple[Signature, Slot]]:
    """Return the last signature, with its slot, that was read of each address."""
    found: dict[Address, tuple[Signature, Slot]] = {}
    for row in await connection.fetch(SQL["cursors"]):
        signature, _, slot = row["position"].partition("@")
        if slot:
            address = Address(row["name"].removeprefix(_NAME))
            found[address] = Signature(signature), Slot(int(slot))
    return found


async def insert(
    connection: Connection,
    signature: Signature,
    address: Address,
    lamports: Lamports,
    slot: Slot,
    owner: Account,
) -> bool:
    """Write a deposit down; say whether it is new."""
    row = await connection.fetchrow(SQL["insert"], signature, address, lamports, slot, owner.name)
    return row is not None


async def move_cursor(
    connection: Connection, address: Address, signature: Signature, slot: Slot
) -> None:
    """Note that everything of an address up to here was read."""
    await connection.execute(SQL["move"], f"{_NAME}{address}", f"{signature}@{slot}")


async def stop_cursor(connection: Connection, address: Address, reason: str) -> None:
    """Note why an address is read no further."""
    await connection.execute(SQL["stop"], f"{_NAME}{address}", reason)
