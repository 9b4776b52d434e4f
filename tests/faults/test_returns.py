"""Floors come back and earned shares go out, once and to the lamport, whatever happens."""

from pathlib import Path

import pytest

from rooms.audit import Place as Seen
from sandbox.postgres import PostgresSettings
from storage import attempts, audit
from storage.flags import Flag, change
from streams import transfers
from streams.deposits import post_deposits
from streams.receipts import post_fates
from streams.restoring import look_back
from streams.returns import claim_earnings, claim_returns
from streams.settlements import claim_settlements
from streams.transfers import resend, sign_due
from tests.place import Place
from tests.streams.custody_world import (
    SOL,
    World,
    lies_at,
    on,
    people,
    room,
    sealed,
    stake,
)
from tests.streams.test_deposits import OUTSIDE, ask_out
from tests.streams.test_restoring import balances, dump, restored, rounds_of, until
from tests.streams.test_restoring import until_over as restore_ends
from tests.streams.test_tokens import allow

HOST_LAMPORTS = SOL // 100
SEND = ["sendTransaction"]


async def done(world: World) -> bool:
    """Say whether nothing is planned or under way."""
    return await world.value(
        "SELECT NOT EXISTS (SELECT FROM transfers WHERE state IN ('PLANNED', 'ATTEMPTED'))"
        " AND NOT EXISTS (SELECT FROM attempts WHERE state = 'SIGNED')"
    ) is True  # fmt: skip


async def sound(world: World) -> None:
    """Check that the auditor finds nothing, and that the ledger is what the chain says."""
    async with world.connections.acquire() as connection:
        _, breaches = await audit.news(connection, Seen(0, 0, 0))
        assert [*breaches, *await audit.whole(connection)] == []
        assert (await audit.owed(connection)).unaccounted == 0
    await world.ledger_is_chain()


async def paid_room(world: World) -> str:
    """Play a room of two people until it is PAID, 1 has earned as host; return its vault."""
    await people(world, 4 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await stake(world, 1, "YES", 3 * SOL)
    await stake(world, 2, "NO", SOL)
    await world.until(lambda: sealed(world))
    await world.execute(
        "UPDATE rooms SET state = 'DECIDED', outcome = 'YES', decided_at = now_ms() WHERE id = 77"
    )
    assert await claim_settlements(Place(world.connections).money()) == 1
    await world.until(lambda: done(world))
    assert await world.value("SELECT state FROM rooms") == "PAID"
    return str(await world.value("SELECT address FROM addresses WHERE kind = 'vault'"))


async def landed(world: World, kind: str) -> int:
    count = await world.value(
        "SELECT count(*) FROM transfers WHERE kind = $1 AND state = 'LANDED'", kind
    )
    return int(str(count))


async def state_of(world: World, kind: str) -> object:
    return await world.value(
        "SELECT state FROM transfers WHERE kind = $1 ORDER BY id DESC LIMIT 1", kind
    )


STEPS = {
    "before it is written down": (attempts, "write_down", sign_due),
    "written down, and not looked at": (transfers, "send_first", sign_due),
    "noted as sent, and not sent": (transfers, "send", sign_due),
    "landed, and not noted": (attempts, "land", post_fates),
    "noted, and not posted": (attempts, "post_receipts", post_fates),
}


@pytest.mark.parametrize("step", STEPS)
async def test_f51_a_floor_comes_back_once_whichever_step_custody_dies_at(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """F51: custody dies at each step of a vault's return; I5, I6, I8: taken is what was laid."""
    money = Place(world.connections).money()
    vault = await paid_room(world)
    floor, house = await on(world, f"floor:{vault}"), await on(world, "house")
    assert floor == await lies_at(world, vault) > 0
    before = await world.value("SELECT sum(fee_lamports)::bigint FROM attempts")

    assert await claim_returns(money) == 1
    assert await claim_returns(money) == 0
    module, name, work = STEPS[step]

    async def die(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    if work is post_fates:
        assert await sign_due(world.custody) == 1
        world.solana.control.advance(40)
    with monkeypatch.context() as patched:
        patched.setattr(module, name, die)
        with pytest.raises(ZeroDivisionError):
            await work(world.custody)
    for _ in range(3):
        await resend(world.custody)
        world.solana.control.advance(1)
    await world.until(lambda: done(world))

    after = await world.value("SELECT sum(fee_lamports)::bigint FROM attempts")
    fees = int(str(after)) - int(str(before))
    assert await lies_at(world, vault) == 0
    assert (await on(world, f"floor:{vault}"), await on(world, f"chain:{vault}")) == (0, 0)
    assert await on(world, "house") == house + floor - fees
    assert (await landed(world, "return"), await claim_returns(money)) == (1, 0)
    await sound(world)


@pytest.mark.parametrize("first", ["return", "withdrawal"])
async def test_f51_a_return_and_what_a_person_moves_may_land_in_any_order(
    world: World, first: str
) -> None:
    """F51: a person takes all out while his idle address gives its floor back; I5, I6, I8."""
    await paid_room(world)
    address = str(await world.value("SELECT address FROM addresses WHERE user_id = 2"))
    everything = await on(world, "available:2")
    assert await claim_returns(Place(world.connections).money(floor_idle_ms=0)) == 3
    for provider in (0, 1):
        world.solana.control.fault(provider, "swallowed", SEND)
    assert await sign_due(world.custody) == 3
    # The floor is leaving, so what leaves after it brings one of its own.
    await ask_out(world, 2, everything)
    assert await sign_due(world.custody) == 1
    world.solana.control.clear_faults()
    for row in await world.connections.fetch(
        "SELECT a.raw FROM attempts a JOIN attempt_transfers l ON l.attempt_id = a.id"
        " JOIN transfers t ON t.id = l.transfer_id WHERE t.from_address = $1"
        " AND a.state = 'SIGNED' ORDER BY t.kind <> $2",
        address, first,
    ):  # fmt: skip
        await world.custody.providers.send(row["raw"])
        world.solana.control.advance(1)
    await resend(world.custody)

    await world.until(lambda: done(world))

    assert await world.value("SELECT count(*) FROM attempts WHERE state <> 'LANDED'") == 0
    assert await lies_at(world, OUTSIDE) == everything
    assert await lies_at(world, address) == await on(world, f"floor:{address}") > 0
    assert await on(world, "available:2") == 0
    await sound(world)


async def test_f51_a_stranger_s_lamport_refuses_a_return_and_moves_nothing(world: World) -> None:
    """F51: 1 lamport reaches the vault between signing and landing; I6, I8."""
    money = Place(world.connections).money()
    vault = await paid_room(world)
    floor = await on(world, f"floor:{vault}")
    assert await claim_returns(money) == 1
    for provider in (0, 1):
        world.solana.control.fault(provider, "swallowed", SEND)
    assert await sign_due(world.custody) == 1
    world.solana.control.clear_faults()
    await world.airdrop(vault, 1)
    world.solana.control.advance(1)
    await resend(world.custody)

    await world.until(lambda: done(world))

    assert await state_of(world, "return") == "RELEASED"
    await post_deposits(world.custody)
    assert (await on(world, f"floor:{vault}"), await on(world, f"stray:{vault}")) == (floor, 1)
    # What would be left is less than the network wants there, so it stays.
    assert await claim_returns(money) == 0
    await world.airdrop(vault, floor)
    world.solana.control.advance(40)
    await post_deposits(world.custody)
    assert await claim_returns(money) == 1
    await world.until(lambda: done(world))
    assert await lies_at(world, vault) == await on(world, f"stray:{vault}") == floor + 1
    await sound(world)


async def test_an_address_that_is_used_keeps_its_floor(world: World) -> None:
    await paid_room(world)
    idle = Place(world.connections).money(floor_idle_ms=0)
    address = str(await world.value("SELECT address FROM addresses WHERE user_id = 1"))
    floor = await on(world, f"floor:{address}")
    assert await claim_returns(Place(world.connections).money()) == 1  # the vault's alone
    assert await claim_returns(idle) == 2
    # He takes something out before the return is signed.
    await ask_out(world, 1, SOL)

    await world.until(lambda: done(world))

    assert await world.value(
        "SELECT state FROM transfers WHERE kind = 'return' AND from_address = $1", address
    ) == "RELEASED"  # fmt: skip
    assert await on(world, f"floor:{address}") == floor
    assert await lies_at(world, OUTSIDE) == SOL
    await sound(world)


async def test_what_a_host_earned_reaches_his_wallet_once(world: World) -> None:
    money = Place(world.connections).money()
    await paid_room(world)
    assert await on(world, "earned:1") == HOST_LAMPORTS
    before = await on(world, "available:1")
    none = Place(world.connections).money(earning_lamports_min=HOST_LAMPORTS + 1)
    assert await claim_earnings(none) == 0

    assert await claim_earnings(money) == 1
    assert await claim_earnings(money) == 0
    await world.until(lambda: done(world))

    assert await on(world, "earned:1") == 0
    assert await on(world, "available:1") == before + HOST_LAMPORTS
    assert await claim_earnings(money) == 0
    told = await Place(world.connections).told("earning.landed")
    assert [(each["user"], each["lamports"]) for each in told] == [(1, str(HOST_LAMPORTS))]
    await sound(world)


TAMPERED = {
    "more than lies there": "UPDATE transfers SET lamports = lamports + 1 WHERE kind = 'return'",
    "to somebody else": f"UPDATE transfers SET to_address = '{OUTSIDE}' WHERE kind = 'return'",
    "more than was earned": "UPDATE transfers SET lamports = lamports + 1 WHERE kind = 'earning'",
    "for another": "UPDATE transfers SET user_id = 2 WHERE kind = 'earning'",
    "out of the fee payer": "UPDATE transfers SET from_address = (SELECT address FROM addresses"
    " WHERE kind = 'fee_payer') WHERE kind = 'earning'",
    "a floor in a token": "UPDATE transfers SET asset = 'USDC' WHERE kind = 'return'",
    "earned in a token": "UPDATE transfers SET asset = 'USDC' WHERE kind = 'earning'",
}


async def test_a_plan_that_was_tampered_with_is_not_signed(world: World) -> None:
    money = Place(world.connections).money()
    await allow(world)
    vault = await paid_room(world)
    assert (await claim_returns(money), await claim_earnings(money)) == (1, 1)
    kept = await world.connections.fetch(
        "SELECT id, lamports, to_address, from_address, user_id FROM transfers"
        " WHERE state = 'PLANNED'"
    )
    signed = await world.value("SELECT count(*) FROM attempts")
    for name, script in TAMPERED.items():
        kind = "return" if "'return'" in script else "earning"
        await world.execute(
            "UPDATE transfers SET not_before = now_ms() + 60000"
            f" WHERE state = 'PLANNED' AND kind <> '{kind}'"
        )
        await world.execute(script)
        await sign_due(world.custody)
        assert await world.value("SELECT count(*) FROM attempts") == signed, name
        for row in kept:
            await world.execute(
                "UPDATE transfers SET lamports = $2, to_address = $3, from_address = $4,"
                " user_id = $5, asset = 'SOL', not_before = 0, state = 'PLANNED', ended_at = NULL"
                " WHERE id = $1",
                row["id"], row["lamports"], row["to_address"], row["from_address"], row["user_id"],
            )  # fmt: skip
        await world.execute("DELETE FROM set_aside")
        async with world.connections.acquire() as connection:
            await change(connection, Flag.ALL, open=True, reason="test")
    await world.until(lambda: done(world))
    assert await lies_at(world, vault) == 0
    await sound(world)


@pytest.mark.parametrize("planned_again", ["nothing", "other amounts"])
async def test_a_backup_that_has_forgotten_returns_and_earnings_gets_them_back(
    world: World, dsn: str, postgres: PostgresSettings, tmp_path: Path, planned_again: str
) -> None:
    """F11 with both kinds: what the chain paid since is posted again, and not paid again."""
    money = Place(world.connections).money(floor_idle_ms=0)
    await paid_room(world)
    await dump(dsn, tmp_path / "backup")
    assert (await claim_earnings(money), await claim_returns(money)) == (1, 2)
    await world.until(lambda: done(world))
    before = await balances(world)

    async with restored(world, postgres, tmp_path / "backup") as old:
        place = Place(old.connections)
        if planned_again != "nothing":
            # A worker looked first; what it plans from old rows need not be what was paid.
            assert await claim_earnings(place.money()) == 1
            assert await claim_returns(place.money(floor_idle_ms=0)) == 2
            await old.execute(
                "UPDATE transfers SET lamports = lamports - 1 WHERE state = 'PLANNED'"
            )
        await look_back(old.custody)
        await restore_ends(old)

        assert await balances(old) == before
        await old.ledger_is_chain()
        async with old.connections.acquire() as connection:
            await change(connection, Flag.ALL, open=True, reason="test")
        assert await claim_earnings(place.money()) == 0
        await until(old, lambda: done(old))
        await rounds_of(old, place)
        assert await balances(old) == before
