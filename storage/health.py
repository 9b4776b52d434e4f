"""Health: what an operator asks of the database, all of it read only.

Out       how much waits; what a person has to look at; whether the two books agree.
"""

from dataclasses import dataclass
from typing import Final

from rooms.units import Address, Lamports
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("health")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was seen at one look.

    Attributes:
        unsent: outbox rows that the broker does not have yet.
        stopped: addresses whose history is read no further, each with its reason.
        fee_payer: its address and what lies there; None before custody has run.
        where_lamports: the sum of the book *where*; must be that of *whose*.
    """

    unsent: int
    set_aside: int
    live_attempts: int
    rooms_not_paid: int
    stopped: tuple[tuple[Address, str], ...]
    fee_payer: tuple[Address, Lamports] | None
    where_lamports: Lamports
    whose_lamports: Lamports


async def look(connection: Connection) -> Health:
    """Look once, at one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        counts = await connection.fetchrow(SQL["counts"])
        books = await connection.fetchrow(SQL["books"])
        stopped = await connection.fetch(SQL["stopped"])
        fee_payer = await connection.fetchrow(SQL["fee_payer"])
    assert counts is not None, "an aggregate has a row"
    assert books is not None, "an aggregate has a row"
    return Health(
        unsent=counts["unsent"],
        set_aside=counts["set_aside"],
        live_attempts=counts["live_attempts"],
        rooms_not_paid=counts["rooms_not_paid"],
        stopped=tuple((Address(row["address"]), row["why"]) for row in stopped),
        fee_payer=None
        if fee_payer is None
        else (Address(fee_payer["address"]), Lamports(fee_payer["lamports"])),
        where_lamports=Lamports(books["where_sum"]),
        whose_lamports=Lamports(books["whose_sum"]),
    )
