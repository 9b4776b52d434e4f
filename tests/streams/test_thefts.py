"""Lamports that left by another hand: everything is closed at one look, and the act says why."""

from chain.signer import KeyPath
from chain.transactions import Batch, Transfer, sign_batch
from rooms.units import Address, Lamports
from streams.deposits import post_deposits
from streams.transfers import sign_due
from tests.streams.custody_world import (
    SOL,
    World,
    final,
    people,
)
from tests.streams.test_custody import withdraw

OUTSIDE = Address("67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb")


async def is_open(world: World, flag: str) -> bool:
    return await world.value("SELECT open FROM flags WHERE name = $1", flag) is True


async def test_lamports_that_left_by_another_hand_close_everything_at_one_look(
    world: World,
) -> None:
    mine = (await people(world, 3 * SOL))[1]
    await final(world)
    recent = await world.custody.providers.first(lambda rpc: rpc.latest_blockhash())
    stolen = await sign_batch(
        world.custody.signer,
        Batch(transfers=(Transfer(mine, OUTSIDE, Lamports(SOL)),), memo="thief", owner=mine,
              fee_payer=world.custody.operator.fee_payer),
        {mine: KeyPath.user(1), world.custody.operator.fee_payer: KeyPath.fee_payer()},
        recent, world.custody.fees,
    )  # fmt: skip
    await world.custody.providers.send(stolen.raw)
    world.solana.control.advance(4)

    await post_deposits(world.custody)

    assert not await is_open(world, "all")
    told = await world.connections.fetch(
        "SELECT kind, subject, reason FROM acts WHERE kind = 'breach'"
    )
    assert {(row["kind"], row["subject"]) for row in told} == {("breach", "stranger")}
    assert all(stolen.signature in row["reason"] for row in told)
    assert any(mine in row["reason"] for row in told)
    await withdraw(world, OUTSIDE, SOL)
    assert await sign_due(world.custody) == 0
    # Who resumes despite it has decided so: the same theft closes nothing again.
    await world.execute("UPDATE flags SET open = true")
    await post_deposits(world.custody)
    assert await is_open(world, "all")
