"""A room in USDC on a real chain: deposit, bet, seal, division, payout, withdrawal; to the unit."""

from dataclasses import replace

import asyncpg
import pytest

from chain.tokens import read_holding, token_account
from rooms import ledger
from rooms.asset import Asset
from rooms.refusal import CannotGoOn, Impossible
from rooms.units import Address, Lamports
from storage import audit, plans
from storage import ledger as ledger_rows
from storage.connections import transaction
from streams.comparison import compare
from streams.deposits import post_deposits
from streams.returns import claim_earnings, claim_returns
from streams.settlements import claim_paid, claim_settlements
from streams.tokens import ensure_tokens, read_tokens
from streams.transfers import sign_due
from tests.place import Place
from tests.streams.custody_world import World, people, room, sealed, stake

USDC = Asset("USDC", 6)
UNIT = 1_000_000
OUTSIDE = "67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb"


async def allow(world: World) -> Address:
    """Mint the chain's own token and allow it under the name of USDC."""
    world.solana.control.airdrop_token(str(world.solana.control.chain.faucet.pubkey()), 1)
    world.solana.control.advance(12)
    mint = Address(str(world.solana.control.chain.mint))
    await ensure_tokens(world.connections, world.custody.providers, {"USDC": mint})
    return mint


async def rich(world: World, *amounts: int) -> dict[int, Address]:
    """Make people who have so much USDC, and no SOL; return their wallets."""
    wallets = await people(world, *[0 for _ in amounts])
    for number, amount in enumerate(amounts, 1):
        world.solana.control.airdrop_token(wallets[number], amount)

    async def usable() -> bool:
        total = await world.value(
            "SELECT coalesce(sum(balance), 0) FROM accounts WHERE name LIKE 'available:%@USDC'"
        )
        return total == sum(amounts)

    await world.until(usable)
    return wallets


async def balance(world: World, account: ledger.Account) -> int:
    async with world.connections.acquire() as connection:
        return await ledger_rows.balance(connection, account)


async def all_is_well(world: World) -> None:
    """Compare ledger and chain in each asset, and look for what must never be so."""
    world.solana.control.advance(20)
    async with world.connections.acquire() as connection:
        tokens = await read_tokens(connection)
        looked = await audit.look(connection)
        found = await audit.whole(connection)
        found += await audit.between(connection, type(looked.place)(), looked.place)
    assert found == []
    for token in (None, *tokens.values()):
        compared = await compare(
            world.connections, world.custody.providers, world.custody.deposits, token
        )
        assert (compared.unexplained, compared.strangers, compared.not_known) == ([], (), ())
        assert compared.ledger, "something is compared"


async def holds(world: World, wallet: str) -> int | None:
    """Say what a wallet holds of the token on the chain."""
    async with world.connections.acquire() as connection:
        token = (await read_tokens(connection))["USDC"]
    place = token_account(Address(wallet), token)
    _, found = await world.custody.providers.first(
        lambda rpc: rpc.stored([place], "confirmed", 166)
    )
    holding = read_holding(found[place], token)
    return None if holding is None else holding.amount


async def withdraw(world: World, to_address: str, amount: int) -> None:
    async with transaction(world.connections) as connection:
        number = await connection.fetchval(
            "INSERT INTO withdrawals (key, user_id, to_address, lamports, state, due_at, asset)"
            " VALUES ('k', 1, $1, $2, 'LEAVING', now_ms(), 'USDC') RETURNING id",
            to_address, amount,
        )  # fmt: skip
        entry = ledger.hold(f"withdrawal:{number}", 1, Lamports(amount)).of("USDC")
        await ledger_rows.post(connection, [entry])
        await plans.plan_withdrawals(connection, [number])


async def test_a_room_in_usdc_pays_its_winners_and_no_sol_of_theirs_moves(world: World) -> None:
    await allow(world)
    wallets = await rich(world, 30 * UNIT, 20 * UNIT, 5 * UNIT)
    await room(world, cut_in_ms=8_000, asset=USDC)
    await stake(world, 1, "YES", 30 * UNIT, USDC)  # all that there is
    await stake(world, 2, "NO", 20 * UNIT, USDC)
    await stake(world, 3, "YES", 5 * UNIT, USDC)
    await world.until(lambda: sealed(world))
    assert await balance(world, ledger.pool(77).of("USDC")) == 55 * UNIT
    assert await balance(world, ledger.pool(77)) == 0

    await world.execute(
        "UPDATE rooms SET state = 'DECIDED', outcome = 'YES', decided_at = now_ms() WHERE id = 77"
    )
    place = Place(world.connections)

    async def paid() -> bool:
        await claim_settlements(place.money())
        await claim_paid(place.money())
        return await world.value("SELECT state FROM rooms") == "PAID"

    await world.until(paid)
    # 20 lost, 3 % of it fees: 2 % the house's, 1 % the host's, who is the first person.
    house, host = 400_000, 200_000
    assert await balance(world, ledger.HOUSE.of("USDC")) == house
    assert await balance(world, ledger.earned(1).of("USDC")) == host
    won = [await balance(world, ledger.available(user).of("USDC")) for user in (1, 2, 3)]
    assert sum(won) + house + host == 55 * UNIT
    assert won[1] == 0
    assert [await holds(world, wallets[user]) for user in (1, 2, 3)] == won
    assert await holds(world, world.custody.operator.treasury) == house + host
    assert [await balance(world, ledger.available(user)) for user in (1, 2, 3)] == [0, 0, 0]
    # Each of the two accounts that were opened has its rent, and it is the operator's.
    rent = await world.custody.providers.first(lambda rpc: rpc.rent_minimum(165))
    assert (
        await world.value("SELECT sum(balance) FROM accounts WHERE name LIKE 'floor:%'") == 2 * rent
    )
    # Neither it nor what the host earned goes back by itself: that is for SOL.
    idle = place.money(floor_idle_ms=0, earning_lamports_min=1)
    assert (await claim_returns(idle), await claim_earnings(idle)) == (0, 0)
    await all_is_well(world)


async def test_a_void_room_in_usdc_gives_every_stake_back(world: World) -> None:
    await allow(world)
    wallets = await rich(world, 30 * UNIT, 20 * UNIT)
    await room(world, cut_in_ms=8_000, asset=USDC)
    await stake(world, 1, "YES", 30 * UNIT, USDC)
    await stake(world, 2, "YES", 5 * UNIT, USDC)
    await world.until(lambda: sealed(world))
    place = Place(world.connections)

    async def paid() -> bool:
        await claim_settlements(place.money())
        await claim_paid(place.money())
        return await world.value("SELECT state FROM rooms") == "PAID"

    await world.until(paid)
    assert await world.value("SELECT outcome FROM rooms") == "VOID"
    assert [await holds(world, wallets[user]) for user in (1, 2)] == [30 * UNIT, 20 * UNIT]
    assert await world.value("SELECT payload ->> 'asset' FROM outbox WHERE topic = 'events'"
                             " AND (payload ->> 'refund')::boolean LIMIT 1") == "USDC"  # fmt: skip
    await all_is_well(world)


async def test_usdc_leaves_to_a_wallet_that_has_an_account_for_it(world: World) -> None:
    await allow(world)
    await rich(world, 30 * UNIT)
    world.solana.control.airdrop_token(OUTSIDE, 1)
    world.solana.control.advance(2)
    await withdraw(world, OUTSIDE, 12 * UNIT)

    async def out() -> bool:
        return await world.value("SELECT state FROM withdrawals") == "PAID"

    await world.until(out)
    assert await holds(world, OUTSIDE) == 12 * UNIT + 1
    assert await balance(world, ledger.available(1).of("USDC")) == 18 * UNIT
    await all_is_well(world)


async def test_usdc_for_a_wallet_without_an_account_goes_back_and_says_what_to_do(
    world: World,
) -> None:
    await allow(world)
    await rich(world, 30 * UNIT)
    await withdraw(world, OUTSIDE, 12 * UNIT)

    async def released() -> bool:
        return await world.value("SELECT state FROM withdrawals") == "RELEASED"

    await world.until(released)
    told = await world.value("SELECT payload ->> 'sentence' FROM outbox WHERE topic = 'events'"
                             " ORDER BY id DESC LIMIT 1")  # fmt: skip
    assert "no account for USDC" in str(told)
    assert await balance(world, ledger.available(1).of("USDC")) == 30 * UNIT
    await all_is_well(world)


async def test_a_fork_takes_a_deposit_of_usdc_back_and_nothing_else(world: World) -> None:
    await allow(world)
    wallets = await rich(world, 30 * UNIT)
    world.solana.control.advance(20)
    signature = world.solana.control.airdrop_token(wallets[1], 7 * UNIT)
    world.solana.control.advance(2)
    await post_deposits(world.custody)
    assert await balance(world, ledger.available(1).of("USDC")) == 37 * UNIT
    world.solana.control.fork(drop=[signature])

    async def undone() -> bool:
        return await world.value("SELECT count(*) FROM deposits WHERE undone_at IS NOT NULL") == 1

    await world.until(undone)
    assert await balance(world, ledger.available(1).of("USDC")) == 30 * UNIT
    await all_is_well(world)


async def test_dust_and_what_strangers_send_to_a_vault_in_usdc_is_nobodys(world: World) -> None:
    await allow(world)
    few = replace(world.custody, token_deposits_min={"USDC": UNIT})
    world = World(few, world.solana, world.connections)
    wallets = await rich(world, 30 * UNIT)
    await room(world, cut_in_ms=60_000, asset=USDC)
    vault = await world.value("SELECT address FROM addresses WHERE kind = 'vault'")
    world.solana.control.airdrop_token(str(vault), 2 * UNIT)
    world.solana.control.airdrop_token(wallets[1], UNIT - 1)

    async def posted() -> bool:
        return await world.value("SELECT count(*) FROM deposits WHERE asset = 'USDC'") == 3

    await world.until(posted)
    assert await world.value(
        "SELECT sum(balance) FROM accounts WHERE name LIKE 'stray:%@USDC'"
    ) == 3 * UNIT - 1  # fmt: skip
    assert await balance(world, ledger.available(1).of("USDC")) == 30 * UNIT
    await all_is_well(world)


async def test_a_name_never_means_another_mint(world: World) -> None:
    mint = await allow(world)
    await ensure_tokens(world.connections, world.custody.providers, {"USDC": mint})
    with pytest.raises(CannotGoOn, match="another token"):
        await ensure_tokens(world.connections, world.custody.providers, {"USDT": mint})
    with pytest.raises(CannotGoOn, match="not the mint"):
        await ensure_tokens(
            world.connections, world.custody.providers, {"BAD": world.custody.operator.treasury}
        )


async def test_a_stake_planned_in_another_asset_is_never_signed(world: World) -> None:
    await allow(world)
    await rich(world, 30 * UNIT)
    await room(world, cut_in_ms=8_000, asset=USDC)
    await stake(world, 1, "YES", 10 * UNIT, USDC)
    await world.execute("UPDATE rooms SET asset = 'SOL', asset_decimals = 9")

    assert await sign_due(world.custody) == 0
    assert await world.value("SELECT open FROM flags WHERE name = 'all'") is False
    assert await world.value("SELECT count(*) FROM attempts") == 0


async def test_the_ledger_refuses_an_entry_that_balances_only_across_assets(world: World) -> None:
    entry = (
        '[{"key": "deposit:s:a", "digest": "d", "postings":'
        ' [["chain:a@USDC", 5], ["available:1", 5]]}]'
    )
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await world.execute(f"SELECT post_entries('{entry}')")
    with pytest.raises(Impossible):
        ledger.Entry(
            "k",
            (
                ledger.Posting(ledger.chain(Address("a")).of("USDC"), 5),
                ledger.Posting(ledger.HOUSE, 5),
            ),
        )
