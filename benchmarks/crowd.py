"""Crowd: many people with money, rooms and bets, written set-wise into a fresh database.

In        how many of each.
Out       rows as the stages would have written them, and a ledger whose two books agree.
"""

from typing import Final

from rooms import ledger
from rooms.ledger import Entry, Posting
from rooms.units import Address, Lamports, Signature
from storage import ledger as accounts
from storage.connections import Connection, Connections, transaction
from storage.flags import Flag, change

FEED: Final = "SOL/USD"
TOGETHER: Final = 5_000
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

PEOPLE: Final = """
    WITH made AS (
        INSERT INTO users (id, chat_id, name)
        SELECT n, n, 'p' || n FROM generate_series(1, $1::bigint) AS n
    )
    INSERT INTO addresses (address, kind, user_id)
    SELECT rpad('Person' || n || 'x', 44, 'x'), 'user', n FROM generate_series(1, $1::bigint) AS n
"""
ROOMS: Final = """
    WITH made AS (
        INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, target, base, opened_at,
            lock_at, cut_at, watch_at, deadline_at, target_wait_ms, gap_ms_max, protocol_fee_bps,
            host_fee_bps, stake_lamports_min, stake_lamports_max, volatility_bps, guards, state)
        SELECT n, 1, $2, 8, 1, 200, 10200000000, 10000000000, now - 1000, now + 3600000,
            now + 3610000, now + 3640000, now + 7200000, 10000, 60000, 200, 100, 1000000,
            1000000000000, 9000, '{}', 'OPEN'
        FROM generate_series(1, $1::bigint) AS n, now_ms() AS now
    )
    INSERT INTO addresses (address, kind, room_id)
    SELECT rpad('Vault' || n || 'x', 44, 'x'), 'vault', n FROM generate_series(1, $1::bigint) AS n
"""
BETS: Final = """
    WITH made AS (
        INSERT INTO bets (room_id, user_id, side)
        SELECT $1, n, CASE WHEN n % 2 = 0 THEN 'YES' ELSE 'NO' END
        FROM generate_series(1, $2::bigint) AS n
        RETURNING id, room_id, user_id, side
    )
    INSERT INTO stakes (bet_id, room_id, user_id, side, lamports, weight_bps, accepted_at, state,
        landed_at, landed_slot)
    SELECT id, room_id, user_id, side, 10000000 + user_id * 7919 % 90000000, 10000,
        now_ms(), 'LANDED', now_ms(), 1
    FROM made
    ORDER BY user_id
"""
DECIDED: Final = """
    UPDATE rooms SET state = 'DECIDED', outcome = 'YES', decided_at = now_ms(),
        watched_at = watch_at, sealed_at = now_ms(), sealed_slot = 2,
        sealed_yes = (SELECT sum(lamports) FROM stakes WHERE room_id = $1 AND side = 'YES'),
        sealed_no = (SELECT sum(lamports) FROM stakes WHERE room_id = $1 AND side = 'NO')
    WHERE id = $1
    RETURNING sealed_yes + sealed_no
"""


async def found(connections: Connections, *, treasury: bool = True) -> None:
    """Write what every stage takes for granted: open flags, a feed, a treasury unless told."""
    async with transaction(connections) as connection:
        for flag in Flag:
            await change(connection, flag, open=True, reason="benchmark")
        await connection.execute(
            "INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards)"
            " VALUES ($1, 'USD', 8, '{}', 9000, '{}')",
            FEED,
        )
        if treasury:
            await connection.execute(
                "INSERT INTO addresses (address, kind)"
                " VALUES (rpad('Treasury', 44, 'x'), 'treasury')"
            )


async def people(connections: Connections, count: int, lamports: int) -> None:
    """Write people, each with an address and so much to bet."""
    await connections.execute(PEOPLE, count)
    for start in range(1, count + 1, TOGETHER) if lamports else ():
        async with transaction(connections) as connection:
            await accounts.post(
                connection,
                [
                    ledger.deposit(
                        Signature(f"paid-in-{user}"),
                        Address(f"Person{user}x".ljust(44, "x")),
                        Lamports(lamports),
                        ledger.available(user),
                    )
                    for user in range(start, min(start + TOGETHER, count + 1))
                ],
            )


async def rooms(connections: Connections, count: int) -> None:
    """Write open rooms about a move, each with a vault."""
    await connections.execute(ROOMS, count, FEED)


async def decided_room(connections: Connections, bets: int) -> None:
    """Write one room that is decided and sealed, with so many bets of as many people."""
    await people(connections, bets, 0)
    await rooms(connections, 1)
    async with transaction(connections) as connection:
        await connection.execute(BETS, 1, bets)
        await seal(connection, 1)
    await connections.execute("VACUUM (ANALYZE)")


async def seal(connection: Connection, room: int) -> int:
    """Decide a room for YES, seal what has landed in it, and return its pool."""
    pool: int = await connection.fetchval(DECIDED, room)
    vault = await connection.fetchval("SELECT address FROM addresses WHERE room_id = $1", room)
    entry = Entry(
        f"landed:{room}",
        (
            Posting(ledger.chain(Address(vault)), Lamports(pool)),
            Posting(ledger.pool(room), Lamports(pool)),
        ),
    )
    await accounts.post(connection, [entry])
    return pool
