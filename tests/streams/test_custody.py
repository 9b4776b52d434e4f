"""Custody end to end on a real chain: addresses, deposits, stakes, seal, payouts, withdrawals."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest_asyncio

from chain.keystore import Keystore, PassphraseCost
from chain.providers import Providers
from chain.rpc import Rpc
from chain.settings import ChainSettings, DepositSettings, Endpoint, FeeSettings
from rooms import ledger
from rooms.units import Address, Lamports
from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from storage import attempts, plans
from storage import ledger as ledger_rows
from storage.connections import Connections, transaction
from storage.flags import Flag, change
from streams.addresses import ensure_operator, give_addresses
from streams.custody import Custody
from streams.deposits import post_deposits
from streams.receipts import post_fates
from streams.releases import release_overdue
from streams.seals import seal_due
from streams.transfers import send_first, sign_due

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


@pytest_asyncio.fixture
async def world(connections: Connections, tmp_path: Path) -> AsyncIterator[World]:
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
            solana.control.airdrop(operator.fee_payer, 10 * SOL)
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


async def room(world: World, *, cut_in_ms: int) -> None:
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
            host_fee_bps, stake_lamports_min, stake_lamports_max, volatility_bps, guards)
        SELECT 77, 1, 'SOL/USD', 8, 1, 200, n, n + $1 - 1, n + $1, n + $1 + 1, n + $1 + 60000,
            10000, 2000, 200, 100, 1, $2, 9000, '{}' FROM now_ms() n
        """,
        cut_in_ms,
        100 * SOL,
    )
    await give_addresses(world.custody)
    await world.execute("UPDATE rooms SET state = 'OPEN'")


async def stake(world: World, user: int, side: str, lamports: int) -> None:
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
            connection, [ledger.hold(f"stake:{number}", user, Lamports(lamports))]
        )
        await plans.plan_stakes(connection, [number])


async def sealed(world: World) -> bool:
    return await world.value("SELECT sealed_at IS NOT NULL FROM rooms") is True


async def test_everybody_has_an_address_and_a_deposit_is_usable_when_final(world: World) -> None:
    addresses = await people(world, 3 * SOL, 1 * SOL)

    assert len(set(addresses.values())) == 2
    assert await world.value("SELECT count(*) FROM deposits") == 3  # the fee payer's is the house's
    assert await world.value("SELECT balance FROM accounts WHERE name = 'house'") == 10 * SOL
    await world.ledger_is_chain()


async def test_dust_and_what_strangers_leave_is_nobodys(world: World) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    vault = await world.value("SELECT address FROM addresses WHERE kind = 'vault'")
    assert isinstance(vault, str)
    await world.airdrop(vault, 2 * SOL)

    async def posted() -> bool:
        return await world.value("SELECT count(*) FROM deposits") == 3

    await world.until(posted)
    assert await world.value("SELECT balance FROM accounts WHERE name = 'stray:' || $1", vault) == (
        2 * SOL
    )
    await world.ledger_is_chain()


async def test_stakes_in_time_are_the_sealed_pool(world: World) -> None:
    await people(world, 3 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await stake(world, 1, "YES", 3 * SOL)  # all that there is: the floor stays, the stake goes
    await stake(world, 2, "NO", 1 * SOL)

    await world.until(lambda: sealed(world))

    row = await world.connections.fetchrow("SELECT sealed_yes, sealed_no, state FROM rooms")
    assert row is not None
    assert (row["sealed_yes"], row["sealed_no"], row["state"]) == (3 * SOL, 1 * SOL, "LOCKED")
    assert await world.value("SELECT balance FROM accounts WHERE name = 'pool:77'") == 4 * SOL
    assert await world.value("SELECT balance FROM accounts WHERE name = 'available:1'") == 0
    await world.ledger_is_chain()


async def test_a_stake_that_misses_the_cut_goes_back_in_full(world: World) -> None:
    await people(world, 3 * SOL)
    world.solana.control.advance(20)  # the chain's clock has passed the cut before the stake lands
    await room(world, cut_in_ms=3_000)
    await stake(world, 1, "YES", 2 * SOL)

    async def given_back() -> bool:
        return await world.value("SELECT balance FROM accounts WHERE name = 'available:1'") == (
            3 * SOL
        )

    await world.until(given_back)
    assert await world.value("SELECT state FROM stakes") == "MISSED"
    assert await world.value("SELECT balance FROM accounts WHERE name = 'due:77'") == 0
    await world.ledger_is_chain()


async def test_a_one_sided_pool_is_void_at_the_seal(world: World) -> None:
    await people(world, 3 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await stake(world, 1, "YES", 2 * SOL)
    await stake(world, 2, "YES", 1 * SOL)

    await world.until(lambda: sealed(world))

    row = await world.connections.fetchrow("SELECT state, outcome, void_reason FROM rooms")
    assert row is not None
    assert tuple(row) == ("DECIDED", "VOID", "one_sided")
    told = await world.value("SELECT payload FROM outbox WHERE topic = 'ticks'")
    assert told == {"kind": "stopped", "room": "77"}


async def test_a_withdrawal_leaves_once_and_the_fee_is_the_houses(world: World) -> None:
    await people(world, 3 * SOL)
    outside = "8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh"
    async with transaction(world.connections) as connection:
        number = await connection.fetchval(
            "INSERT INTO withdrawals (key, user_id, to_address, lamports, state, due_at)"
            " VALUES ('k', 1, $1, $2, 'LEAVING', now_ms()) RETURNING id",
            outside, 3 * SOL,
        )  # fmt: skip
        await ledger_rows.post(
            connection, [ledger.hold(f"withdrawal:{number}", 1, Lamports(3 * SOL))]
        )
        await plans.plan_withdrawals(connection, [number])

    async def paid() -> bool:
        return await world.value("SELECT state FROM withdrawals") == "PAID"

    await world.until(paid)

    async def outside_has(rpc: Rpc) -> Lamports | None:
        return (await rpc.balances([Address(outside)], "finalized"))[1][Address(outside)]

    assert await world.custody.providers.first(outside_has) == 3 * SOL
    house = await world.value("SELECT balance FROM accounts WHERE name = 'house'")
    floors = await world.value("SELECT sum(balance) FROM accounts WHERE name LIKE 'floor:%'")
    fees = await world.value("SELECT sum(fee_lamports) FROM attempts")
    assert house == 10 * SOL - floors - fees  # type: ignore[operator]
    await world.ledger_is_chain()


async def test_signing_waits_while_it_is_paused(world: World) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", 1 * SOL)
    async with world.connections.acquire() as connection:
        await change(connection, Flag.SIGNING, open=False, reason="test")

    assert await sign_due(world.custody) == 0
    assert await world.value("SELECT count(*) FROM attempts") == 0


async def test_two_rounds_at_once_sign_a_transfer_once(world: World) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", 1 * SOL)

    await asyncio.gather(*(sign_due(world.custody) for _ in range(4)))

    assert await world.value("SELECT count(*) FROM attempts") == 1


async def test_what_was_sent_is_never_closed_when_a_second_round_finds_it_landed(
    world: World,
) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", 3 * SOL)
    await sign_due(world.custody)
    async with world.connections.acquire() as connection:
        (sent,) = await attempts.live(connection)
    world.solana.control.advance(2)

    # The second round read the row before the first one noted that it was sent.
    await send_first(world.custody, replace(sent, sent_at=None))

    assert await world.value("SELECT state FROM attempts") == "SIGNED"
    assert await world.value("SELECT state FROM transfers") == "ATTEMPTED"
