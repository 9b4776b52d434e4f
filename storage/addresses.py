"""Addresses: which Solana addresses are ours, and whose.

In        addresses that custody derived from who somebody is.
Out       who owns an address; what the ledger says lies at each.
Promises  insert only: an address never changes hands.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rooms.asset import SOL
from rooms.units import Address, Lamports
from storage.connections import Connection
from storage.sql import queries

SQL = queries("addresses")

AddressKind = Literal["user", "vault", "treasury", "fee_payer"]


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """An address of ours: a person's, a room's vault, or the operator's.

    Attributes:
        asset: what lies there; a token lies at an account of its own.
        of_wallet: of such an account, whose it is.
    """

    address: Address
    kind: AddressKind
    user: int | None = None
    room: int | None = None
    asset: str = SOL.name
    of_wallet: Address | None = None

    @property
    def wallet(self) -> Address:
        """Return the address whose key signs for it."""
        return self.of_wallet or self.address


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator's two addresses."""

    treasury: Address
    fee_payer: Address


async def people_without(connection: Connection) -> list[int]:
    """Return people who have no address yet."""
    return [row["id"] for row in await connection.fetch(SQL["people_without"])]


async def rooms_without(connection: Connection) -> list[int]:
    """Return drafts that have no vault yet."""
    return [row["id"] for row in await connection.fetch(SQL["rooms_without"])]


async def insert(connection: Connection, addresses: Sequence[OwnAddress]) -> list[Address]:
    """Write addresses down; return those that were not there."""
    rows = await connection.fetch(
        SQL["insert"],
        [each.address for each in addresses],
        [each.kind for each in addresses],
        [each.user for each in addresses],
        [each.room for each in addresses],
    )
    return [row["address"] for row in rows]


async def operator(connection: Connection) -> Operator | None:
    """Return the operator's addresses, or None before custody has written them."""
    found = {row["kind"]: row["address"] for row in await connection.fetch(SQL["of_operator"])}
    if len(found) < 2:
        return None
    return Operator(Address(found["treasury"]), Address(found["fee_payer"]))


async def owners(
    connection: Connection, addresses: Sequence[Address]
) -> Mapping[Address, OwnAddress]:
    """Say whose each address is; one that is not ours is left out."""
    rows = await connection.fetch(SQL["keys"], list(addresses))
    return {
        row["address"]: OwnAddress(
            row["address"], row["kind"], row["user_id"], row["room_id"], row["asset"],
            Address(row["wallet"]),
        )
        for row in rows
    }  # fmt: skip


async def watched(connection: Connection, limit: int) -> list[Address]:
    """Return people's addresses at which a deposit is likeliest, the newest first."""
    return [Address(row["address"]) for row in await connection.fetch(SQL["watched"], limit)]


async def with_balances(
    connection: Connection, named: Collection[Address] | None = None
) -> dict[OwnAddress, Lamports]:
    """Return addresses of ours, all or those named, with what the ledger says lies there."""
    if named is None:
        rows = await connection.fetch(SQL["with_balances"])
    else:
        rows = await connection.fetch(SQL["some_with_balances"], list(named))
    return {
        OwnAddress(row["address"], row["kind"], row["user_id"]): Lamports(row["lamports"])
        for row in rows
    }


async def wallets_without(connection: Connection, asset: str) -> list[OwnAddress]:
    """Return addresses of ours that need an account for a token, and have none."""
    return [
        OwnAddress(row["address"], row["kind"], row["user_id"], row["room_id"])
        for row in await connection.fetch(SQL["wallets_without"], asset)
    ]


async def insert_accounts(
    connection: Connection, asset: str, accounts: Sequence[tuple[Address, OwnAddress]]
) -> None:
    """Write down where addresses of ours keep a token: the account of each, and whose it is."""
    await connection.execute(
        SQL["insert_accounts"],
        [account for account, _ in accounts],
        asset,
        [wallet.address for _, wallet in accounts],
        [wallet.kind for _, wallet in accounts],
        [wallet.user for _, wallet in accounts],
        [wallet.room for _, wallet in accounts],
    )


async def accounts_with_balances(connection: Connection, asset: str) -> dict[OwnAddress, Lamports]:
    """Return every account of ours for a token with what the ledger says lies there."""
    return {
        OwnAddress(
            row["address"], row["kind"], row["user_id"], asset=asset,
            of_wallet=Address(row["wallet"]),
        ): Lamports(row["lamports"])
        for row in await connection.fetch(SQL["accounts_with_balances"], asset)
    }  # fmt: skip
