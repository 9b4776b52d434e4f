"""An old backup is restored: the chain tells what it has forgotten, and nobody is paid twice."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from rooms.units import Address
from sandbox.postgres import PostgresSettings, ensure_database, program
from storage import restores
from storage.connections import Connections, open_connections, transaction
from storage.flags import Flag, change
from streams.addresses import give_addresses
from streams.deposits import post_deposits
from streams.receipts import post_fates
from streams.restoring import is_restoring, look_back, may_be_missing_stakes, restore
from streams.seals import seal_due
from streams.settlements import claim_paid, claim_settlements
from streams.transfers import sign_due
from tests.place import Place
from tests.streams.custody_world import SOL, World, people, room, sealed, stake
from tests.streams.test_deposits import ask_out

OUTSIDE = Address("8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh")


async def run(name: str, *arguments: str) -> None:
    command = [program(name), *arguments]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)


async def dump(dsn: str, into: Path) -> None:
    await run("pg_dump", "-Fc", "-f", str(into), dsn)


@asynccontextmanager
async def restored(world: World, postgres: PostgresSettings, backup: Path) -> AsyncIterator[World]:
    """Restore a backup into a database of its own; give the same chain and keys on it."""
    ensure_database(postgres, "restored")
    dsn = postgres.dsn("restored")
    await run("pg_restore", "--clean", "--if-exists", "--no-owner", "-d", dsn, str(backup))
    async with open_connections(dsn, name="restored", size_max=6) as connections:
        custody = replace(world.custody, connections=connections, divisions={})
        yield World(custody, world.solana, connections)
    server = postgres.dsn("postgres")
    await run("psql", "-qc", "DROP DATABASE restored WITH (FORCE)", server)


async def rounds_of(world: World, money: Place) -> None:
    """Do what worker and custody do, as far as a restore lets them."""
    if await is_restoring(world.custody):
        await restore(world.custody)
    await claim_settlements(money.money())
    await claim_paid(money.money())


async def until_over(world: World) -> None:
    place = Place(world.connections)

    async def over() -> bool:
        await rounds_of(world, place)
        return not await is_restoring(world.custody)

    await until(world, over)


async def until(world: World, done: Callable[[], Awaitable[object]]) -> None:
    """As the world's own rounds, with the gates that custody's rounds have."""
    for _ in range(200):
        if not await is_restoring(world.custody):
            await give_addresses(world.custody)
            await sign_due(world.custody)
        await post_fates(world.custody)
        if not await may_be_missing_stakes(world.custody):
            await seal_due(world.custody)
        await post_deposits(world.custody)
        if await done():
            return
        world.solana.control.advance(1)
    async with world.connections.acquire() as connection:
        waiting = await restores.waiting(connection)
    raise AssertionError(f"it did not come about within 200 blocks: {waiting}")


async def played(world: World) -> None:
    """Bet, seal, decide YES, settle and pay in room 77; take a SOL out."""
    place = Place(world.connections)
    await stake(world, 1, "YES", 3 * SOL)
    await stake(world, 2, "NO", 1 * SOL)
    await world.until(lambda: sealed(world))
    await world.execute(
        "UPDATE rooms SET state = 'DECIDED', outcome = 'YES', decided_at = now_ms() WHERE id = 77"
    )
    assert await claim_settlements(place.money()) == 1

    async def paid() -> bool:
        return await world.value("SELECT state FROM rooms") == "PAID"

    await world.until(paid)
    await ask_out(world, 1, SOL)
    await world.until(lambda: is_out(world))


async def is_out(world: World) -> bool:
    return await world.value("SELECT state FROM withdrawals") == "PAID"


async def balances(world: World) -> dict[str, int]:
    async with world.connections.acquire() as connection:
        rows = await connection.fetch("SELECT name, balance FROM accounts WHERE balance > 0")
    return {row["name"]: row["balance"] for row in rows}


async def test_a_backup_from_before_the_bets_is_brought_to_what_the_chain_says(
    world: World, dsn: str, postgres: PostgresSettings, tmp_path: Path
) -> None:
    await people(world, 4 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await dump(dsn, tmp_path / "backup")
    await played(world)
    before = await balances(world)

    async with restored(world, postgres, tmp_path / "backup") as old:
        await look_back(old.custody)
        assert await is_restoring(old.custody)
        assert await old.value("SELECT open FROM flags WHERE name = 'all'") is False
        await until_over(old)

        assert await balances(old) == before
        assert await old.value("SELECT state FROM rooms") == "PAID"
        assert await old.value("SELECT outcome FROM settlements") == "YES"
        assert await old.value("SELECT count(*) FROM set_aside") == 0
        await old.ledger_is_chain()
        # Resumed, custody finds nothing to sign, and starts without closing anything again.
        async with old.connections.acquire() as connection:
            await change(connection, Flag.ALL, open=True, reason="test")
        assert await sign_due(old.custody) == 0
        await look_back(old.custody)
        assert not await is_restoring(old.custody)


async def test_a_backup_in_which_payouts_are_still_planned_pays_nobody_twice(
    world: World, dsn: str, postgres: PostgresSettings, tmp_path: Path
) -> None:
    await people(world, 4 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await stake(world, 1, "YES", 3 * SOL)
    await stake(world, 2, "NO", 1 * SOL)
    await world.until(lambda: sealed(world))
    await world.execute(
        "UPDATE rooms SET state = 'DECIDED', outcome = 'YES', decided_at = now_ms() WHERE id = 77"
    )
    await claim_settlements(Place(world.connections).money())
    await dump(dsn, tmp_path / "backup")

    async def paid() -> bool:
        return await world.value("SELECT state FROM rooms") == "PAID"

    await world.until(paid)
    # So that a second payout could land: a stranger's lamports lie on the vault.
    vault = str(await world.value("SELECT address FROM addresses WHERE kind = 'vault'"))
    await world.airdrop(vault, 9 * SOL)
    await world.until(lambda: strays(world, vault))
    before = await balances(world)

    async with restored(world, postgres, tmp_path / "backup") as old:
        await look_back(old.custody)
        async with old.connections.acquire() as connection:
            # Even opened by hand nothing is signed before the chain was read back.
            await change(connection, Flag.ALL, open=True, reason="test")
        assert await sign_due(old.custody) == 0
        await until_over(old)
        await until(old, lambda: strays(old, vault))

        assert await sign_due(old.custody) == 0
        assert await balances(old) == before
        await old.ledger_is_chain()


async def strays(world: World, vault: str) -> bool:
    return await world.value("SELECT final_at FROM deposits WHERE address = $1", vault) is not None


async def test_a_room_that_the_backup_never_had_gives_every_stake_back(
    world: World, dsn: str, postgres: PostgresSettings, tmp_path: Path
) -> None:
    await people(world, 4 * SOL, 2 * SOL)
    await world.execute(
        "INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards)"
        " VALUES ('ETH/USD', 'USD', 2, '{}', 8000, '{}')"
    )
    await dump(dsn, tmp_path / "backup")
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", 3 * SOL)
    await stake(world, 2, "NO", 1 * SOL)

    async def landed() -> bool:
        return await world.value("SELECT count(*) FROM stakes WHERE state = 'LANDED'") == 2

    await world.until(landed)
    async with restored(world, postgres, tmp_path / "backup") as old:
        await look_back(old.custody)
        await until_over(old)
        async with old.connections.acquire() as connection:
            await change(connection, Flag.ALL, open=True, reason="test")
        place = Place(old.connections)

        async def paid() -> bool:
            await rounds_of(old, place)
            return await old.value("SELECT state FROM rooms WHERE id = 77") == "PAID"

        await until(old, paid)
        mine = await balances(old)
        assert (mine["available:1"], mine["available:2"]) == (4 * SOL, 2 * SOL)
        await old.ledger_is_chain()


async def test_a_restore_that_a_person_begins_reads_everything_and_ends(
    world: World, connections: Connections
) -> None:
    await people(world, 4 * SOL)
    async with transaction(connections) as connection:
        assert await restores.begin(connection, "a backup was restored", "somebody")
        assert not await restores.begin(connection, "again", "somebody")
    await world.execute("INSERT INTO users (id, chat_id, name) VALUES (9, 9, 'p')")
    assert await restore(world.custody) == 0
    assert not await is_restoring(world.custody)
    assert await world.value("SELECT open FROM flags WHERE name = 'all'") is False
