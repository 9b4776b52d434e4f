"""Money on a chain that forks, forgets, grows dearer and is full of strangers."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rooms.units import Address
from storage import attempts
from storage.connections import Connections
from streams.deposits import post_deposits
from streams.receipts import post_fates
from streams.transfers import resend, sign_due
from tests.streams.custody_world import (
    SOL,
    World,
    custody_world,
    final,
    lies_at,
    on,
    people,
    room,
    sealed,
    stake,
)
from tests.streams.test_custody import withdraw

OUTSIDE = Address("67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb")
SIMULATE, SEND = ["simulateTransaction"], ["sendTransaction"]


async def fates(world: World) -> list[tuple[str, bool]]:
    """Return the state of each attempt, and whether it was ever sent."""
    rows = await world.connections.fetch(
        "SELECT state, sent_at IS NOT NULL AS sent FROM attempts ORDER BY id"
    )
    return [(row["state"], row["sent"]) for row in rows]


async def until_state(world: World, table: str, state: str) -> None:
    async def is_so() -> bool:
        found = await world.value(f"SELECT bool_and(state = '{state}') FROM {table}")
        return found is True

    await world.until(is_so)


async def test_f1_a_signing_that_could_not_be_written_down_was_never_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1: custody dies between signing and writing down; I5: nothing of it is on chain."""
    await people(world, 3 * SOL)
    await final(world)
    await withdraw(world, OUTSIDE, SOL)
    before = len(world.solana.control.chain.history)

    async def die(*_: object, **__: object) -> int:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(attempts, "write_down", die)
        with pytest.raises(ZeroDivisionError):
            await sign_due(world.custody)
    world.solana.control.advance(5)
    assert len(world.solana.control.chain.history) == before

    await until_state(world, "withdrawals", "PAID")

    assert await lies_at(world, OUTSIDE) == SOL
    await world.ledger_is_chain()


async def test_f27_what_landed_while_custody_was_away_is_posted_and_not_paid_again(
    world: World,
) -> None:
    """F27: custody stops after sending and comes back 400 blocks after its window; I4, I5, I6."""
    await people(world, 3 * SOL)
    await final(world)
    await withdraw(world, OUTSIDE, SOL)
    assert await sign_due(world.custody) == 1
    world.solana.control.advance(550)

    await until_state(world, "withdrawals", "PAID")

    assert await fates(world) == [("LANDED", True)]
    assert await lies_at(world, OUTSIDE) == SOL
    await world.ledger_is_chain()


async def test_f37_bytes_that_grew_too_old_before_they_were_sent_are_never_sent(
    world: World,
) -> None:
    """F37: the simulation cannot be asked for 200 blocks; I5: signed anew, landed once."""
    await people(world, 3 * SOL)
    await final(world)
    await withdraw(world, OUTSIDE, SOL)
    for provider in (0, 1):
        world.solana.control.fault(provider, "unavailable", SIMULATE)
    assert await sign_due(world.custody) == 1
    assert await fates(world) == [("SIGNED", False)]
    world.solana.control.advance(200)
    world.solana.control.clear_faults()
    await resend(world.custody)
    assert await fates(world) == [("CLOSED", False)]

    await world.execute("UPDATE transfers SET not_before = 0")
    await until_state(world, "withdrawals", "PAID")

    assert await fates(world) == [("CLOSED", False), ("LANDED", True)]
    assert await lies_at(world, OUTSIDE) == SOL
    await world.ledger_is_chain()


async def test_f25_f28_what_both_swallow_lapses_only_when_both_prove_it(world: World) -> None:
    """F25, F28: providers accept and drop, and one stays 300 blocks behind; I4, I5."""
    await people(world, 3 * SOL)
    await final(world)
    await withdraw(world, OUTSIDE, SOL)
    for provider in (0, 1):
        world.solana.control.fault(provider, "swallowed", SEND)
    assert await sign_due(world.custody) == 1
    world.solana.control.set_lag(1, 300)
    world.solana.control.advance(250)
    for _ in range(5):
        await resend(world.custody)
        assert await post_fates(world.custody) == 0
    assert await fates(world) == [("SIGNED", True)]
    world.solana.control.set_lag(1, 0)
    world.solana.control.clear_faults()

    await until_state(world, "withdrawals", "RELEASED")

    assert await fates(world) == [("LAPSED", True)]
    assert await on(world, "available:1") == 3 * SOL
    assert await lies_at(world, OUTSIDE) == 0
    await world.ledger_is_chain()


async def test_f30_f34_rent_that_rises_before_landing_refuses_once_and_the_floor_follows(
    world: World,
) -> None:
    """F30, F34: the live minimum doubles between sending and landing: in a block, with an error.

    I4, I6: the withdrawal goes back once, the fee is the house's; the next one lands on a floor
    that was topped up.
    """
    await people(world, 3 * SOL)
    await final(world)
    await withdraw(world, OUTSIDE, SOL)
    await until_state(world, "withdrawals", "PAID")
    floor = await world.value("SELECT sum(balance) FROM accounts WHERE name LIKE 'floor:%'")

    await world.execute("DELETE FROM attempt_transfers; UPDATE withdrawals SET key = 'old'")
    await withdraw(world, OUTSIDE, 2 * SOL)
    world.solana.control.pause()
    assert await sign_due(world.custody) == 1
    world.solana.control.set_rent(2 * 6_960)
    world.solana.control.resume()

    async def ended() -> bool:
        return await world.value("SELECT count(*) FROM attempts WHERE state = 'SIGNED'") == 0

    await world.until(ended)
    assert [state for state, _ in await fates(world)] == ["LANDED", "REFUSED"]
    assert await on(world, "available:1") == 2 * SOL
    await world.ledger_is_chain()

    await world.execute("UPDATE withdrawals SET key = 'older' WHERE key = 'k'")
    await withdraw(world, OUTSIDE, 2 * SOL)
    await world.until(ended)
    assert [state for state, _ in await fates(world)] == ["LANDED", "REFUSED", "LANDED"]
    risen = await world.value("SELECT sum(balance) FROM accounts WHERE name LIKE 'floor:%'")
    assert int(str(risen)) > int(str(floor))
    assert await lies_at(world, OUTSIDE) == 3 * SOL
    await world.ledger_is_chain()


async def test_f35_an_empty_fee_payer_stops_refunds_until_it_is_filled(
    connections: Connections, tmp_path: Path
) -> None:
    """F35: the fee payer is empty while three refunds wait; I4 after the top-up, I5."""
    async with custody_world(connections, tmp_path, for_fees=0) as world:
        payer = world.custody.operator.fee_payer
        minimum = await world.custody.providers.first(lambda rpc: rpc.rent_minimum())
        # Its own minimum, the floors of three people and a vault, three stakes' fees: not a fee
        # more.
        await world.airdrop(payer, 5 * minimum + 3 * 10_000 + 5_000)
        await people(world, SOL, SOL, SOL)
        await final(world)
        world.solana.control.advance(20)
        await room(world, cut_in_ms=3_000)
        for user in (1, 2, 3):
            await stake(world, user, "YES", SOL // 2)
        # Landed after the cut, so that each goes back.
        await until_state(world, "stakes", "MISSED")
        assert await lies_at(world, payer) == minimum + 5_000
        refunds = "SELECT count(*) FROM transfers WHERE kind = 'refund' AND state = 'LANDED'"
        for _ in range(12):
            await world.execute("UPDATE transfers SET not_before = 0")
            await sign_due(world.custody)
            world.solana.control.advance(40)
            await post_fates(world.custody)
        assert await world.value(refunds) == 0
        await world.airdrop(payer, 2 * SOL)
        world.solana.control.advance(4)
        await world.execute("UPDATE transfers SET not_before = 0")

        await until_state(world, "transfers", "LANDED")

        assert await world.value(refunds) == 3
        assert [await on(world, f"available:{user}") for user in (1, 2, 3)] == [SOL] * 3
        assert await on(world, "due:77") == 0
        await world.ledger_is_chain()


async def test_f29_a_stake_that_a_fork_takes_before_it_is_final_is_in_no_pool(
    world: World,
) -> None:
    """F29: a fork takes a confirmed stake; I7: nothing was posted, the pool is what is final."""
    await people(world, 2 * SOL, 2 * SOL)
    await final(world)
    await room(world, cut_in_ms=20_000)
    await stake(world, 1, "YES", SOL)
    await stake(world, 2, "NO", SOL)
    assert await sign_due(world.custody) == 2
    world.solana.control.advance(2)
    taken = await world.value("SELECT signature FROM attempts ORDER BY id LIMIT 1")
    await post_fates(world.custody)
    assert await on(world, "pool:77") == 0
    assert world.solana.control.fork(drop=[str(taken)]) == [str(taken)]

    await world.until(lambda: sealed(world))

    landed = await world.value(
        "SELECT coalesce(sum(lamports), 0) FROM stakes WHERE state = 'LANDED'"
    )
    pool = await world.value("SELECT sealed_yes + sealed_no FROM rooms")
    assert pool == landed
    assert await on(world, "pool:77") == landed
    await world.ledger_is_chain()


async def test_f47_a_storm_of_dust_is_no_deposit_and_hides_none(world: World) -> None:
    """F47: 300 transfers of a few lamports to one address, a deposit in their midst; I7."""
    addresses = await people(world, SOL)
    await final(world)
    for number in range(300):
        await world.airdrop(addresses[1], number + 1)
        if number == 150:
            await world.airdrop(addresses[1], 2 * SOL)
    dust = sum(range(301))
    told = await world.value("SELECT count(*) FROM outbox WHERE topic = 'events'")
    for _ in range(20):
        world.solana.control.advance(5)
        await post_deposits(world.custody)
        if await on(world, f"stray:{addresses[1]}") == dust:
            break
    assert await on(world, "available:1") == 3 * SOL
    assert await on(world, f"stray:{addresses[1]}") == dust
    after = await world.value("SELECT count(*) FROM outbox WHERE topic = 'events'")
    assert int(str(after)) - int(str(told)) == 1
    await world.ledger_is_chain()


async def test_f50_a_cursor_that_is_lost_or_goes_back_posts_nothing_twice(world: World) -> None:
    """F50: every cursor is deleted; I3, I7."""
    addresses = await people(world, SOL)
    await final(world)
    before = await world.value("SELECT count(*) FROM entries")
    await world.execute("DELETE FROM cursors")
    # An address is read again when something there differs.
    await world.airdrop(addresses[1], 2 * SOL)
    await final(world)
    assert await on(world, "available:1") == 3 * SOL
    assert await world.value("SELECT count(*) FROM entries") == int(str(before)) + 1
    await world.ledger_is_chain()


async def test_f32_of_two_custodies_at_once_each_transfer_is_signed_by_one(world: World) -> None:
    """F32: two custodies do the same rounds side by side; I5."""
    await people(world, 2 * SOL, 2 * SOL)
    await final(world)
    await room(world, cut_in_ms=20_000)
    await stake(world, 1, "YES", SOL)
    await stake(world, 2, "NO", SOL)
    other = replace(world.custody)
    async with asyncio.TaskGroup() as tasks:
        for custody in (world.custody, other, world.custody, other):
            tasks.create_task(sign_due(custody))
            tasks.create_task(resend(custody))
    await world.until(lambda: sealed(world))
    assert await world.value("SELECT count(*) FROM attempts WHERE state = 'LANDED'") == 2
    await world.ledger_is_chain()


async def test_a_stranger_s_lamport_before_somebody_bets_all(world: World) -> None:
    """1 lamport arrives on a person's address before all of it is bet; I6, I8."""
    addresses = await people(world, 3 * SOL, 3 * SOL)
    await final(world)
    await world.airdrop(addresses[1], 1)
    await room(world, cut_in_ms=20_000)
    await stake(world, 1, "YES", 3 * SOL)
    await stake(world, 2, "NO", SOL)

    await world.until(lambda: sealed(world))

    assert await world.value("SELECT sealed_yes FROM rooms") == 3 * SOL
    await final(world)
    assert await on(world, f"stray:{addresses[1]}") == 1
    await world.ledger_is_chain()


async def test_a_stranger_s_lamport_between_signing_and_landing(world: World) -> None:
    """1 lamport arrives after all was signed and before it lands: what was sent first is lost."""
    addresses = await people(world, 3 * SOL, 3 * SOL)
    await final(world)
    await room(world, cut_in_ms=20_000)
    await stake(world, 1, "YES", 3 * SOL)
    await stake(world, 2, "NO", SOL)
    for provider in (0, 1):
        world.solana.control.fault(provider, "swallowed", SEND)
    assert await sign_due(world.custody) == 2
    world.solana.control.clear_faults()
    await world.airdrop(addresses[1], 1)
    world.solana.control.advance(1)
    await resend(world.custody)

    await world.until(lambda: sealed(world))

    assert [state for state, _ in await fates(world)] == ["LANDED", "LANDED"]
    await final(world)
    assert await on(world, f"stray:{addresses[1]}") == 1
    await world.ledger_is_chain()


async def test_a_stranger_s_lamport_on_a_vault_between_two_batches(world: World) -> None:
    """1 lamport arrives on a vault that has paid the first of two batches; I5, I6, I8."""
    await people(world, SOL, SOL, SOL, SOL)
    await final(world)
    world.solana.control.advance(20)
    await room(world, cut_in_ms=3_000)
    for user in (1, 2, 3, 4):
        await stake(world, user, "YES", SOL)
    await until_state(world, "stakes", "MISSED")
    vault = await world.value("SELECT address FROM addresses WHERE kind = 'vault'")
    small = replace(world.custody, transfers_max=2)
    await world.execute(
        "UPDATE transfers SET not_before = now_ms() + 600000"
        " WHERE id IN (SELECT id FROM transfers WHERE state = 'PLANNED' ORDER BY id LIMIT 2)"
    )
    await sign_due(small)
    world.solana.control.advance(1)
    await world.airdrop(str(vault), 1)
    await world.execute("UPDATE transfers SET not_before = 0")
    await sign_due(small)

    await until_state(world, "transfers", "LANDED")

    assert [await on(world, f"available:{user}") for user in (1, 2, 3, 4)] == [SOL] * 4
    assert await on(world, "due:77") == 0
    await final(world)
    assert await on(world, f"stray:{vault}") == 1
    await world.ledger_is_chain()
