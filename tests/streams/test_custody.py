"""Custody end to end on a real chain: addresses, deposits, stakes, seal, payouts, withdrawals."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import VersionedTransaction

from chain.rpc import Rpc
from rooms import ledger
from rooms.units import Address, Lamports
from storage import attempts, plans
from storage import ledger as ledger_rows
from storage.connections import transaction
from storage.flags import Flag, change
from streams.transfers import send_first, sign_due
from tests.streams.custody_world import SOL, World, people, room, sealed, stake


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


async def test_what_the_network_took_for_a_stake_that_came_back_is_counted_for_its_owner(
    world: World,
) -> None:
    await people(world, 3 * SOL, 3 * SOL, 3 * SOL)
    world.solana.control.advance(20)
    await room(world, cut_in_ms=3_000)
    for user in (1, 2, 3):
        await stake(world, user, "YES", SOL)

    async def given_back() -> bool:
        found = "SELECT count(*) FROM transfers WHERE kind = 'refund' AND state = 'LANDED'"
        return await world.value(found) == 3

    await world.until(given_back)
    took = await world.value("SELECT sum(fee_lamports)::bigint FROM attempts")
    rows = await world.connections.fetch("SELECT user_id, lamports FROM returned_fees ORDER BY 1")
    counted = {row["user_id"]: row["lamports"] for row in rows}
    # A stake alone is a transaction of two signatures; a refund may share one.
    assert counted.keys() == {1, 2, 3}
    assert all(10_000 < lamports <= 20_000 for lamports in counted.values())
    # Each part of a refund is rounded up.
    assert 0 <= sum(counted.values()) - int(str(took)) <= 3


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


async def withdraw(world: World, to_address: str, lamports: int) -> None:
    """Let a person's withdrawal leave, judged by nobody."""
    async with transaction(world.connections) as connection:
        number = await connection.fetchval(
            "INSERT INTO withdrawals (key, user_id, to_address, lamports, state, due_at)"
            " VALUES ('k', 1, $1, $2, 'LEAVING', now_ms()) RETURNING id",
            to_address, lamports,
        )  # fmt: skip
        await ledger_rows.post(
            connection, [ledger.hold(f"withdrawal:{number}", 1, Lamports(lamports))]
        )
        await plans.plan_withdrawals(connection, [number])


async def test_a_withdrawal_leaves_once_and_the_fee_is_the_houses(world: World) -> None:
    await people(world, 3 * SOL)
    outside = "67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb"
    await withdraw(world, outside, 3 * SOL)

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


async def owned_by_a_program(world: World) -> str:
    """Make an account with a key of its own that a program owns, as a token account is."""
    payer, account = (Keypair.from_seed(bytes([number] * 32)) for number in (8, 9))
    await world.airdrop(str(payer.pubkey()), 3 * SOL)
    world.solana.control.advance(1)
    make = create_account(
        CreateAccountParams(
            from_pubkey=payer.pubkey(), to_pubkey=account.pubkey(), lamports=SOL,
            space=0, owner=Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
        )
    )  # fmt: skip
    recent = await world.custody.providers.first(lambda rpc: rpc.latest_blockhash())
    message = Message.new_with_blockhash(
        [make], payer.pubkey(), Hash.from_string(str(recent.blockhash))
    )
    signed = bytes(VersionedTransaction(message, [payer, account]))
    assert all(each.relayed for each in await world.custody.providers.send(signed))
    world.solana.control.advance(1)
    return str(account.pubkey())


BAD_RECIPIENTS: dict[str, tuple[Callable[[World], Awaitable[str]], int]] = {
    "belongs to a program": (owned_by_a_program, SOL),
    "must get at least": (lambda _: known("67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb"), 5),
    "belongs to us": (lambda world: own_address(world), SOL),
    "the Token program": (lambda _: known("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"), SOL),
}


async def known(address: str) -> str:
    return address


async def own_address(world: World) -> str:
    return str(await world.value("SELECT address FROM addresses WHERE kind = 'treasury'"))


@pytest.mark.parametrize("says", BAD_RECIPIENTS)
async def test_a_recipient_is_looked_at_before_it_is_signed_for(world: World, says: str) -> None:
    await people(world, 3 * SOL)
    make, lamports = BAD_RECIPIENTS[says]
    await withdraw(world, await make(world), lamports)

    async def given_back() -> bool:
        return await world.value("SELECT state FROM withdrawals") == "RELEASED"

    await world.until(given_back)
    assert await world.value("SELECT count(*) FROM attempts") == 0
    assert await world.value("SELECT balance FROM accounts WHERE name = 'available:1'") == 3 * SOL
    told = await world.value("SELECT payload ->> 'sentence' FROM outbox WHERE topic = 'events'"
                             " ORDER BY id DESC LIMIT 1")  # fmt: skip
    assert says in str(told)
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
