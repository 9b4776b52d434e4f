"""Deposits: usable at one confirmation, for good at finality, undone when a fork takes them."""

import pytest

from rooms.units import Address
from storage import attempts
from streams.addresses import give_addresses
from streams.deposits import post_deposits
from streams.transfers import sign_due
from tests.streams.custody_world import SOL, World, people, room, stake

OUTSIDE = "67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb"


async def wallet(world: World, user: int) -> Address:
    """Make a person with nothing; return the address."""
    await world.execute("INSERT INTO users (id, chat_id, name) VALUES ($1, $1, 'p')", user)
    await give_addresses(world.custody)
    address = await world.value("SELECT address FROM addresses WHERE user_id = $1", user)
    return Address(str(address))


async def on(world: World, account: str) -> int:
    balance = await world.value("SELECT balance FROM accounts WHERE name = $1", account)
    return int(str(balance or 0))


async def confirmed(world: World, address: str, lamports: int) -> str:
    """Bring in a deposit that is confirmed and not final; return its signature."""
    world.solana.control.advance(10)
    signature = world.solana.control.airdrop(address, lamports)
    world.solana.control.advance(2)
    await post_deposits(world.custody)
    return signature


async def finalize(world: World) -> None:
    world.solana.control.advance(12)
    await post_deposits(world.custody)


async def entries(world: World) -> list[str]:
    async with world.connections.acquire() as connection:
        rows = await connection.fetch("SELECT key FROM entries ORDER BY id")
    return [row["key"] for row in rows]


async def ask_out(world: World, user: int, lamports: int) -> None:
    """Hold and plan a withdrawal, as its stage does."""
    number = await world.value(
        "INSERT INTO withdrawals (key, user_id, to_address, lamports, state, due_at)"
        " VALUES ('k', $1, $2, $3, 'LEAVING', now_ms()) RETURNING id",
        user, OUTSIDE, lamports,
    )  # fmt: skip
    await world.execute(
        "SELECT post_entries(jsonb_build_array(jsonb_build_object('key', 'hold:withdrawal:' || $1,"
        " 'digest', 'd', 'postings', jsonb_build_array(jsonb_build_array('available:' || $2,"
        " -$3::bigint), jsonb_build_array('held:' || $2, $3::bigint)))))",
        str(number), str(user), lamports,
    )  # fmt: skip
    await world.execute("SELECT plan_withdrawals(ARRAY[$1::bigint])", number)


async def test_a_deposit_is_usable_at_one_confirmation_and_final_later(world: World) -> None:
    ana = await wallet(world, 1)
    await confirmed(world, ana, 3 * SOL)

    assert await on(world, "available:1") == 3 * SOL
    assert await world.value("SELECT final_at FROM deposits WHERE address = $1", ana) is None
    await finalize(world)
    assert await world.value("SELECT final_at FROM deposits WHERE address = $1", ana) is not None
    await post_deposits(world.custody)
    assert await on(world, "available:1") == 3 * SOL
    await world.ledger_is_chain()


async def test_a_deposit_that_a_fork_takes_is_undone_once_and_to_the_lamport(world: World) -> None:
    ana = await wallet(world, 1)
    await confirmed(world, ana, 3 * SOL)
    await finalize(world)
    taken = await confirmed(world, ana, 2 * SOL + 1)
    assert await on(world, "available:1") == 5 * SOL + 1

    world.solana.control.fork(drop=[taken])
    for _ in range(3):
        await finalize(world)

    assert await on(world, "available:1") == 3 * SOL
    assert (await entries(world)).count(f"undo:deposit:{taken}:{ana}") == 1
    assert await world.value(
        "SELECT count(*) FROM outbox WHERE topic = 'events' AND payload ->> 'kind' = $1",
        "deposit.undone",
    ) == 1  # fmt: skip
    await world.ledger_is_chain()


async def test_nothing_is_undone_before_the_finalized_chain_has_passed_it(world: World) -> None:
    ana = await wallet(world, 1)
    taken = await confirmed(world, ana, 2 * SOL)
    world.solana.control.fork(drop=[taken])
    await post_deposits(world.custody)

    assert await on(world, "available:1") == 2 * SOL
    assert not [key for key in await entries(world) if key.startswith("undo")]


async def test_who_has_staked_what_a_fork_took_is_frozen_until_the_stake_is_back(
    world: World,
) -> None:
    ana = await wallet(world, 1)
    taken = await confirmed(world, ana, 2 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", 2 * SOL)
    world.solana.control.fork(drop=[taken])
    await finalize(world)

    assert await world.value("SELECT gone_at FROM deposits WHERE address = $1", ana) is not None
    assert await world.value("SELECT undone_at FROM deposits WHERE address = $1", ana) is None
    assert await on(world, "held:1") == 2 * SOL

    # Signing refuses the stake again and again, until it is given back; then the deposit is undone.
    async def undone() -> bool:
        await world.execute("UPDATE transfers SET not_before = 0")
        return await on(world, "available:1") == 0 and await on(world, "held:1") == 0

    await world.until(undone)
    assert await world.value("SELECT state FROM stakes") == "RELEASED"
    await world.ledger_is_chain()


async def test_a_deposit_that_comes_again_in_another_block_is_posted_again(world: World) -> None:
    ana = await wallet(world, 1)
    taken = await confirmed(world, ana, 2 * SOL)
    world.solana.control.fork(drop=[taken])
    await finalize(world)
    assert await on(world, "available:1") == 0

    slot = await world.value("SELECT slot + 90 FROM deposits WHERE signature = $1", taken)
    async with world.connections.acquire() as connection:
        became = [
            await connection.fetchval(
                "SELECT post_deposit($1, $2, $3, 0, $4, $5, 1)", taken, ana, 2 * SOL, slot, final
            )
            for final in (False, False, True, True)
        ]

    assert became == ["posted", "known", "final", "known"]
    assert await on(world, "available:1") == 2 * SOL
    assert f"deposit:{taken}:{ana}:2" in await entries(world)


async def test_a_block_that_brings_other_lamports_undoes_the_first(world: World) -> None:
    ana = await wallet(world, 1)
    await world.execute("SELECT post_deposit('s', $1, 50, 3, 7, false, 10)", ana)
    await world.execute("SELECT post_deposit('s', $1, 5, 3, 8, true, 10)", ana)

    assert await on(world, "available:1") == 0
    assert await on(world, f"stray:{ana}") == 8
    assert await on(world, f"chain:{ana}") == 8


async def test_nothing_leaves_before_what_it_came_from_is_final(world: World) -> None:
    ana = await wallet(world, 1)
    await confirmed(world, ana, 3 * SOL)
    await ask_out(world, 1, 2 * SOL)

    assert await sign_due(world.custody) == 0
    await finalize(world)
    assert await sign_due(world.custody) == 1


async def test_a_withdrawal_of_what_a_fork_took_is_given_back_and_never_signed(
    world: World,
) -> None:
    ana = await wallet(world, 1)
    taken = await confirmed(world, ana, 3 * SOL)
    await ask_out(world, 1, 3 * SOL)
    world.solana.control.fork(drop=[taken])

    async def undone() -> bool:
        return await world.value("SELECT undone_at FROM deposits WHERE address = $1", ana) is not (
            None
        )

    await world.until(undone)
    assert await world.value("SELECT count(*) FROM attempts") == 0
    assert await world.value("SELECT state FROM withdrawals") == "RELEASED"
    await world.ledger_is_chain()


async def test_our_own_signature_is_never_a_deposit(world: World) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", 1 * SOL)
    await sign_due(world.custody)
    async with world.connections.acquire() as connection:
        (live,) = await attempts.live(connection)
        vault = await connection.fetchval("SELECT address FROM addresses WHERE kind = 'vault'")
        with pytest.raises(Exception, match="is ours and no deposit"):
            await connection.execute(
                "SELECT post_deposit($1, $2, 5, 0, 1, true, 1)", live.signature, vault
            )
