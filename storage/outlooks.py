"""Outlooks: what is known of a person and an address before a withdrawal between them.

Out       the same facts to whoever asks for one in the chat and to whoever judges it.
Promises  read in the transaction that asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rooms.asset import Asset
from rooms.units import Lamports, UnixMs
from rooms.withdrawal import Outlook, Taken
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("outlooks")

_ALLOWED: Final = ("WAITING", "LEAVING", "PAID")
_HOPED: Final = ("ASKED", *_ALLOWED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """A person, an address, and what is known of both.

    Attributes:
        is_known: whether the address is in the person's book.
        is_ours: whether the address is one of this place.
        has_address: whether there is an address that lamports could leave from.
        is_locked: whether the person, or too many wrong PINs, locked everything.
    """

    outlook: Outlook
    is_known: bool
    is_ours: bool
    has_address: bool
    is_locked: bool


async def read(
    connection: Connection, asked: Sequence[tuple[int, str, Asset]], *, with_asked: bool = False
) -> list[Parties]:
    """Read what is known of each person and address, in their order.

    Args:
        connection: whose transaction judges.
        asked: person, address, and what is to be taken out.
        with_asked: count what waits to be judged as well, as it may be allowed.
    """
    rows = await connection.fetch(
        SQL["outlooks"],
        [person for person, _, _ in asked],
        [address for _, address, _ in asked],
        _HOPED if with_asked else _ALLOWED,
        [asset.name for _, _, asset in asked],
    )
    return [
        Parties(
            outlook=Outlook(
                available=row["available"],
                taken=Taken(
                    person_hour=row["person_hour"],
                    person_day=row["person_day"],
                    address_hour=row["address_hour"],
                    address_day=row["address_day"],
                ),
                address_since=row["now"] if row["address_since"] is None else row["address_since"],
                secured_since=row["secured_since"],
                fresh=[(Lamports(won), UnixMs(free_at)) for won, free_at in row["fresh"]],
                now=row["now"],
                asset=asset,
            ),
            is_known=row["address_since"] is not None,
            is_ours=row["is_ours"],
            has_address=row["has_address"],
            is_locked=row["is_locked"],
        )
        for row, (_, _, asset) in zip(rows, asked, strict=True)
    ]
