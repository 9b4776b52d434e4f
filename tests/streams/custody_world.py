"""A world for custody's tests: its stages over a real chain, a real database and a keystore."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from chain.keystore import Keystore, PassphraseCost
from chain.providers import Providers
from chain.settings import ChainSettings, DepositSettings, Endpoint, FeeSettings
from rooms import ledger
from rooms.asset import SOL as SOLS
from rooms.asset import Asset
from rooms.units import Address, Lamports
from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from storage import ledger as ledger_rows
from storage import plans
from storage.connections import Connections, transaction
from storage.flags import Flag, change
from streams.addresses import ensure_operator, give_addresses
from streams.custody import Custody
from streams.deposits import post_deposits
from streams.receipts import post_fates
from streams.releases import release_overdue
from streams.seals import seal_due
from streams.transfers import sign_due

SOL = 1_000_000_000
CHEAP = PassphraseCost(memory_kib=64, rounds=1, lanes=1)


@dataclass(frozen=True)
class World:
    custody: Custody
    solana: RunningSolana
    connections: Connections

    async def airdrop(self, address: str, lamports: int) -> None:
        self.solana.control.airdrop(address, lamports)

    async def until(self, done: Callable[[], Awaitable[object]]) -> None:
        """Do custody's rounds, block by block, until something is so."""
        for _ in range(400):
            await give_addresses(self.custody)
            await sign_due(self.custody)
            await post_fates(self.custody)
            await seal_due(self.custody)
            await release_overdue(self.custody)
            await post_deposits(self.custody)
            if await done():
                return
            self.solana.control.advance(1)
        raise AssertionError("it did not come about within 400 blocks")

    async def value(self, query: str, *arguments: object) -> object:
        async with self.connections.acquire() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> None:
        async with self.connections.acquire() as connection:
            await connection.execute(query, *arguments)

    async def ledger_is_chain(self) -> None:
        """Compare every address of ours with the chain, to the lamport."""
        async with self.connections.acquire() as connection:
            rows = await connection.fetch(
                "SELECT a.address, coalesce(c.balance, 0) AS lamports FROM addresses a"
                " LEFT JOIN accounts c ON c.name = 'chain:' || a.address"
            )
        addresses = [Address(row["address"]) for row in rows]
        _, lie = await self.custody.providers.first(
            lambda rpc: rpc.balances(addresses, "confirmed")
        )
        assert {a: lie[a] or 0 for a in addresses} == {r["address"]: r["lamports"] for r in rows}


@asynccontextmanager
async def custody_world(
    connections: Connections, tmp_path: Path, *, for_fees: int = 10 * SOL
) -> AsyncIterator[World]:
    """Give a chain that makes blocks when told, and custody on it with every flag open."""
    settings = SolanaSettings(
        port=0, second_port=0, control_port=0, manual=True, slot_ms=400,
        data_dir=tmp_path / "chain",
        manual_at_ms=await connections.fetchval("SELECT now_ms()"),
    )  # fmt: skip
    signer = Keystore.create(tmp_path / "keys", "correct horse", Random(7).randbytes, CHEAP)
    async with running_solana(settings) as solana:
        chain = ChainSettings(
            endpoints=(Endpoint("first", solana.url), Endpoint("second", solana.second_url))
        )
        async with Providers.of(chain) as providers:
            async with connections.acquire() as connection:
                for flag in Flag:
                    await change(connection, flag, open=True, reason="test")
            operator = await ensure_operator(connections, signer)
            custody = Custody(
                connections=connections,
                providers=providers,
                signer=signer,
                operator=operator,
                fees=FeeSettings(),
                deposits=DepositSettings(),
                deposit_lamports_min=Lamports(5_000_000),
                transfers_max=60,
            )
            if for_fees:
                solana.control.airdrop(operator.fee_payer, for_fees)
            yield World(custody, solana, connections)


async def people(world: World, *lamports: int) -> dict[int, Address]:
    """Make people with deposits that are usable; return their addresses."""
    for number, _ in enumerate(lamports, 1):
        await world.execute("INSERT INTO users (id, chat_id, name) VALUES ($1, $1, 'p')", number)
    await give_addresses(world.custody)
    async with world.connections.acquire() as connection:
        rows = await connection.fetch("SELECT user_id, address FROM addresses WHERE kind = 'user'")
    found = {row["user_id"]: Address(row["address"]) for row in rows}
    for number, amount in enumerate(lamports, 1):
        await world.airdrop(found[number], amount)

    async def usable() -> bool:
        total = await world.value(
            "SELECT coalesce(sum(balance), 0) FROM accounts WHERE name LIKE 'available:%'"
        )
        return total == sum(lamports)

    await world.until(usable)
    return found


async def room(world: World, *, cut_in_ms: int, asset: Asset = SOLS) -> None:
    """Open room 77 of person 1 whose cut comes so long from now, by the chain's clock."""
    await world.execute(
        """
        INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards)
        VALUES ('SOL/USD', 'USD', 8, '{}', 9000, '{}')
        """
    )
    await world.execute(
        """
        INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, opened_at, lock_at,
            cut_at, watch_at, deadline_at, target_wait_ms, gap_ms_max, protocol_fee_bps,
            host_fee_bps, stake_lamports_min, stake_lamports_max, volatility_bps, guards,
            asset, asset_decimals)
        SELECT 77, 1, 'SOL/USD', 8, 1, 200, n, n + $1 - 1, n + $1, n + $1 + 1, n + $1 + 60000,
            10000, 2000, 200, 100, 1, $2, 9000, '{}', $3, $4 FROM now_ms() n
        """,
        cut_in_ms,
        100 * SOL,
        asset.name,
        asset.decimals,
    )
    await give_addresses(world.custody)
    await world.execute("UPDATE rooms SET state = 'OPEN'")


async def stake(world: World, user: int, side: str, lamports: int, asset: Asset = SOLS) -> None:
    """Hold and plan a stake, as the bets stage does."""
    async with transaction(world.connections) as connection:
        bet = await connection.fetchval(
            "INSERT INTO bets (room_id, user_id, side) VALUES (77, $1, $2) RETURNING id", user, side
        )
        number = await connection.fetchval(
            "INSERT INTO stakes (bet_id, room_id, user_id, side, lamports, weight_bps, accepted_at)"
            " VALUES ($1, 77, $2, $3, $4, 10000, now_ms()) RETURNING id",
            bet, user, side, lamports,
        )  # fmt: skip
        await ledger_rows.post(
            connection,
            [ledger.hold(f"stake:{number}", user, Lamports(lamports)).of(asset.name)],
        )
        await plans.plan_stakes(connection, [number])


async def sealed(world: World) -> bool:
    """Say whether the room is sealed."""
    return await world.value("SELECT sealed_at IS NOT NULL FROM rooms") is True


async def final(world: World) -> None:
    """Let every deposit become final."""
    world.solana.control.advance(40)
    await post_deposits(world.custody)


async def on(world: World, account: str) -> int:
    """Return what is on an account of the ledger."""
    balance = await world.value("SELECT balance FROM accounts WHERE name = $1", account)
    return int(str(balance or 0))


async def lies_at(world: World, address: str) -> int:
    """Return what lies at an address of the finalized chain."""
    wanted = Address(address)
    _, lie = await world.custody.providers.first(lambda rpc: rpc.balances([wanted], "finalized"))
    return lie[wanted] or 0
