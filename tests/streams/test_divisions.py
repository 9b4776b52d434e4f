"""Custody derives every plan again: what was tampered with costs a pause and no money."""

from typing import Any, cast

import pytest

from rooms.units import Address, Lamports
from storage import attempts
from storage.addresses import Operator
from storage.attempts import DueTransfer
from storage.connections import Connections
from storage.flags import Flag, change
from streams.custody import Custody
from streams.divisions import are_as_planned
from streams.settlements import claim_settlements
from streams.transfers import sign_due
from tests.place import SOL, TREASURY, Place
from tests.streams import custody_world
from tests.streams.custody_world import World, people, sealed
from tests.streams.test_settlements import decide, stake

OUTSIDE = "8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh"


def custody_of(connections: Connections) -> Custody:
    """Make a custody that can look at plans; keys and a chain it has not got."""
    none = cast("Any", None)
    return Custody(
        connections=connections, providers=none, signer=none,
        operator=Operator(TREASURY, Address("Payer")), fees=none, deposits=none,
        deposit_lamports_min=Lamports(1), transfers_max=60,
    )  # fmt: skip


async def due(place: Place) -> list[DueTransfer]:
    async with place.connections.acquire() as connection:
        return await attempts.due(connection, 100)


async def settled(place: Place, outcome: str = "YES") -> None:
    """Bring room 1 to its settlement: 3 SOL on YES by 2, 1 SOL on NO by 3, whom 2 has brought."""
    await place.person(1)
    await place.person(2, 9 * SOL)
    await place.person(3, 9 * SOL, referrer=2)
    await place.person(4, 9 * SOL)
    await place.room()
    await stake(place, 1, 2, "YES", 3 * SOL)
    await stake(place, 2, 3, "NO", SOL)
    await decide(place, outcome, reason="gap" if outcome == "VOID" else None)
    assert await claim_settlements(place.money()) == 1


@pytest.mark.parametrize("outcome", ["YES", "NO", "VOID"])
async def test_what_the_sealed_pool_gives_may_be_signed(place: Place, outcome: str) -> None:
    await settled(place, outcome)
    together = await due(place)

    assert len(together) == 2
    assert await are_as_planned(custody_of(place.connections), together)
    assert await place.value("SELECT count(*) FROM set_aside") == 0


TAMPERED = {
    "a payout to elsewhere": f"UPDATE transfers SET to_address = '{OUTSIDE}' WHERE kind = 'payout'",
    "a payout to another of ours": "UPDATE transfers SET to_address ="
    " 'Address3' WHERE kind = 'payout'",
    "a larger payout": "UPDATE transfers SET lamports = lamports + 1 WHERE kind = 'payout'",
    "a payout to who lost": "UPDATE transfers SET user_id = 3, key = 'payout:1:3', to_address ="
    " 'Address3' WHERE kind = 'payout'",
    "shares to elsewhere": "UPDATE transfers SET to_address = 'Address3' WHERE kind = 'shares'",
    "another outcome": "UPDATE settlements SET outcome = 'NO'",
    "another share": "UPDATE settlements SET house = house - 1, shares = '[[1, 10000001]]'",
    "another seal": "UPDATE rooms SET sealed_yes = sealed_yes - 1, sealed_no = sealed_no + 1",
    "another side": "UPDATE stakes SET side = 'YES'",
    "another stake": "UPDATE stakes SET lamports = lamports + 1 WHERE user_id = 3",
    "a stake that was never taken": "INSERT INTO bets (room_id, user_id, side)"
    " VALUES (1, 4, 'YES'); INSERT INTO stakes (id, bet_id, room_id, user_id, side, lamports,"
    " weight_bps, accepted_at, state) SELECT 9, id, 1, 4, 'YES', 5, 10000, 1, 'LANDED'"
    " FROM bets WHERE user_id = 4",
    "another hash": "UPDATE settlements SET evidence_hash = repeat('0', 64)",
    "another fee": "UPDATE rooms SET host_fee_bps = 0",
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_what_was_tampered_with_is_never_signed(place: Place, how: str) -> None:
    await settled(place)
    custody = custody_of(place.connections)
    for statement in TAMPERED[how].split(";"):
        await place.do(statement)
    together = await due(place)

    assert not await are_as_planned(custody, together)
    assert await place.column("SELECT origin FROM set_aside") == ["signing/room:1"]
    assert await place.value("SELECT open FROM flags WHERE name = 'all'") is False
    assert await place.value("SELECT count(*) FROM acts WHERE kind = 'breach'") != 0
    # Who resumes everything has not cleared this room by that.
    assert await due(place) == []


async def test_a_larger_room_is_divided_once_for_all_its_batches(place: Place) -> None:
    await settled(place)
    custody = custody_of(place.connections)
    first, second = await due(place)
    assert await are_as_planned(custody, [first])
    assert list(custody.divisions) == [1]
    # What is planned is compared with the remembered division, whatever the rows say now.
    await place.do("UPDATE settlements SET house = 0")
    assert await are_as_planned(custody, [second])


async def test_a_tampered_payout_stays_in_its_vault(world: World) -> None:
    await people(world, 4 * SOL, 2 * SOL)
    await custody_world.room(world, cut_in_ms=8_000)
    await custody_world.stake(world, 1, "YES", 3 * SOL)
    await custody_world.stake(world, 2, "NO", 1 * SOL)
    await world.until(lambda: sealed(world))
    await world.execute(
        "UPDATE rooms SET state = 'DECIDED', outcome = 'YES', decided_at = now_ms()"
    )
    assert await claim_settlements(Place(world.connections).money()) == 1
    await world.execute("UPDATE transfers SET lamports = lamports + 5 WHERE kind = 'payout'")

    while await sign_due(world.custody):
        pass
    assert await world.value("SELECT state FROM transfers WHERE kind = 'payout'") == "PLANNED"
    assert await world.value("SELECT balance FROM accounts WHERE name = 'due:77'") == 4 * SOL
    async with world.connections.acquire() as connection:
        await change(connection, Flag.ALL, open=True, reason="test")
    assert await sign_due(world.custody) == 0

    # A person has looked, mended the row and cleared the room.
    await world.execute("UPDATE transfers SET lamports = lamports - 5 WHERE kind = 'payout'")
    await world.execute("DELETE FROM set_aside")

    async def paid() -> bool:
        return await world.value("SELECT state FROM rooms") == "PAID"

    await world.until(paid)
    await world.ledger_is_chain()


async def test_what_was_never_held_so_is_not_signed(place: Place) -> None:
    custody = custody_of(place.connections)
    await place.person(1, SOL)
    await place.room()
    await stake(place, 1, 1, "YES", 5, state="HELD")
    await place.do("SELECT plan_stakes('{1}')")
    assert await are_as_planned(custody, await due(place))
    await place.do("UPDATE stakes SET lamports = 6")
    await place.do("UPDATE transfers SET lamports = 6")
    assert not await are_as_planned(custody, await due(place))

    await place.do(
        "INSERT INTO withdrawals (key, user_id, to_address, lamports, state, due_at)"
        " VALUES ('k', 1, $1, 5, 'LEAVING', 1)",
        OUTSIDE,
    )
    await place.do("SELECT plan_withdrawals('{1}')")
    assert not await are_as_planned(custody, await due(place))
    assert await place.column("SELECT origin FROM set_aside ORDER BY id") == [
        "signing/room:1", "signing/withdrawal:1",
    ]  # fmt: skip
