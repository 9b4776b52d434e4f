"""A signer that gives back something else: signing closes, and custody goes on without a key."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from chain.signer import KeyPath, Signer
from chain.trouble import Frozen
from rooms.units import Address
from streams.freezing import unless_frozen
from streams.receipts import post_fates
from streams.rounds import Pace, run_rounds
from streams.transfers import sign_due
from tests.streams.custody_world import (
    SOL,
    World,
    people,
    room,
    stake,
)

LIMIT_S = 30
FAST = Pace(work_ms=20, fates_ms=20, resend_ms=50, deposits_ms=50)


@dataclass
class Wrong:
    """A signer that signs something else, or names another account."""

    right: Signer
    signs_wrong: bool = True
    names_wrong: bool = False

    async def address(self, path: KeyPath) -> Address:
        if self.names_wrong:
            raise Frozen("the signer gave another account than the one asked for")
        return await self.right.address(path)

    async def sign(self, message: bytes, paths: Sequence[KeyPath]) -> tuple[bytes, ...]:
        signed = await self.right.sign(message, paths)
        return tuple(bytes(64) for _ in signed) if self.signs_wrong else signed


async def acts(world: World) -> list[tuple[str, str, str]]:
    rows = await world.connections.fetch(
        "SELECT subject, reason, who FROM acts WHERE kind = 'pause' ORDER BY id"
    )
    return [(row["subject"], row["reason"], row["who"]) for row in rows]


async def signing(world: World) -> bool:
    return await world.value("SELECT open FROM flags WHERE name = 'signing'") is True


async def test_f56_a_wrong_signature_closes_signing_and_everything_else_goes_on(
    world: World,
) -> None:
    """F56: the signer flips a signature; nothing of it is sent or written down, and custody lives:
    a deposit and the fate of what was signed before are posted; I5, I7, I11."""
    mine = (await people(world, 3 * SOL, 3 * SOL))[2]
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", SOL)
    assert await sign_due(world.custody) == 1
    await stake(world, 2, "NO", SOL)
    world = replace(world, custody=replace(world.custody, signer=Wrong(world.custody.signer)))
    rounds = asyncio.create_task(run_rounds(world.custody, asyncio.Event(), FAST))
    try:
        async with asyncio.timeout(LIMIT_S):
            while await signing(world):
                assert not rounds.done()
                await asyncio.sleep(0.02)
            await world.airdrop(mine, 2 * SOL)
            while (
                await world.value("SELECT count(*) FROM deposits WHERE lamports = $1", 2 * SOL) != 1
                or await world.value("SELECT state FROM stakes WHERE user_id = 1") != "LANDED"
            ):
                assert not rounds.done(), rounds.exception()
                world.solana.control.advance(1)
                await asyncio.sleep(0.05)
    finally:
        rounds.cancel()
        await asyncio.wait([rounds])

    assert await world.value("SELECT count(*) FROM attempts") == 1
    assert await world.value("SELECT state FROM transfers ORDER BY id DESC LIMIT 1") == "PLANNED"
    ((subject, reason, _),) = await acts(world)
    assert (subject, "the signer gave a signature that is not" in reason) == ("signing", True)
    await world.ledger_is_chain()


async def test_after_a_person_has_looked_a_right_signer_signs_on(world: World) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", SOL)
    wrong = Wrong(world.custody.signer)
    custody = replace(world.custody, signer=wrong)

    for _ in range(3):
        assert await unless_frozen(custody, sign_due) == 0
    assert len(await acts(world)) == 1
    await world.execute("UPDATE flags SET open = true")
    assert await unless_frozen(custody, sign_due) == 0
    assert len(await acts(world)) == 2, "each time it was open it is closed and said anew"

    await world.execute("UPDATE flags SET open = true")
    wrong.signs_wrong = False
    assert await unless_frozen(custody, sign_due) == 1


async def test_a_wrong_account_is_written_down_once_however_often_it_comes_back(
    world: World,
) -> None:
    async def ask(custody: object) -> int:
        raise Frozen("the signer gave another account than the one asked for")

    for _ in range(3):
        assert await unless_frozen(world.custody, ask) == 0

    assert [subject for subject, _, _ in await acts(world)] == ["signing"]


async def test_what_landed_otherwise_than_planned_closes_signing_and_holds_no_other_up(
    world: World,
) -> None:
    await people(world, 3 * SOL, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", SOL)
    await stake(world, 2, "NO", SOL)
    assert await sign_due(world.custody) == 2
    world.solana.control.advance(40)
    await world.execute("ALTER TABLE transfers DISABLE TRIGGER USER")
    await world.execute("UPDATE transfers SET lamports = lamports + 1 WHERE user_id = 1")

    assert await post_fates(world.custody) == 1

    assert not await signing(world)
    states = await world.connections.fetch("SELECT state FROM attempts ORDER BY id")
    assert [row["state"] for row in states] == ["SIGNED", "LANDED"]
    ((_, reason, _),) = await acts(world)
    assert "moved something else than was planned" in reason


@pytest.mark.parametrize("wrong", ["bets", "all"])
async def test_custody_s_own_role_closes_and_opens_nothing(
    dsn: str, world: World, wrong: str
) -> None:
    import asyncpg

    session = await asyncpg.connect(dsn.replace("postgres@", "rooms_custody@"))
    try:
        assert await session.fetchval("SELECT close_flag($1, 'why')", wrong)
        assert not await session.fetchval("SELECT close_flag($1, 'why')", wrong)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute("UPDATE flags SET open = true")
    finally:
        await session.close()
    assert [(subject, who) for subject, _, who in await acts(world)] == [(wrong, "custody")]
