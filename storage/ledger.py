"""Ledger: where entries and balances rest.

In        entries of `rooms.ledger`.
Out       the keys that are new; balances.
Promises  an entry is written once and whole, or not at all; a key that is there already writes
          nothing, and with other postings it is refused; no balance is ever negative.
Why       when the answer to a commit is lost, `posted` says whether it happened: look, never guess.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from rooms.ledger import Account, Entry
from rooms.units import Lamports
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("ledger")


async def post(connection: Connection, entries: Sequence[Entry]) -> list[str]:
    """Post ``entries`` in their order and return the keys that were not there yet.

    Accounts are made and locked in the order of their names. Lock rooms before calling this, and
    call it once a transaction, or `lock` all accounts of the transaction first.
    """
    if not entries:
        return []
    wanted = [
        {"key": entry.key, "digest": digest(entry), "postings": _legs(entry)} for entry in entries
    ]
    return [row["key"] for row in await connection.fetch(SQL["post"], wanted)]


async def posted(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Say which of ``keys`` have an entry."""
    return {row["key"] for row in await connection.fetch(SQL["posted"], list(keys))}


async def balance(connection: Connection, account: Account) -> Lamports:
    """Return what lies on an account; one that was never used has nothing."""
    return (await balances(connection, [account]))[account]


async def balances(connection: Connection, accounts: Iterable[Account]) -> dict[Account, Lamports]:
    """Return what lies on each account."""
    return await _read(connection, SQL["balances"], list(accounts))


async def lock(connection: Connection, accounts: Iterable[Account]) -> dict[Account, Lamports]:
    """Lock accounts until the transaction ends, and return what lies on each.

    An account that was never used is made, as a missing row could not be locked.
    """
    wanted = list(accounts)
    await connection.execute(SQL["make"], [account.name for account in wanted])
    return await _read(connection, SQL["lock"], wanted)


def digest(entry: Entry) -> str:
    """Return a fingerprint of an entry's postings, whatever their order."""
    return hashlib.sha256(msgspec.json.encode(_legs(entry))).hexdigest()


def _legs(entry: Entry) -> list[tuple[str, int]]:
    return sorted((posting.account.name, posting.lamports) for posting in entry.postings)


async def _read(
    connection: Connection, query: str, accounts: Sequence[Account]
) -> dict[Account, Lamports]:
    rows = await connection.fetch(query, [account.name for account in accounts])
    found = {row["name"]: Lamports(row["balance"]) for row in rows}
    return {account: found.get(account.name, Lamports(0)) for account in accounts}
