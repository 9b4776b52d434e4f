"""`rooms verify` on a room that was played over a real database and a real chain."""

import copy
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cli.settings import Settings, read_settings_from
from cli.verifying import Asked, EvidenceDiffersError, run_evidence, run_verify
from rooms.canonical import canonical, plain_of
from rooms.refusal import CannotGoOn
from rooms.room import room_code
from storage import evidence
from storage.connections import Connections
from streams.settlements import claim_settlements
from tests.place import Place
from tests.streams.custody_world import SOL, World, custody_world, people, room, sealed, stake


@pytest_asyncio.fixture
async def world(connections: Connections, tmp_path: Path) -> AsyncIterator[World]:
    async with custody_world(connections, tmp_path) as world:
        yield world


@pytest.fixture
def settings(dsn: str, world: World) -> Settings:
    urls = json.dumps([world.solana.url, world.solana.second_url])
    return read_settings_from({"ROOMS_DATABASE_URL": dsn, "ROOMS_SOLANA_URLS": urls})


async def void(world: World) -> dict[str, Any]:
    """Play a room whose log ended, so that every stake goes back; return its bundle."""
    await people(world, 3 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await stake(world, 1, "YES", 2 * SOL)
    await stake(world, 2, "NO", 1 * SOL)
    await world.until(lambda: sealed(world))
    await world.execute(
        "UPDATE rooms SET state = 'DECIDED', outcome = 'VOID', void_reason = 'log_ended',"
        " decided_at = deadline_at"
    )
    assert await claim_settlements(Place(world.connections).money()) == 1

    async def paid() -> bool:
        return await world.value("SELECT state FROM rooms") == "PAID"

    await world.until(paid)
    async with world.connections.acquire() as connection:
        found = await evidence.of(connection, 77)
    assert found is not None
    bundle: dict[str, Any] = plain_of(found[1])
    return bundle


async def checks(
    asked: Asked, settings: Settings | None, capsys: pytest.CaptureFixture[str]
) -> dict[str, str | None]:
    """Run `rooms verify --json`; return each check with its fault."""
    capsys.readouterr()
    try:
        await run_verify(asked, settings)
    except EvidenceDiffersError as differs:
        facts = json.loads(capsys.readouterr().out)
        assert not facts["follows"]
        assert all(each["fault"] in str(differs) for each in facts["checks"] if each["fault"])
    else:
        facts = json.loads(capsys.readouterr().out)
        assert facts["follows"]
    return {each["what"]: each["fault"] for each in facts["checks"]}


async def test_a_room_is_verified_by_its_name_its_signature_and_its_file(
    world: World, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = await void(world)
    rpcs = [world.solana.url, world.solana.second_url]
    by_name = await checks(Asked(what=room_code(77), rpcs=rpcs, as_json=True), settings, capsys)
    assert set(by_name.values()) == {None}
    assert {"hash", "division", "memo on chain", "stakes on chain", "payouts on chain"} <= set(
        by_name
    )

    settled = await world.value("SELECT signature FROM attempts WHERE memo LIKE 'r1 settled %'")
    by_signature = Asked(what=str(settled), rpcs=rpcs[:1], as_json=True)
    assert set((await checks(by_signature, settings, capsys)).values()) == {None}

    file = Asked(what="file", content=canonical(bundle).encode(), as_json=True)
    assert set((await checks(file, None, capsys)).values()) == {None}

    await run_verify(Asked(what=room_code(77)), settings)
    assert f"room {room_code(77)} on SOL/USD: VOID" in capsys.readouterr().out
    await run_evidence(room_code(77), None, settings)
    assert plain_of(capsys.readouterr().out) == bundle


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a hash": (lambda b: b["stakes"][0].update(signature="another"), "memo on chain"),
    "a stake": (lambda b: b["stakes"][0].update(lamports=str(SOL)), "stakes on chain"),
    "a refund": (lambda b: b["division"]["refunds"][0].update(lamports="1"), "payouts on chain"),
    "who gets it": (lambda b: b["division"]["refunds"][0].update(address="Me"), "payouts on chain"),
    "when it landed": (lambda b: b["stakes"][0].update(landed_at=1), "stakes on chain"),
    "the side": (lambda b: b["stakes"][0].update(side="NO"), "stakes on chain"),
}


async def test_a_bundle_that_is_another_is_not_what_the_chain_says(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = await void(world)
    for what, (spoil, where) in SPOILT.items():
        other = copy.deepcopy(bundle)
        spoil(other)
        file = Asked(
            what="file", content=canonical(other).encode(), rpcs=[world.solana.url], as_json=True
        )
        found = await checks(file, None, capsys)
        assert found[where], what
        assert found["memo on chain"], what


async def test_what_the_chain_lacks_is_named(
    world: World, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await people(world, 3 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await stake(world, 1, "YES", 2 * SOL)
    await world.until(lambda: sealed(world))
    await world.execute(
        "UPDATE rooms SET state = 'DECIDED', outcome = 'VOID', void_reason = 'log_ended',"
        " decided_at = deadline_at"
    )
    await claim_settlements(Place(world.connections).money())
    asked = Asked(what=room_code(77), rpcs=[world.solana.url], as_json=True)
    found = await checks(asked, settings, capsys)
    assert "says how it was settled" in str(found["memo on chain"])
    assert f"got 0, {2 * SOL} is owed" in str(found["payouts on chain"])
    assert found["stakes on chain"] is None


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("22222", "no such room"),
        ("no room!", "no room of this name"),
        ("1" * 64, "where the chain is"),
    ],
)
async def test_what_cannot_be_verified_is_said_in_one_line(
    settings: Settings, what: str, says: str
) -> None:
    with pytest.raises(CannotGoOn, match=says):
        await run_verify(Asked(what=what), settings)
