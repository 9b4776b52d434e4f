"""Audit: looks over the ledger for what must never be so, and stops everything when it is.

In        ids between which rows are looked at; nothing, for what is looked at as a whole.
Out       breaches; what the ledger knows of signatures; what is owed to whom.
Promises  each look sees one moment and changes nothing; to report a breach is the one thing that
          is written: an act, and the flag for all closed, in one statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rooms.asset import SOL
from rooms.audit import Breach, Effect, Look, Place, Rule, breach_of
from rooms.units import Address, Lamports, Signature, Slot
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("audit")

_OF_ENTRIES: Final[Mapping[str, Rule]] = {
    "unbalanced": Rule.UNBALANCED,
    "broken_accounts": Rule.BROKEN_ACCOUNT,
    "accounts_now": Rule.NOT_ITS_POSTINGS,
    "negative_now": Rule.NEGATIVE,
    "two_effects": Rule.TWO_EFFECTS,
}
_OF_TRANSFERS: Final[Mapping[str, Rule]] = {
    "uncaused": Rule.UNCAUSED,
    "overpaid_now": Rule.OVERPAID,
}
_OF_ATTEMPTS: Final[Mapping[str, Rule]] = {"unplanned": Rule.UNPLANNED}
_OF_ALL: Final[Mapping[str, Rule]] = {
    "negative": Rule.NEGATIVE,
    "books_differ": Rule.BOOKS_DIFFER,
    "not_their_postings": Rule.NOT_ITS_POSTINGS,
    "claims_differ": Rule.CLAIMS_DIFFER,
    "operator_differs": Rule.CLAIMS_DIFFER,
    "strange_accounts": Rule.STRANGE_ACCOUNT,
    "two_attempts": Rule.TWO_ATTEMPTS,
    "landed_twice": Rule.LANDED_TWICE,
    "overpaid": Rule.OVERPAID,
}


@dataclass(frozen=True, slots=True)
class Owed:
    """What is claimed of everything that we hold.

    Attributes:
        people: what each person may claim, in the wallet, in rooms and on the way back.
        own: the operator's.
        stray: what strangers sent where nothing should be sent.
        shares: of settled rooms, on their way to the treasury.
        claimed: all of it.
        arriving: posted of deposits that are confirmed and not final: part of what is claimed, and
            not yet on the finalized chain.
    """

    people: Mapping[int, Lamports]
    own: Lamports
    stray: Lamports
    shares: Lamports
    claimed: Lamports
    arriving: Lamports

    @property
    def liabilities(self) -> Lamports:
        """Return what is owed to others."""
        return Lamports(self.claimed - self.own)

    @property
    def unaccounted(self) -> int:
        """Return what is owed to nobody whom we could name; nothing when all is well."""
        return self.liabilities - sum(self.people.values()) - self.stray - self.shares


async def look(connection: Connection) -> Look:
    """Say how far the ledger can be seen now."""
    row = await connection.fetchrow(SQL["look"])
    assert row is not None, "a look sees something"
    return Look(Place(row["entry"], row["transfer"], row["attempt"]), row["oldest"], row["next"])


async def news(connection: Connection, after: Place) -> tuple[Look, list[Breach]]:
    """Look over what was written after a place; return how far, and what must not be."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        seen = await look(connection)
        return seen, await _between(connection, after, seen.place)


async def between(connection: Connection, after: Place, to: Place) -> list[Breach]:
    """Look over what was written between two places."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _between(connection, after, to)


async def whole(connection: Connection) -> list[Breach]:
    """Look over everything that is, whenever it was written."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _breaches(connection, _OF_ALL)


async def report(connection: Connection, breach: Breach) -> bool:
    """Pause everything because of a breach; say whether it is new."""
    new: bool = await connection.fetchval(SQL["report"], breach.key, breach.rule, breach.what)
    return new


async def live_attempts(connection: Connection) -> list[Signature]:
    """Return the signatures of attempts whose fate is open."""
    return [Signature(row["signature"]) for row in await connection.fetch(SQL["live_attempts"])]


async def posted_after(connection: Connection, slot: Slot, asset: str = SOL.name) -> list[Effect]:
    """Return what is in the ledger of blocks after a slot, by address, of one asset."""
    return [
        Effect(Address(row["address"]), Slot(row["slot"]), row["lamports"])
        for row in await connection.fetch(SQL["posted_after"], slot, asset)
    ]


async def posted_deposits(
    connection: Connection, deposits: Sequence[tuple[Signature, Address]]
) -> set[tuple[Signature, Address]]:
    """Say which of these deposits are posted."""
    signatures = [signature for signature, _ in deposits]
    addresses = [address for _, address in deposits]
    rows = await connection.fetch(SQL["posted_deposits"], signatures, addresses)
    return {(Signature(row["signature"]), Address(row["address"])) for row in rows}


async def owed(connection: Connection, asset: str = SOL.name) -> Owed:
    """Say what is owed to whom in one asset, at one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        people = await connection.fetch(SQL["claims"], asset)
        sums = await connection.fetchrow(SQL["owed"], asset)
    assert sums is not None, "an aggregate has a row"
    return Owed(
        people={row["user"]: Lamports(row["lamports"]) for row in people},
        own=Lamports(sums["own"]),
        stray=Lamports(sums["stray"]),
        shares=Lamports(sums["shares"]),
        claimed=Lamports(sums["claimed"]),
        arriving=Lamports(sums["arriving"]),
    )


async def _between(connection: Connection, after: Place, to: Place) -> list[Breach]:
    found: list[Breach] = []
    for checks, low, high in (
        (_OF_ENTRIES, after.entry, to.entry),
        (_OF_TRANSFERS, after.transfer, to.transfer),
        (_OF_ATTEMPTS, after.attempt, to.attempt),
    ):
        if low < high:
            found += await _breaches(connection, checks, low, high)
    return found


async def _breaches(
    connection: Connection, checks: Mapping[str, Rule], *arguments: object
) -> list[Breach]:
    return [
        breach_of(rule, row["subject"], row["found"], row["expected"])
        for name, rule in checks.items()
        for row in await connection.fetch(SQL[name], *arguments)
    ]
