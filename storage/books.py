"""Books: what the ledger says lies at every address, who may claim it, and all that moved it.

Out       rows to compare with the chain, and to show to whoever answers for the money.
Promises  everything is read at one moment, and nothing is changed.
"""

from dataclasses import dataclass
from typing import Final

from rooms.room import Outcome, State
from rooms.units import Address, Lamports, Signature, Slot
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("books")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressLine:
    """One address of ours.

    Attributes:
        claimed: what the other book says may be claimed of it; None for the operator's addresses,
            which are claimed together.
        available: what its person may bet or withdraw.
    """

    address: Address
    kind: str
    name: str | None
    room: int | None
    lamports: Lamports
    claimed: Lamports | None
    available: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionLine:
    """One transaction on chain that moved our money."""

    signature: Signature
    slot: Slot
    what: str
    lamports: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomLine:
    """How a room ended.

    Attributes:
        left_vault: payouts, refunds and shares that have landed; must be the pool in the end.
    """

    id: int
    feed: str
    state: State
    outcome: Outcome | None
    void_reason: str | None
    pool: Lamports
    left_vault: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything at one moment.

    Attributes:
        operator_lamports: at treasury and fee payer together.
        operator_claimed: what house, earned shares and their floors say.
        waiting: transfers that have not ended.
    """

    addresses: tuple[AddressLine, ...]
    transactions: tuple[TransactionLine, ...]
    rooms: tuple[RoomLine, ...]
    operator_lamports: Lamports
    operator_claimed: Lamports
    waiting: int

    def faults(self) -> list[str]:
        """Say everything that does not add up within the ledger."""
        found = [
            f"{line.kind} {line.address}: {line.lamports} lie there, {line.claimed} are claimed"
            for line in self.addresses
            if line.claimed is not None and line.claimed != line.lamports
        ]
        if self.operator_lamports != self.operator_claimed:
            found.append(
                f"treasury and fee payer hold {self.operator_lamports}, "
                f"{self.operator_claimed} are claimed"
            )
        found += [
            f"room {line.id} gave away {line.left_vault} of {line.pool}"
            for line in self.rooms
            if line.state is State.PAID and line.left_vault != line.pool
        ]
        return found


async def read(connection: Connection) -> Books:
    """Read the books at one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        addresses = await connection.fetch(SQL["addresses"])
        operators = await connection.fetchrow(SQL["operators"])
        transactions = await connection.fetch(SQL["transactions"])
        rooms = await connection.fetch(SQL["rooms"])
        waiting: int = await connection.fetchval(SQL["waiting"])
    assert operators is not None, "an aggregate has a row"
    return Books(
        addresses=tuple(
            AddressLine(
                address=Address(row["address"]),
                kind=row["kind"],
                name=row["name"],
                room=row["room_id"],
                lamports=Lamports(row["lamports"]),
                claimed=None if row["claimed"] is None else Lamports(row["claimed"]),
                available=Lamports(row["available"]),
            )
            for row in addresses
        ),
        transactions=tuple(
            TransactionLine(
                signature=Signature(row["signature"]),
                slot=Slot(row["slot"]),
                what=row["what"],
                lamports=Lamports(row["lamports"]),
            )
            for row in transactions
        ),
        rooms=tuple(
            RoomLine(
                id=row["id"],
                feed=row["feed"],
                state=State(row["state"]),
                outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
                void_reason=row["void_reason"],
                pool=Lamports(row["pool"]),
                left_vault=Lamports(row["left_vault"]),
            )
            for row in rooms
        ),
        operator_lamports=Lamports(operators["lamports"]),
        operator_claimed=Lamports(operators["claimed"]),
        waiting=waiting,
    )
