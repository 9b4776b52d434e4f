"""Every address beside a real chain: only what no known signature explains is a difference."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from chain.rpc import Rpc
from chain.settings import DepositSettings
from chain.signer import KeyPath
from chain.transactions import Batch, Transfer, sign_batch
from rooms.audit import DOUBT_MS, Rule
from rooms.units import Address, Lamports, UnixMs
from storage.connections import open_connections
from streams.auditor import Auditor, look_at_all, look_at_chain, look_at_news
from streams.comparison import Compared, compare
from streams.deposits import post_deposits
from streams.transfers import sign_due
from tests.streams.custody_world import SOL, World, people, room, sealed, stake

MINUTE = DOUBT_MS
FINAL_BLOCKS = 40


@pytest_asyncio.fixture
async def auditor(dsn: str, world: World, tmp_path: Path) -> AsyncIterator[Auditor]:
    async with open_connections(
        dsn.replace("postgres@", "rooms_auditor@"), name="auditor"
    ) as connections:
        yield Auditor(
            connections=connections,
            providers=world.custody.providers,
            head_path=tmp_path / "audit-head",
            clock=lambda: UnixMs(0),
        )


async def compared(auditor: Auditor) -> Compared:
    return await compare(auditor.connections, auditor.providers, DepositSettings())


def unexplained(found: Compared) -> dict[Address, set[int]]:
    return {
        address: {each.unexplained for each in seen}
        for address, seen in found.differences.items()
        if any(each.unexplained for each in seen)
    }


def waiting(found: Compared) -> dict[str, set[int]]:
    return {
        found.owners[address].kind: {each.waiting for each in seen}
        for address, seen in found.differences.items()
        if any(each.waiting for each in seen)
    }


async def look_for(auditor: Auditor, *moments: int) -> None:
    for at in moments:
        auditor.clock = lambda at=at: UnixMs(at)  # type: ignore[misc]
        await look_at_chain(auditor)


async def breaches(world: World) -> list[tuple[str, str]]:
    rows = await world.connections.fetch(
        "SELECT subject, reason FROM acts WHERE kind = 'breach' ORDER BY id"
    )
    return [(row["subject"], row["reason"]) for row in rows]


async def test_the_ledger_of_a_whole_round_is_the_chain(world: World, auditor: Auditor) -> None:
    await people(world, 3 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await stake(world, 1, "YES", 3 * SOL)
    await stake(world, 2, "NO", 1 * SOL)
    await world.until(lambda: sealed(world))

    found = await compared(auditor)
    assert len(found.differences) == 5
    assert unexplained(found) == {}
    assert found.not_known == ()
    assert {kind.kind for kind in found.owners.values()} == {
        "user", "vault", "treasury", "fee_payer",
    }  # fmt: skip
    await look_at_news(auditor)
    await look_at_all(auditor)
    assert await breaches(world) == []


async def test_a_deposit_that_nobody_posted_yet_is_waiting(world: World, auditor: Auditor) -> None:
    addresses = await people(world, 3 * SOL)
    await world.airdrop(addresses[1], 7)
    world.solana.control.advance(FINAL_BLOCKS)

    found = await compared(auditor)
    assert unexplained(found) == {}
    assert waiting(found) == {"user": {7}}
    await look_for(auditor, 0, MINUTE, 2 * MINUTE)
    assert await breaches(world) == []


async def test_an_attempt_that_landed_and_is_not_posted_is_waiting(
    world: World, auditor: Auditor
) -> None:
    await people(world, 3 * SOL)
    await room(world, cut_in_ms=60_000)
    await stake(world, 1, "YES", SOL)
    assert await sign_due(world.custody) == 1
    world.solana.control.advance(FINAL_BLOCKS)

    found = await compared(auditor)
    assert unexplained(found) == {}
    assert set(waiting(found)) == {"user", "vault", "fee_payer"}
    await look_for(auditor, 0, MINUTE)
    assert await breaches(world) == []


async def test_an_address_made_while_the_chain_is_asked_is_compared_at_the_next_look(
    world: World, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await people(world, 3 * SOL)
    await world.airdrop(made[1], 7)
    world.solana.control.advance(FINAL_BLOCKS)
    ask, rooms_made = auditor.providers.each, 0

    async def each(question: Callable[[Rpc], Awaitable[object]]) -> object:
        nonlocal rooms_made
        if not rooms_made:
            rooms_made += 1
            await room(world, cut_in_ms=60_000)
        return await ask(question)

    monkeypatch.setattr(auditor.providers, "each", each)
    before = await compared(auditor)
    after = await compared(auditor)
    assert set(before.owners) == set(before.differences)
    assert set(after.owners) == set(after.differences)
    assert len(after.owners) == len(before.owners) + 1


async def test_a_provider_that_is_behind_differs_in_nothing(world: World, auditor: Auditor) -> None:
    addresses = await people(world, 3 * SOL)
    await world.airdrop(addresses[1], SOL)
    world.solana.control.advance(FINAL_BLOCKS)
    await post_deposits(world.custody)
    world.solana.control.set_lag(1, 2 * FINAL_BLOCKS)

    found = await compared(auditor)
    assert len({each.lying.slot for each in found.differences[addresses[1]]}) == 2
    assert unexplained(found) == {}


async def test_money_that_is_only_in_the_ledger_is_a_breach_after_a_minute(
    world: World, auditor: Auditor
) -> None:
    """Written so that every rule of the ledger holds: only the chain shows it."""
    addresses = await people(world, 3 * SOL)
    await world.execute(
        f"""SELECT post_entries('[{{"key": "deposit:mine:{addresses[1]}", "digest": "d",
        "postings": [["chain:{addresses[1]}", 5], ["available:1", 5]]}}]')"""
    )
    await look_at_news(auditor)
    await look_at_all(auditor)
    await look_for(auditor, 0, MINUTE - 1)
    assert await breaches(world) == []

    await look_for(auditor, MINUTE)
    ((rule, why),) = await breaches(world)
    assert rule == Rule.DIFFERENCE
    assert "nothing explains -5" in why
    assert await world.value("SELECT open FROM flags WHERE name = 'all'") is False


async def test_a_signature_of_ours_that_nobody_planned_is_a_breach_at_once(
    world: World, auditor: Auditor
) -> None:
    """Whoever has the key and not the database: the money is gone, and everything stops."""
    addresses = await people(world, 3 * SOL)
    fee_payer = world.custody.operator.fee_payer
    thief = Address("8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh")
    batch = Batch(
        transfers=(Transfer(addresses[1], thief, Lamports(SOL)),),
        memo="mine", owner=addresses[1], fee_payer=fee_payer,
    )  # fmt: skip
    paths = {addresses[1]: KeyPath.user(1), fee_payer: KeyPath.fee_payer()}
    recent = await world.custody.providers.first(lambda rpc: rpc.latest_blockhash())
    signed = await sign_batch(world.custody.signer, batch, paths, recent, world.custody.fees)
    await world.custody.providers.send(signed.raw)
    world.solana.control.advance(FINAL_BLOCKS)

    await look_for(auditor, 0)
    found = await breaches(world)
    assert {rule for rule, _ in found} == {Rule.STRANGER}
    assert await world.value("SELECT open FROM flags WHERE name = 'all'") is False


async def test_providers_that_cannot_be_asked_prove_nothing(world: World, auditor: Auditor) -> None:
    await people(world, 3 * SOL)
    world.solana.control.fault(1, "error", ["getMultipleAccounts"])
    found = await compared(auditor)
    assert found.differences == {}
    assert len(found.not_known) == 1
