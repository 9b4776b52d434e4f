"""`rooms audit`, `rooms pause` and `rooms resume`, over a real database and a real chain."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cli.auditing import DoesNotAddUp, run_audit
from cli.pausing import NotResumed, pause, resume
from cli.settings import Settings, read_settings_from
from rooms import solvency
from rooms.solvency import Claim, Node, Step
from rooms.units import Lamports, UnixMs
from storage.connections import Connections, open_connections
from storage.flags import Flag, change
from streams.audit_heads import put_head
from streams.auditor import Auditor, add_to_log
from tests.streams.custody_world import SOL, World, custody_world, people, room, sealed, stake


def environment(dsn: str, world: World, head: Path) -> dict[str, str]:
    return {
        "ROOMS_DATABASE_URL": dsn,
        "ROOMS_SOLANA_URLS": json.dumps([world.solana.url, world.solana.second_url]),
        "ROOMS_AUDIT_HEAD": str(head),
    }


@pytest_asyncio.fixture
async def world(connections: Connections, tmp_path: Path) -> AsyncIterator[World]:
    async with custody_world(connections, tmp_path) as world:
        yield world


@pytest.fixture
def head(tmp_path: Path) -> Path:
    return tmp_path / "audit-head"


@pytest.fixture
def settings(dsn: str, world: World, head: Path) -> Settings:
    return read_settings_from(environment(dsn, world, head))


async def keep_log(dsn: str, world: World, head: Path) -> None:
    """Have the log written as the auditor does."""
    async with open_connections(
        dsn.replace("postgres@", "rooms_auditor@"), name="auditor"
    ) as connections:
        await add_to_log(
            Auditor(
                connections=connections,
                providers=world.custody.providers,
                head_path=head,
                clock=lambda: UnixMs(0),
            )
        )


async def audited(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    *,
    leaves: Path | None = None,
    adopt_head: bool = False,
) -> dict[str, Any]:
    """Run `rooms audit --json`; return its facts, also of what does not add up."""
    capsys.readouterr()
    try:
        await run_audit(settings, as_json=True, leaves=leaves, adopt_head=adopt_head)
    except DoesNotAddUp as failed:
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert not found["adds_up"]
        assert all(fault in str(failed) for fault in found["faults"])
        return found
    found = json.loads(capsys.readouterr().out)
    assert found["adds_up"]
    return found


async def test_the_whole_audit_of_a_round_adds_up(
    dsn: str, world: World, head: Path, settings: Settings, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    await people(world, 3 * SOL, 2 * SOL)
    await room(world, cut_in_ms=8_000)
    await stake(world, 1, "YES", 3 * SOL)
    await stake(world, 2, "NO", 1 * SOL)
    await world.until(lambda: sealed(world))
    await keep_log(dsn, world, head)

    leaves = tmp_path / "leaves.json"
    found = await audited(settings, capsys, leaves=leaves)
    assert found["log"]["rows"] == await world.value("SELECT count(*) FROM audit_log")
    assert [len(each["chain"]) for each in found["addresses"]] == [2] * 5
    assert found["liabilities"] == str(5 * SOL)
    assert int(found["reserves"]) == 5 * SOL + int(found["own"])
    assert found["root"]["lamports"] == found["liabilities"]

    # Each person can check his own claim against the root, with nothing else.
    written = json.loads(leaves.read_text())
    assert stat.S_IMODE(leaves.stat().st_mode) == 0o600
    top = Node(bytes.fromhex(written["root"]["hash"]), Lamports(int(written["root"]["lamports"])))
    assert top.hash.hex() == found["root"]["hash"]
    claims = {each["owner"]: int(each["lamports"]) for each in written["leaves"]}
    assert claims == {"1": 3 * SOL, "2": 2 * SOL}
    for each in written["leaves"]:
        claim = Claim(each["owner"], Lamports(int(each["lamports"])), bytes.fromhex(each["salt"]))
        steps = [
            Step(
                Node(bytes.fromhex(step["hash"]), Lamports(int(step["lamports"]))),
                left=step["side"] == "left",
            )
            for step in each["proof"]
        ]
        assert solvency.is_in(claim, steps, top)

    await run_audit(settings, as_json=False, leaves=None, adopt_head=False)
    assert "the ledger equals the chain, address by address" in capsys.readouterr().out


FAULTS = {
    "money that is only in the ledger": (
        "SELECT post_entries(jsonb_build_array(jsonb_build_object('key', 'deposit:mine:x',"
        " 'digest', 'd', 'postings', jsonb_build_array(jsonb_build_array('chain:' || address, 5),"
        " jsonb_build_array('available:1', 5))))) FROM addresses WHERE user_id = 1",
        "nothing explains -5",
    ),
    "a balance that was changed": (
        "UPDATE accounts SET balance = balance + 1 WHERE name = 'available:1'",
        "lie somewhere and",
    ),
    "a row of the log": (
        "ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only;"
        "UPDATE audit_log SET facts = '{}' WHERE number = 2",
        "row 2 or its hash was changed",
    ),
    "the end of the log": (
        "ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only;"
        "DELETE FROM audit_log WHERE number > 2",
        "row 3 is missing: the log was cut",
    ),
}


@pytest.mark.parametrize(("script", "says"), FAULTS.values(), ids=FAULTS.keys())
async def test_whatever_does_not_add_up_is_named(
    dsn: str, world: World, head: Path, settings: Settings, script: str, says: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("cli.auditing.LOOK_AGAIN_S", 0.0)
    await people(world, 3 * SOL)
    await keep_log(dsn, world, head)
    assert (await audited(settings, capsys))["faults"] == []
    await world.execute(script)
    found = await audited(settings, capsys)
    assert any(says in fault for fault in found["faults"]), found["faults"]


async def test_a_head_is_adopted_only_for_a_log_that_is_whole(
    dsn: str, world: World, head: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await people(world, 3 * SOL)
    await keep_log(dsn, world, head)
    head.unlink()  # noqa: ASYNC240 - of a test's own folder
    assert "is gone" in (await audited(settings, capsys))["faults"][0]
    assert (await audited(settings, capsys, adopt_head=True))["faults"] == []
    assert (await audited(settings, capsys))["faults"] == []

    await world.execute(
        "ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only;"
        "DELETE FROM audit_log WHERE number = 2"
    )
    with pytest.raises(DoesNotAddUp, match="row 2 is missing"):
        await run_audit(settings, as_json=True, leaves=None, adopt_head=True)


async def test_a_log_that_was_written_anew_is_not_what_the_chain_says(
    dsn: str, world: World, head: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await people(world, 3 * SOL)
    await keep_log(dsn, world, head)
    assert await put_head(world.custody)
    assert not await put_head(world.custody)  # The log has not grown.

    async def landed() -> bool:
        return (
            await world.value("SELECT state FROM attempts WHERE memo LIKE 'r1 audit %'") == "LANDED"
        )

    await world.until(landed)
    await world.ledger_is_chain()
    found = await audited(settings, capsys)
    assert found["heads_on_chain"] == {"agree": 1, "differ": []}
    last = await world.value("SELECT max(number) FROM audit_log")

    # Everything of ours says the same again: rows, hashes, and the head that was kept apart.
    await world.execute(
        "ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only; DELETE FROM audit_log;"
        "ALTER TABLE acts DISABLE TRIGGER acts_append_only; DELETE FROM acts WHERE id = 1"
    )
    head.unlink()  # noqa: ASYNC240 - of a test's own folder
    await keep_log(dsn, world, head)
    await world.execute(
        "INSERT INTO acts (kind, subject, reason, who) VALUES ('pause','a','b','c')"
    )
    await keep_log(dsn, world, head)
    found = await audited(settings, capsys)
    assert found["log"]["rows"] == last
    assert found["heads_on_chain"] == {"agree": 0, "differ": [last]}
    assert f"another hash of row {last} of the audit log" in found["faults"][0]


async def test_a_head_is_not_signed_while_signing_is_paused(
    dsn: str, world: World, head: Path
) -> None:
    await keep_log(dsn, world, head)
    async with world.connections.acquire() as connection:
        await change(connection, Flag.SIGNING, open=False, reason="test")
    assert not await put_head(world.custody)
    assert await world.value("SELECT count(*) FROM attempts") == 0


async def test_a_memo_that_is_no_row_of_the_log_is_a_breach(
    dsn: str, world: World, head: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await keep_log(dsn, world, head)
    await put_head(world.custody)
    assert (await audited(settings, capsys))["faults"] == []
    await world.execute("UPDATE attempts SET memo = 'r1 audit 1 ' || repeat('0', 64)")
    found = await audited(settings, capsys)
    assert any("signed without a plan" in fault for fault in found["faults"])


async def test_a_pause_and_a_resume_are_said_and_written_down(
    world: World, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await pause(settings, Flag.BETS, "an odd price")
    await pause(settings, Flag.ALL, "an odd price")
    assert "nothing that began before is under way any more" in capsys.readouterr().out
    await resume(settings, Flag.ALL, "it was fine", despite=False)
    assert "still paused: new bets" in capsys.readouterr().out
    rows = await world.connections.fetch(
        "SELECT kind, subject, reason FROM acts WHERE who <> 'rooms' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [
        ("pause", "bets", "an odd price"),
        ("pause", "all", "an odd price"),
        ("resume", "all", "it was fine"),
    ]


async def test_nothing_is_resumed_while_the_ledger_shows_a_breach(
    world: World, settings: Settings
) -> None:
    await people(world, SOL)
    await pause(settings, Flag.ALL, "to see")
    await world.execute("UPDATE accounts SET balance = balance + 1 WHERE name = 'house'")
    with pytest.raises(NotResumed, match="lie somewhere and"):
        await resume(settings, Flag.ALL, "hurry", despite=False)
    assert await world.value("SELECT open FROM flags WHERE name = 'all'") is False
    await resume(settings, Flag.ALL, "known", despite=True)
    assert await world.value("SELECT open FROM flags WHERE name = 'all'") is True


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["pause", "bets", "--reason", "odd"], 0, "new bets: paused"),
        (["pause", "everything", "--reason", "odd"], 2, "choose one of bets, rooms"),
        (["pause", "bets"], 2, "--reason"),
    ],
)
async def test_the_commands_say_what_they_did(
    dsn: str, world: World, head: Path, words: list[str], code: int, says: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *words,
        env={**os.environ, **environment(dsn, world, head), "NO_COLOR": "1", "COLUMNS": "120"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert (process.returncode, says in out.decode()) == (code, True), out.decode()
