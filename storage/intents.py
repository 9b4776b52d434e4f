"""Intents: what a person asks for, written down for those who may do it.

In        a key that names the press or message that asked, and what it asks.
Out       whether it is new.
Promises  the same key asks once; whoever does it is woken with the same commit.
Why       the bot holds no keys and decides nothing: asking is all it can do.
"""

from rooms.asset import SOL, Asset
from rooms.room import RoomRequest, Side
from rooms.units import Lamports
from storage import address_book, feeds
from storage.connections import Connection
from storage.outbox import wake
from storage.sql import queries

SQL = queries("intents")


async def ask_bet(
    connection: Connection, key: str, *, user: int, room: int, side: Side, lamports: Lamports
) -> bool:
    """Ask for a bet, or for more on the same side."""
    return await _ask(connection, "bet", "bets", key, user, room, side.value, lamports)


async def ask_room(connection: Connection, key: str, request: RoomRequest) -> bool:
    """Ask for a room; its feed is wanted from now on."""
    wanted = {
        "move_bps": request.move_bps,
        "fixed_value": request.fixed_value,
        "lock_in_ms": request.lock_in_ms,
        "deadline_in_ms": request.deadline_in_ms,
        "stake_lamports_min": request.stake_lamports_min,
        "stake_lamports_max": request.stake_lamports_max,
        "seats": request.seats,
        "comparator": None if request.comparator is None else int(request.comparator),
        "held_ms": request.held_ms,
        "is_live": request.is_live,
        **({"asset": request.asset.name} if request.asset.is_token else {}),
    }
    await feeds.draft(connection, request.feed)
    return await _ask(connection, "room", "openings", key, request.creator, request.feed, wanted)


async def ask_withdrawal(
    connection: Connection,
    key: str,
    *,
    user: int,
    to_address: str,
    lamports: Lamports,
    asset: Asset = SOL,
) -> bool:
    """Ask for an amount to leave to an address outside, which is in the person's book from now."""
    await address_book.remember(connection, user, to_address)
    facts = user, to_address, lamports, asset.name
    return await _ask(connection, "withdrawal", "withdrawals", key, *facts)


async def cancel_withdrawal(connection: Connection, withdrawal: int, *, user: int) -> bool:
    """Ask for a withdrawal back; say whether it had not left yet."""
    found = await connection.fetchval(SQL["cancel"], withdrawal, user) is not None
    if found:
        await wake(connection, "withdrawals")
    return found


async def cancel_withdrawals(connection: Connection, *, user: int) -> int:
    """Ask for everything back that has not left yet; return how many that are."""
    found = await connection.fetch(SQL["cancel_all"], user)
    if found:
        await wake(connection, "withdrawals")
    return len(found)


async def _ask(connection: Connection, name: str, topic: str, key: str, *facts: object) -> bool:
    new = await connection.fetchval(SQL[name], key, *facts) is not None
    if new:
        await wake(connection, topic)
    return new
