"""Custody's own wallets: the fee payer's floor, and what leaves in an hour."""

from dataclasses import replace

import pytest

from rooms.units import Address, BlockHeight, Lamports, Signature, Slot
from storage import attempts
from storage.connections import transaction
from streams.transfers import sign_due
from tests.streams.custody_world import (
    SOL,
    World,
    final,
    people,
    room,
    stake,
)
from tests.streams.test_custody import withdraw

OUTSIDE = Address("67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb")


async def limit(world: World, name: str, value: int) -> None:
    await world.execute("UPDATE withdrawal_limits SET value = $2 WHERE name = $1", name, value)


async def paid(world: World) -> bool:
    return await world.value("SELECT state FROM withdrawals") == "PAID"


async def test_f35_below_its_floor_the_fee_payer_signs_nothing_until_it_is_filled(
    world: World,
) -> None:
    """F35: the fee payer is below its floor; I5: no attempt; I4: all goes on after the top-up."""
    await people(world, 3 * SOL)
    await final(world)
    has = int(str(await world.value("SELECT balance FROM accounts WHERE name = $1",
                                    f"chain:{world.custody.operator.fee_payer}")))  # fmt: skip
    world = replace(
        world, custody=replace(world.custody, fee_payer_lamports_min=Lamports(has + SOL))
    )
    await withdraw(world, OUTSIDE, SOL)

    assert await sign_due(world.custody) == 0
    assert await world.value("SELECT count(*) FROM attempts") == 0
    assert world.custody.alarms == {"fee payer below its floor, nothing is signed"}

    await world.airdrop(world.custody.operator.fee_payer, 2 * SOL)
    await world.until(lambda: paid(world))
    assert world.custody.alarms == set()
    await world.ledger_is_chain()


async def test_a_fee_payer_that_runs_low_is_said_and_signs_on(world: World) -> None:
    await people(world, 3 * SOL)
    await final(world)
    world = replace(
        world, custody=replace(world.custody, fee_payer_lamports_low=Lamports(11 * SOL))
    )
    await withdraw(world, OUTSIDE, SOL)

    await world.until(lambda: paid(world))

    assert world.custody.alarms == {"fee payer runs low"}


async def test_what_leaves_in_an_hour_waits_above_the_limit_and_bets_do_not(world: World) -> None:
    await people(world, 3 * SOL, 3 * SOL)
    await final(world)
    await room(world, cut_in_ms=60_000)
    await limit(world, "signed_lamports_hour_max", 2 * SOL - 1)
    await withdraw(world, OUTSIDE, 2 * SOL)
    await stake(world, 2, "YES", SOL)

    assert await sign_due(world.custody) == 1
    assert await sign_due(world.custody) == 0
    assert await world.value("SELECT string_agg(kind, ',') FROM transfers"
                             " WHERE state = 'ATTEMPTED'") == "stake"  # fmt: skip
    assert world.custody.alarms == {"as much as may leave in an hour was signed"}

    await limit(world, "signed_lamports_hour_max", 2 * SOL)
    await world.until(lambda: paid(world))
    assert world.custody.alarms == set()
    await world.ledger_is_chain()


async def test_what_was_signed_an_hour_ago_or_never_landed_counts_no_more(world: World) -> None:
    await people(world, 3 * SOL)
    await final(world)
    await withdraw(world, OUTSIDE, 2 * SOL)
    await world.until(lambda: paid(world))
    signed = "SELECT lamports FROM signed_this_hour WHERE name = 'signed_lamports_hour_max'"
    assert await world.value(signed) == 2 * SOL

    await world.execute("UPDATE attempts SET state = 'LAPSED'")
    assert await world.value(signed) == 0
    # What a restore reads back from the chain has no bytes, and was signed some other time.
    await world.execute("UPDATE attempts SET state = 'LANDED', raw = ''")
    assert await world.value(signed) == 0
    await world.execute("UPDATE attempts SET raw = 'x', signed_at = signed_at - 3600000")
    assert await world.value(signed) == 0


@pytest.mark.parametrize("name", ["signed_lamports_hour_max", "floor_lamports_hour_max"])
async def test_postgres_itself_writes_no_signing_down_above_the_limit(
    world: World, name: str
) -> None:
    await people(world, 3 * SOL)
    await final(world)
    await withdraw(world, OUTSIDE, SOL)
    await limit(world, name, 0)
    transfer = int(str(await world.value("SELECT id FROM transfers")))

    with pytest.raises(attempts.AboveLimit, match=name):
        async with transaction(world.connections) as connection:
            await attempts.write_down(
                connection, signature=Signature("s"), raw=b"x",
                last_valid_height=BlockHeight(1), context_slot=Slot(1),
                fee_payer=world.custody.operator.fee_payer, memo="m", transfers=[transfer],
                floors=[(OUTSIDE, Lamports(1))] if name.startswith("floor") else [], epoch=0,
            )  # fmt: skip

    assert await world.value("SELECT count(*) FROM attempts") == 0
    assert await world.value("SELECT state FROM transfers") == "PLANNED"


async def test_floors_above_the_hour_s_limit_are_not_signed_for(world: World) -> None:
    await people(world, 3 * SOL)
    await final(world)
    await room(world, cut_in_ms=60_000)
    await limit(world, "floor_lamports_hour_max", 1)
    await stake(world, 1, "YES", SOL)

    assert await sign_due(world.custody) == 0
    assert await world.value("SELECT count(*) FROM attempts") == 0
    assert world.custody.alarms == {"as many floors as may be laid in an hour were signed"}
