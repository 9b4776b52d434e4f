"""The rescan finds on the second provider what the looks by the clock were never told."""

import pytest
from solders.pubkey import Pubkey

from chain.signer import KeyPath
from chain.transactions import Batch, Transfer, sign_batch
from chain.trouble import NotKnown
from rooms.units import Address, Lamports, Signature, Slot
from storage import deposits as deposit_rows
from streams.deposits import post_deposits
from streams.rescan import rescan, rescan_due
from tests.streams.custody_world import (
    SOL,
    World,
    final,
    people,
)

OUTSIDE = Address("67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb")
HISTORY, DAY_MS = ["getSignaturesForAddress", "getTransaction"], 86_400_000


async def available(world: World) -> object:
    return await world.value("SELECT balance FROM accounts WHERE name = 'available:1'")


async def pass_over(world: World, address: Address) -> None:
    """Put an address's cursor behind all that is there now, as if both histories had a gap."""
    newest = next(world.solana.control.chain.history.of_address(Pubkey.from_string(address), 10**9))
    async with world.connections.acquire() as connection:
        await deposit_rows.move_cursor(
            connection, address, Signature(newest.signature), Slot(newest.slot)
        )


async def doubts(world: World) -> list[str]:
    rows = await world.connections.fetch("SELECT reason FROM set_aside ORDER BY id")
    return [row["reason"].partition(" ")[2] for row in rows]


async def test_what_both_once_left_out_is_found_and_posted_once(world: World) -> None:
    mine = (await people(world, SOL))[1]
    await final(world)
    await world.airdrop(mine, 2 * SOL)
    world.solana.control.advance(40)
    await pass_over(world, mine)
    assert await post_deposits(world.custody) == 0, "no look by the clock finds it"

    assert await rescan(world.custody) == 1
    assert await rescan(world.custody) == 0

    assert await available(world) == 3 * SOL
    assert await doubts(world) == []
    await world.ledger_is_chain()


async def test_what_the_first_never_tells_is_said_and_not_believed_of_one(world: World) -> None:
    """F28, F44: the first provider denies a deposit for good; I7: nothing is posted on one word."""
    mine = (await people(world, SOL))[1]
    await final(world)
    world.solana.control.fault(0, "denied", HISTORY)
    await world.airdrop(mine, 2 * SOL)
    await final(world)

    assert await rescan(world.custody) == 0
    assert await rescan(world.custody) == 0

    assert await available(world) == SOL
    assert await doubts(world) == ["is on the second, and first has not got it"], "said once"

    world.solana.control.clear_faults()
    assert await rescan(world.custody) == 1
    assert await available(world) == 3 * SOL


async def test_what_was_posted_and_the_second_has_not_got_is_said(world: World) -> None:
    await people(world, SOL)
    await final(world)
    world.solana.control.fault(1, "denied", HISTORY)

    assert await rescan(world.custody) == 0

    # The deposits of the person and of the fee payer.
    assert await doubts(world) == ["is posted, and the second has not got it"] * 2
    assert await available(world) == SOL, "one provider's silence takes nothing back"


async def test_once_a_day_and_again_when_it_could_not_be_read(world: World) -> None:
    mine = (await people(world, SOL))[1]
    await final(world)
    await world.airdrop(mine, 2 * SOL)
    world.solana.control.advance(40)
    await pass_over(world, mine)
    world.solana.control.fault(1, "unavailable", HISTORY)
    with pytest.raises(NotKnown):
        await rescan_due(world.custody, DAY_MS)
    world.solana.control.clear_faults()

    await rescan_due(world.custody, DAY_MS)
    assert await available(world) == 3 * SOL
    await world.airdrop(mine, SOL)
    world.solana.control.advance(40)
    await pass_over(world, mine)
    await rescan_due(world.custody, DAY_MS)
    assert await available(world) == 3 * SOL, "the next one is due in a day"

    await world.execute("UPDATE cursors SET moved_at = moved_at - 86400000 WHERE name = 'rescan'")
    await rescan_due(world.custody, DAY_MS)
    assert await available(world) == 4 * SOL


async def test_what_another_hand_took_and_gave_back_closes_everything(world: World) -> None:
    """Balances agree, so that no look by the clock reads the address; the history tells."""
    mine = (await people(world, 3 * SOL))[1]
    await final(world)
    payer = world.custody.operator.fee_payer
    recent = await world.custody.providers.first(lambda rpc: rpc.latest_blockhash())
    stolen = await sign_batch(
        world.custody.signer,
        Batch(transfers=(Transfer(mine, OUTSIDE, Lamports(SOL)),), memo="x", owner=mine,
              fee_payer=payer),
        {mine: KeyPath.user(1), payer: KeyPath.fee_payer()},
        recent, world.custody.fees,
    )  # fmt: skip
    await world.custody.providers.send(stolen.raw)
    await world.airdrop(mine, SOL)
    world.solana.control.advance(40)

    await rescan(world.custody)

    assert await world.value("SELECT open FROM flags WHERE name = 'all'") is False
    reason = await world.value("SELECT reason FROM acts WHERE subject = 'stranger' ORDER BY id")
    assert stolen.signature in str(reason)
