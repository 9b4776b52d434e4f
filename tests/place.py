"""A place for tests: people with money, feeds and rooms, as rows that the stages find.

Holds     the shortest way to each row; moments are counted from the database's clock.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from rooms import ledger
from rooms.ledger import Account
from rooms.units import Address, Lamports, Signature, UnixMs, Value
from rooms.withdrawal import WithdrawalLimits
from storage import ledger as accounts
from storage import withdrawal_limits
from storage.connections import Connections, transaction
from storage.flags import Flag, change
from storage.live import LivePrice
from streams.money import Money

SOL = 1_000_000_000
FEED = "SOL/USD"
TREASURY = Address("Treasury")

_signatures = count(1)
_keys = count(1)


@dataclass
class Prices:
    """The live prices that a test sets."""

    values: dict[str, int] = field(default_factory=dict)
    seen_at: int | None = None

    async def prices_of(self, feeds: Iterable[str]) -> dict[str, LivePrice]:
        return {
            feed: LivePrice(
                feed=feed,
                value=Value(self.values[feed]),
                at=UnixMs(1),
                seen_at=UnixMs(2**62 if self.seen_at is None else self.seen_at),
                silence=None,
                agreeing=3,
                known=3,
                quorum=3,
                position=1,
                told_at=UnixMs(1),
            )
            for feed in feeds
            if feed in self.values
        }


@dataclass(frozen=True)
class Place:
    """A database with what every stage takes for granted: flags, a treasury, a feed."""

    connections: Connections
    prices: Prices = field(default_factory=Prices)

    def money(self, **changes: Any) -> Money:  # noqa: ANN401 - as Money takes it
        ids = count(1_000)
        given = {
            "connections": self.connections,
            "prices": self.prices,
            "new_room_id": lambda: next(ids),
        }
        return Money(**{**given, **changes})

    async def value(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - what the query says
        return await self.connections.fetchval(query, *arguments)

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.connections.fetch(query, *arguments)]

    async def column(self, query: str, *arguments: object) -> list[Any]:
        return [row[0] for row in await self.connections.fetch(query, *arguments)]

    async def do(self, query: str, *arguments: object) -> None:
        await self.connections.execute(query, *arguments)

    async def now(self) -> int:
        return int(await self.value("SELECT now_ms()"))

    async def balance(self, account: Account) -> int:
        async with self.connections.acquire() as connection:
            return await accounts.balance(connection, account)

    async def person(self, user: int, lamports: int = 0, *, referrer: int | None = None) -> int:
        """Make a person with an address and so much to bet."""
        await self.do(
            "INSERT INTO users (id, chat_id, name, referrer) VALUES ($1, $1, 'p', $2)",
            user,
            referrer,
        )
        await self.do(
            "INSERT INTO addresses (address, kind, user_id) VALUES ($1, 'user', $2)",
            f"Address{user}",
            user,
        )
        if lamports:
            await self.deposit(user, lamports)
        return user

    async def deposit(self, user: int, lamports: int) -> None:
        entry = ledger.deposit(
            Signature(f"signature{next(_signatures)}"),
            Address(f"Address{user}"),
            Lamports(lamports),
            ledger.available(user),
        )
        async with transaction(self.connections) as connection:
            await accounts.post(connection, [entry])

    async def room(self, room: int = 1, *, creator: int = 1, **changes: object) -> int:
        """Make an open room about a move of 2 % up, with a vault; times are from now."""
        now = await self.now()
        values: dict[str, Any] = {
            "id": room,
            "creator": creator,
            "feed": FEED,
            "scale": 2,
            "comparator": 1,
            "move_bps": 200,
            "target": None,
            "opened_at": -1_000,
            "lock_at": 60_000,
            "cut_at": 70_000,
            "watch_at": 90_000,
            "deadline_at": 3_600_000,
            "target_wait_ms": 10_000,
            "gap_ms_max": 60_000,
            "protocol_fee_bps": 200,
            "host_fee_bps": 100,
            "stake_lamports_min": 10_000_000,
            "stake_lamports_max": 5 * SOL,
            "seats": None,
            "volatility_bps": 8_000,
            "guards": {},
            "state": "OPEN",
            **changes,
        }
        for name in ("opened_at", "lock_at", "cut_at", "watch_at", "deadline_at"):
            values[name] += now
        names = ", ".join(values)
        places = ", ".join(f"${position}" for position in range(1, len(values) + 1))
        await self.do(f"INSERT INTO rooms ({names}) VALUES ({places})", *values.values())
        await self.do(
            "INSERT INTO addresses (address, kind, room_id) VALUES ($1, 'vault', $2)",
            f"Vault{room}",
            room,
        )
        return room

    async def ask_bet(self, user: int, side: str, lamports: int, room: int = 1) -> int:
        request: int = await self.value(
            "INSERT INTO bet_requests (key, user_id, room_id, side, lamports)"
            " VALUES ($1, $2, $3, $4, $5) RETURNING id",
            f"press{next(_keys)}",
            user,
            room,
            side,
            lamports,
        )
        return request

    async def limit_withdrawals(self, limits: WithdrawalLimits) -> None:
        """Make these the limits of withdrawals."""
        async with transaction(self.connections) as connection:
            await withdrawal_limits.take_over(connection, limits, "test")

    async def refusals(self, table: str = "bet_requests") -> list[str | None]:
        """Return the code with which each request was refused, None for one that was taken."""
        return await self.column(f"SELECT refusal ->> 'code' FROM {table} ORDER BY id")

    async def told(self, kind: str | None = None) -> list[Mapping[str, Any]]:
        """Return the payloads of the events written so far."""
        rows = await self.column("SELECT payload FROM outbox WHERE topic = 'events' ORDER BY id")
        return [row for row in rows if kind is None or row["kind"] == kind]

    async def woken(self) -> Sequence[str]:
        return await self.column(
            "SELECT DISTINCT topic FROM outbox WHERE topic <> 'events' ORDER BY topic"
        )

    async def somebody_waits(self) -> None:
        """Return when a statement of this database waits for a lock."""
        async with asyncio.timeout(10):
            while not await self.value(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database())"
            ):
                pass

    async def books_agree(self) -> None:
        """Check that where equals whose, and that every balance is the sum of its postings."""
        wrong = await self.rows(
            "SELECT a.name, a.balance, coalesce(sum(p.lamports), 0) AS posted, a.version,"
            " count(p.*) AS count FROM accounts a LEFT JOIN postings p ON p.account = a.name"
            " GROUP BY a.name"
            " HAVING a.balance <> coalesce(sum(p.lamports), 0) OR a.version <> count(p.*)"
        )
        assert wrong == []
        difference = await self.value(
            "SELECT coalesce(sum(CASE WHEN is_where THEN balance ELSE -balance END), 0)"
            " FROM accounts"
        )
        assert difference == 0


async def made(connections: Connections) -> Place:
    """Make a place."""
    place = Place(connections)
    async with transaction(connections) as connection:
        for flag in Flag:
            await change(connection, flag, open=True, reason="test")
    await place.do(
        "INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards)"
        " VALUES ($1, 'USD', 2, '{}', 8000, '{}')",
        FEED,
    )
    await place.do("INSERT INTO addresses (address, kind) VALUES ($1, 'treasury')", TREASURY)
    return place
