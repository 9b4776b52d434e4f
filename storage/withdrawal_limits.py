"""Withdrawal limits: how much may leave here, as rows that the money transaction reads.

Promises  a changed limit holds from the next transaction on and is an act of the audit log; with a
          limit missing nothing leaves.
"""

from dataclasses import asdict, fields
from typing import Final

from rooms.asset import SOL
from rooms.refusal import CannotGoOn
from rooms.withdrawal import WithdrawalLimits
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("withdrawal_limits")

_NAMES: Final = {each.name for each in fields(WithdrawalLimits)}


async def read(connection: Connection, asset: str = SOL.name) -> WithdrawalLimits:
    """Read the limits of this installation for what is taken out in one asset.

    Raises:
        CannotGoOn: when one is missing.
    """
    prefix = _prefix(asset)
    rows = {row["name"]: row["value"] for row in await connection.fetch(SQL["all"])}
    own = {name: rows[prefix + name] for name in _NAMES if prefix + name in rows}
    if set(own) != _NAMES:
        raise CannotGoOn("the limits of withdrawals are not complete: run `rooms migrate`")
    return WithdrawalLimits(**own)


async def take_over(
    connection: Connection, limits: WithdrawalLimits, who: str, asset: str = SOL.name
) -> None:
    """Make these the limits of this installation; whichever differs is written down as changed."""
    wanted = {_prefix(asset) + name: value for name, value in asdict(limits).items()}
    await connection.execute(SQL["name_who"], who)
    await connection.execute(SQL["begin"], list(wanted), list(wanted.values()))
    await connection.execute(SQL["take_over"], list(wanted), list(wanted.values()))


def _prefix(asset: str) -> str:
    return "" if asset == SOL.name else f"{asset}:"
