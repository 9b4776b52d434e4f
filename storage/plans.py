"""Plans: the one way to plan that lamports move on chain.

In        stakes, divided rooms, withdrawals, accounts: rows that are in the state which allows it.
Out       planned transfers, each under the key of what it is.
Promises  amount, parties and moment follow from those rows and the addresses on record; the same
          again plans nothing; what the rows do not allow is not planned and not passed over.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from rooms.refusal import must
from rooms.units import Lamports
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("plans")


async def plan_stakes(connection: Connection, stakes: Iterable[int]) -> None:
    """Plan the way of held stakes from their owners to the rooms' vaults."""
    wanted = list(stakes)
    if wanted:
        planned = await connection.fetchval(SQL["plan_stakes"], wanted)
        must(planned == len(wanted), "a held stake has a person's address and a vault")


async def plan_refunds(connection: Connection, stakes: Iterable[int]) -> None:
    """Plan the way back of stakes that missed the cut, or whose room's settlement is a void."""
    wanted = list(stakes)
    if wanted:
        planned = await connection.fetchval(SQL["plan_refunds"], wanted)
        must(planned == len(wanted), "what goes back has landed and is not in a live pool")


async def plan_payouts(
    connection: Connection, payouts: Sequence[tuple[int, int, Lamports]]
) -> None:
    """Plan what the winners of settled rooms get: room, user and lamports each."""
    if payouts:
        rooms, users, lamports = zip(*payouts, strict=True)
        planned = await connection.fetchval(SQL["plan_payouts"], rooms, users, lamports)
        must(planned == len(payouts), "a payout goes to a person who bet on the outcome")


async def plan_shares(connection: Connection, rooms: Iterable[int]) -> None:
    """Plan what settled rooms leave for the house and the earners, where that is anything."""
    await connection.fetch(SQL["plan_shares"], list(rooms))


async def plan_withdrawals(connection: Connection, withdrawals: Iterable[int]) -> None:
    """Plan the way out of withdrawals that may leave."""
    wanted = list(withdrawals)
    if wanted:
        planned = await connection.fetch(SQL["plan_withdrawals"], wanted)
        must(len(planned) == len(wanted), "a withdrawal leaves the address of its owner")


async def plan_returns(connection: Connection, *, idle_ms: int, most: int) -> int:
    """Plan the way back of floors, from paid rooms' vaults and idle addresses; return how many."""
    planned: int = await connection.fetchval(SQL["plan_returns"], idle_ms, most)
    return planned


async def plan_earnings(connection: Connection, *, lamports_min: Lamports, most: int) -> int:
    """Plan the way of earned shares to those who have at least so much; return how many."""
    planned: int = await connection.fetchval(SQL["plan_earnings"], lamports_min, most)
    return planned
