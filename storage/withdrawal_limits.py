"""Withdrawal limits: how much may leave here, as rows that the money transaction reads.

Promises  a changed limit holds from the next transaction on and is an act of the audit log; with a
          limit missing nothing leaves.
"""

from dataclasses import asdict, fields
from typing import Final

from rooms.refusal import CannotGoOn
from rooms.withdrawal import WithdrawalLimits
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("withdrawal_limits")

_NAMES: Final = {each.name for each in fields(WithdrawalLimits)}


async def read(connection: Connection) -> WithdrawalLimits:
    """Read the limits of this installation.

    Raises:
        CannotGoOn: when one is missing.
    """
    rows = {row["name"]: row["value"] for row in await connection.fetch(SQL["all"])}
    if set(rows) != _NAMES:
        raise CannotGoOn("the limits of withdrawals are not complete: run `rooms migrate`")
    return WithdrawalLimits(**rows)


async def take_over(connection: Connection, limits: WithdrawalLimits, who: str) -> None:
    """Make these the limits of this installation; whichever differs is written down as changed."""
    wanted = asdict(limits)
    await connection.execute(SQL["name_who"], who)
    await connection.execute(SQL["take_over"], list(wanted), list(wanted.values()))
