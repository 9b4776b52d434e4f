"""A pause: nothing new is reserved or signed, whatever the load; nothing else stops."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from chain.signer import KeyPath, Signer
from rooms.units import Address
from storage.connections import open_connections, transaction
from storage.flags import Flag, change, is_open, waited_out
from streams.bets import claim_bets
from streams.settlements import claim_settlements
from streams.transfers import sign_due
from tests.place import SOL, Place
from tests.streams.custody_world import World, people, room, stake
from tests.streams.test_auditor import fill


async def grows(place: Place, count: str) -> None:
    """Wait until a count is larger than it is now."""
    before = await place.value(count)
    while await place.value(count) == before:  # noqa: ASYNC110 - a row rings no bell
        await asyncio.sleep(0.01)


async def test_f76_a_pause_under_load_lets_nothing_be_reserved(place: Place) -> None:
    """F76: bets are taken by two workers while the flag flips; I11: none while it is closed."""
    for user in range(1, 9):
        await place.person(user, 100 * SOL)
    await place.room()
    taking = True

    async def ask() -> None:
        while taking:
            for user in range(1, 9):
                await place.ask_bet(user, "YES" if user % 2 else "NO", 10_000_000)
            await asyncio.sleep(0)

    async def take() -> None:
        while taking:
            await claim_bets(place.money(batch_max=3))
            await asyncio.sleep(0)

    closed: list[tuple[int, int]] = []
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for work in (ask, take, take):
            tasks.create_task(work())
        for flip in range(8):
            flag = (Flag.BETS, Flag.ALL)[flip % 2]
            await grows(place, "SELECT count(*) FROM stakes")
            async with transaction(place.connections) as connection:
                await change(connection, flag, open=False, reason="flip")
            assert await waited_out(place.connections, flag, limit_ms=5_000)
            since = await place.now()
            await grows(place, "SELECT count(*) FROM bet_requests WHERE refusal IS NOT NULL")
            closed.append((since, await place.now()))
            async with transaction(place.connections) as connection:
                await change(connection, flag, open=True, reason="flop")
        taking = False
    held = await place.column("SELECT at FROM entries WHERE key LIKE 'hold:%'")
    assert len(held) > 8
    assert [at for at in held for since, until in closed if since < at < until] == []
    assert set(await place.refusals()) <= {None, "paused", "stake_too_large"}
    await place.books_agree()


async def test_a_pause_does_not_wait_for_a_process_that_hangs(place: Place) -> None:
    async with transaction(place.connections) as hanging:
        assert await is_open(hanging, Flag.BETS)
        async with transaction(place.connections) as connection:
            await change(connection, Flag.BETS, open=False, reason="now")
        assert not await waited_out(place.connections, Flag.BETS, limit_ms=50)
        assert await waited_out(place.connections, Flag.ROOMS, limit_ms=50)
        async with transaction(place.connections) as connection:
            assert not await is_open(connection, Flag.BETS)
            assert await is_open(connection, Flag.ROOMS)
    assert await waited_out(place.connections, Flag.BETS, limit_ms=5_000)


@pytest.mark.parametrize(
    "unreadable",
    ["REVOKE SELECT ON flags FROM rooms_worker", "DROP TABLE flags", "DELETE FROM flags",
     "ALTER TABLE flags RENAME open TO was_open"],
)  # fmt: skip
async def test_f78_flags_that_cannot_be_read_are_closed(
    dsn: str, place: Place, unreadable: str
) -> None:
    """F78: the flags are revoked, gone, empty, changed; I11: refused, and the worker works on."""
    await fill(place)
    asked = await place.ask_bet(2, "NO", SOL)
    await place.do(unreadable)
    async with open_connections(
        dsn.replace("postgres@", "rooms_worker@"), name="worker"
    ) as connections:
        assert await claim_bets(place.money(connections=connections)) == 1
    assert await place.value(
        "SELECT refusal ->> 'code' FROM bet_requests WHERE id = $1", asked
    ) == ("paused")
    await place.books_agree()


async def test_a_pause_never_stops_a_settlement(place: Place) -> None:
    for user in (1, 2):
        await place.person(user, SOL)
    await place.room(
        state="DECIDED", outcome="VOID", void_reason="gap", decided_at=1, sealed_at=1,
        sealed_slot=1, sealed_yes=0, sealed_no=0,
    )  # fmt: skip
    async with transaction(place.connections) as connection:
        await change(connection, Flag.ALL, open=False, reason="test")
    assert await claim_settlements(place.money()) == 1
    assert await place.value("SELECT outcome FROM settlements") == "VOID"


@dataclass
class Counting:
    """A signer that counts what it is asked to sign."""

    signer: Signer
    asked: list[bytes] = field(default_factory=list)

    async def address(self, path: KeyPath) -> Address:
        return await self.signer.address(path)

    async def sign(self, message: bytes, paths: Sequence[KeyPath]) -> tuple[bytes, ...]:
        self.asked.append(message)
        return await self.signer.sign(message, paths)


@pytest.mark.parametrize("flag", [Flag.SIGNING, Flag.ALL])
async def test_f76_no_key_is_used_while_signing_is_paused(world: World, flag: Flag) -> None:
    """F76: a stake is due and signing is paused; I11: no signature, and one after the pause."""
    signer = Counting(world.custody.signer)
    custody = replace(world.custody, signer=signer)
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", SOL)
    async with transaction(world.connections) as connection:
        await change(connection, flag, open=False, reason="test")
    assert await sign_due(custody) == 0
    assert signer.asked == []
    assert await world.value("SELECT count(*) FROM attempts") == 0

    async with transaction(world.connections) as connection:
        await change(connection, flag, open=True, reason="test")
    assert await sign_due(custody) == 1
    assert len(signer.asked) == 1


async def test_f78_what_cannot_be_read_signs_nothing(world: World) -> None:
    """F78: the flags are gone; I11: no signature, and custody works on."""
    signer = Counting(world.custody.signer)
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", SOL)
    await world.execute("DROP TABLE flags")
    assert await sign_due(replace(world.custody, signer=signer)) == 0
    assert signer.asked == []
