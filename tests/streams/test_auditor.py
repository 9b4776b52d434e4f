"""The auditor, as its own role: every breach that the ledger can show pauses everything.

Each breach is made by the database's owner with triggers and constraints out of the way, as a fault
of ours or a thief with the owner's password would.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chain.providers import Providers
from chain.settings import ChainSettings, Endpoint
from rooms import ledger
from rooms.audit import Rule
from rooms.audit_log import BadRow, Head
from rooms.units import Lamports, UnixMs
from storage import audit, audit_log
from storage import ledger as ledger_rows
from storage.connections import open_connections, transaction
from storage.flags import Flag, change, is_open
from streams.auditor import (
    FLOOR_S,
    PAUSE_S,
    Auditor,
    add_to_log,
    begin,
    look_at_all,
    look_at_news,
    run_auditor,
    verify_log,
)
from streams.bets import claim_bets
from streams.withdrawals import claim_asked
from tests.place import SOL, Place

UNREACHABLE = tuple(Endpoint(name, f"http://127.0.0.1:1/{name}") for name in ("one", "two"))


@pytest_asyncio.fixture
async def auditor(dsn: str, place: Place, tmp_path: Path) -> AsyncIterator[Auditor]:
    """An auditor of a place with money, a room, stakes, transfers and attempts in it."""
    await fill(place)
    async with (
        open_connections(dsn.replace("postgres@", "rooms_auditor@"), name="auditor") as own,
        Providers.of(ChainSettings(endpoints=UNREACHABLE)) as providers,
    ):
        yield Auditor(
            connections=own,
            providers=providers,
            head_path=tmp_path / "audit-head",
            clock=lambda: UnixMs(0),
        )


async def fill(place: Place) -> None:
    """Two people with money, one with a stake in a room and a live attempt of it."""
    for user in (1, 2):
        await place.person(user, 10 * SOL)
    await place.room()
    await place.ask_bet(1, "YES", SOL)
    assert await claim_bets(place.money()) == 1
    await attempt(place, "attempt1", 1)


async def attempt(
    place: Place, signature: str, transfer: int | None, state: str = "SIGNED"
) -> None:
    await place.do(
        "INSERT INTO attempts (signature, raw, last_valid_height, context_slot, fee_payer, memo,"
        " state) VALUES ($1, '', 1, 1, 'f', 'm', $2)",
        signature,
        state,
    )
    if transfer is not None:
        await place.do("INSERT INTO attempt_transfers SELECT max(id), $1 FROM attempts", transfer)


async def spoil(place: Place, script: str) -> None:
    """Run statements as the owner, with triggers and foreign keys switched off."""
    async with place.connections.acquire() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL session_replication_role = replica; {script}")


async def look(auditor: Auditor) -> None:
    await look_at_news(auditor)
    await look_at_all(auditor)


async def reported(place: Place) -> set[str]:
    return set(await place.column("SELECT subject FROM acts WHERE kind = 'breach'"))


async def all_open(place: Place) -> bool:
    return bool(await place.value("SELECT open FROM flags WHERE name = 'all'"))


ENTRY = "INSERT INTO entries (key, digest) VALUES ('deposit:x:Address2', 'd');"
LEG = (
    "INSERT INTO postings SELECT (SELECT max(id) FROM entries), name, {by}, balance + {by},"
    " version + 1 FROM accounts WHERE name = '{name}';"
    " UPDATE accounts SET balance = balance + {by}, version = version + 1 WHERE name = '{name}';"
)
NEW = {
    "an entry that brings money from nowhere": (
        ENTRY + LEG.format(by=5, name="available:2"),
        Rule.UNBALANCED,
    ),
    "an entry that says nothing": (ENTRY, Rule.UNBALANCED),
    "a posting that counts wrong": (
        ENTRY
        + LEG.format(by=5, name="available:2")
        + LEG.format(by=5, name="chain:Address2")
        + "UPDATE postings SET balance = balance + 9"
        " WHERE account = 'chain:Address2' AND version = 2;"
        "UPDATE accounts SET balance = balance + 9 WHERE name = 'chain:Address2';",
        Rule.BROKEN_ACCOUNT,
    ),
    "a posting that leaves a number out": (
        ENTRY
        + LEG.format(by=5, name="available:2")
        + LEG.format(by=5, name="chain:Address2")
        + "UPDATE postings SET version = 7 WHERE account = 'chain:Address2' AND version = 2;"
        "UPDATE accounts SET version = 7 WHERE name = 'chain:Address2';",
        Rule.BROKEN_ACCOUNT,
    ),
    "a posting that takes more than there is": (
        "ALTER TABLE accounts DROP CONSTRAINT accounts_balance_check;"
        "ALTER TABLE postings DROP CONSTRAINT postings_balance_check;"
        + ENTRY
        + LEG.format(by=-11 * SOL, name="available:2")
        + LEG.format(by=-11 * SOL, name="chain:Address2"),
        Rule.NEGATIVE,
    ),
    "a posting that its account does not follow": (
        ENTRY
        + LEG.format(by=5, name="available:2")
        + LEG.format(by=5, name="chain:Address2")
        + "UPDATE accounts SET balance = balance - 5 WHERE name = 'chain:Address2'",
        Rule.NOT_ITS_POSTINGS,
    ),
    "a stake that landed and was given back": (
        """SELECT post_entries('[
            {"key": "release:stake:1", "digest": "d", "postings":
                [["held:1", -500000000], ["available:1", 500000000]]},
            {"key": "stake:1", "digest": "d", "postings":
                [["held:1", -500000000], ["available:1", 500000000]]}]')""",
        Rule.TWO_EFFECTS,
    ),
    "a stake that nothing was held for": (
        """SELECT post_entries('[{"key": "stake:9", "digest": "d", "postings":
            [["held:1", -5], ["available:1", 5]]}]')""",
        Rule.TWO_EFFECTS,
    ),
    "the same effect twice": (
        "ALTER TABLE entries DROP CONSTRAINT entries_key_key;"
        "INSERT INTO entries (key, digest)"
        " SELECT key, digest FROM entries WHERE key LIKE 'hold:%';",
        Rule.TWO_EFFECTS,
    ),
    "an attempt without a plan": (
        "INSERT INTO attempts (signature, raw, last_valid_height, context_slot, fee_payer, memo)"
        " VALUES ('mine', '', 1, 1, 'f', 'm')",
        Rule.UNPLANNED,
    ),
    "a transfer without a cause": (
        "INSERT INTO transfers (key, kind, user_id, subject_id, from_address, to_address, lamports,"
        " due_at) VALUES ('withdrawal:9', 'withdrawal', 1, 9, 'Address1', 'Mine', 5, 0)",
        Rule.UNCAUSED,
    ),
    "a withdrawal to another address": (
        "INSERT INTO withdrawals (key, user_id, to_address, lamports) VALUES ('w', 1, 'Out', 5);"
        "INSERT INTO transfers (key, kind, user_id, subject_id, from_address, to_address, lamports,"
        " due_at) SELECT 'withdrawal:' || id, 'withdrawal', 1, id, 'Address1', 'Mine', 5, 0"
        " FROM withdrawals",
        Rule.UNCAUSED,
    ),
    "a payout to who did not win": (
        "INSERT INTO settlements (room_id, outcome, pool, house, shares, evidence_hash, at)"
        f" VALUES (1, 'NO', {SOL}, 0, '[]', '', 1);"
        "INSERT INTO transfers (key, kind, room_id, user_id, from_address, to_address, lamports,"
        " due_at) VALUES ('payout:1:1', 'payout', 1, 1, 'Vault1', 'Address1', 5, 0)",
        Rule.UNCAUSED,
    ),
}
STATE = {
    "an account below nothing": (
        "ALTER TABLE accounts DROP CONSTRAINT accounts_balance_check;"
        "UPDATE accounts SET balance = -5 WHERE name = 'held:1'",
        Rule.NEGATIVE,
    ),
    "a lamport that was given away": (
        "UPDATE accounts SET balance = balance + 1 WHERE name = 'available:2'",
        Rule.BOOKS_DIFFER,
    ),
    "a balance that no posting says": (
        "UPDATE accounts SET balance = balance + 1 WHERE name IN ('available:2', 'chain:Address2')",
        Rule.NOT_ITS_POSTINGS,
    ),
    "money that lies at one address and is claimed at another": (
        "UPDATE accounts SET balance = balance - 1 WHERE name = 'available:1';"
        "UPDATE accounts SET balance = balance + 1 WHERE name = 'available:2'",
        Rule.CLAIMS_DIFFER,
    ),
    "the house's money that is nowhere": (
        "INSERT INTO accounts (name, balance) VALUES ('house', 5)",
        Rule.CLAIMS_DIFFER,
    ),
    "an account at a strange address": (
        "INSERT INTO accounts (name, balance) VALUES ('chain:Mine', 5)",
        Rule.STRANGE_ACCOUNT,
    ),
    "two live attempts of a transfer": (
        "DROP INDEX attempt_transfers_one_live;"
        "INSERT INTO attempts (signature, raw, last_valid_height, context_slot, fee_payer, memo)"
        " VALUES ('again', '', 1, 1, 'f', 'm');"
        "INSERT INTO attempt_transfers SELECT max(id), 1 FROM attempts",
        Rule.TWO_ATTEMPTS,
    ),
    "a transfer that landed twice": (
        "INSERT INTO attempts (signature, raw, last_valid_height, context_slot, fee_payer, memo,"
        " state) SELECT s, '', 1, 1, 'f', 'm', 'LANDED' FROM (VALUES ('a'), ('b')) t (s);"
        "INSERT INTO attempt_transfers SELECT id, 1, false FROM attempts WHERE state = 'LANDED'",
        Rule.LANDED_TWICE,
    ),
}
OLD = {
    "an amount of long ago": (
        "UPDATE postings SET lamports = lamports + 1 WHERE account = 'available:1' AND version = 1",
        Rule.UNBALANCED,
    ),
    "a posting of long ago that is gone": (
        "DELETE FROM postings WHERE account = 'available:1' AND version = 1",
        Rule.BROKEN_ACCOUNT,
    ),
    "a transfer that was made larger": (
        "UPDATE transfers SET lamports = lamports * 100",
        Rule.UNCAUSED,
    ),
    "a transfer that was sent elsewhere": (
        "UPDATE transfers SET to_address = 'Mine'",
        Rule.UNCAUSED,
    ),
}


def cases(table: dict[str, tuple[str, Rule]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("script", "rule"), table.values(), ids=table.keys())


@cases(NEW)
async def test_what_is_written_wrong_pauses_everything(
    auditor: Auditor, place: Place, script: str, rule: Rule
) -> None:
    await begin(auditor)
    await look(auditor)
    assert await reported(place) == set()

    await spoil(place, script)
    await look_at_news(auditor)

    assert rule in await reported(place)
    assert not await all_open(place)


@cases(STATE)
async def test_what_is_changed_in_place_pauses_everything(
    auditor: Auditor, place: Place, script: str, rule: Rule
) -> None:
    await begin(auditor)
    await spoil(place, script)
    await look_at_all(auditor)

    assert rule in await reported(place)
    assert not await all_open(place)


@cases(OLD)
async def test_what_is_changed_of_long_ago_is_found_too(
    auditor: Auditor, place: Place, script: str, rule: Rule
) -> None:
    await begin(auditor)
    await look(auditor)
    await spoil(place, script)
    await look_at_news(auditor)
    await look_at_all(auditor)

    assert rule in await reported(place)
    assert not await all_open(place)


async def test_a_life_without_faults_is_no_breach(auditor: Auditor, place: Place) -> None:
    await begin(auditor)
    for user in (3, 4):
        await place.person(user, SOL)
    for user, side in ((3, "NO"), (4, "YES"), (2, "NO"), (1, "YES")):
        await place.ask_bet(user, side, SOL // 10)
    await claim_bets(place.money())
    await place.do(
        "INSERT INTO withdrawals (key, user_id, to_address, lamports)"
        " VALUES ('w', 2, '8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh', $1)",
        SOL // 10,
    )
    await claim_asked(place.money())
    await look(auditor)
    assert await place.value("SELECT count(*) FROM transfers") == 5
    assert await reported(place) == set()
    assert await all_open(place)


async def test_f79_a_division_that_pays_a_hundred_times_is_stopped(
    auditor: Auditor, place: Place
) -> None:
    """F79: the stages plan payouts of 100 times the pool; I5, I8: nothing of it is signed."""
    await begin(auditor)
    await spoil(
        place,
        f"INSERT INTO settlements (room_id, outcome, pool, house, shares, evidence_hash, at)"
        f" VALUES (1, 'YES', {SOL}, 0, '[]', '', 1);"
        f"SELECT plan_payouts('{{1}}', '{{1}}', '{{{100 * SOL}}}')",
    )
    await look_at_news(auditor)
    assert await reported(place) == {Rule.OVERPAID}
    async with transaction(place.connections) as connection:
        assert not await is_open(connection, Flag.SIGNING)


@pytest.mark.parametrize("script", [NEW["an attempt without a plan"][0], STATE[
    "a lamport that was given away"][0]], ids=["written", "changed in place"])  # fmt: skip
async def test_a_running_auditor_pauses_within_a_second(
    auditor: Auditor, place: Place, script: str
) -> None:
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_auditor(auditor, ready.set))
        await ready.wait()
        await spoil(place, script)
        async with asyncio.timeout(5):  # of a busy machine; by itself it is a second at most
            while await all_open(place):  # noqa: ASYNC110 - a row rings no bell
                await asyncio.sleep(0.01)
        running.cancel()
    assert FLOOR_S + PAUSE_S < 1
    assert await place.value("SELECT count(*) FROM acts WHERE kind = 'breach'") >= 1


async def test_a_breach_pauses_once_and_a_new_one_again(auditor: Auditor, place: Place) -> None:
    await begin(auditor)
    await spoil(place, STATE["a lamport that was given away"][0])
    await look(auditor)
    async with transaction(place.connections) as connection:
        await change(connection, Flag.ALL, open=True, reason="known, being mended", who="ann")

    await look(auditor)
    assert await all_open(place)
    await spoil(place, STATE["an account at a strange address"][0])
    await look(auditor)
    assert not await all_open(place)


# The log ------------------------------------------------------------------------------------------


async def logged(place: Place) -> list[str]:
    return await place.column("SELECT kind FROM audit_log ORDER BY number")


async def test_acts_and_events_about_money_get_one_row_each(auditor: Auditor, place: Place) -> None:
    flags_opened = len(Flag)
    await add_to_log(auditor)
    assert await logged(place) == ["resume"] * flags_opened
    await place.do(
        """
        INSERT INTO outbox (topic, key, payload, number) VALUES
            ('events', '1', '{"kind": "room.opened", "at": 5, "room": "1"}', 1),
            ('events', '1', '{"kind": "room.sealed", "at": 6, "room": "1", "yes": "7"}', 2),
            ('events', '1', '{"kind": "room.decided", "at": 7, "room": "1"}', null)
        """
    )
    async with transaction(place.connections) as connection:
        await change(connection, Flag.BETS, open=False, reason="why not", who="ann")
    seen = await add_to_log(auditor)
    assert (await logged(place))[flags_opened:] == ["pause", "room.sealed"]
    await place.do("UPDATE outbox SET number = 3 WHERE number IS NULL AND topic = 'events'"
                   " AND payload ->> 'kind' = 'room.decided'")  # fmt: skip
    await add_to_log(auditor, seen)
    await add_to_log(auditor)  # as a new process does, which remembers nothing
    assert (await logged(place))[flags_opened:] == ["pause", "room.sealed", "room.decided"]
    facts = await place.value("SELECT facts FROM audit_log WHERE kind = 'pause'")
    assert facts == {"subject": "bets", "reason": "why not", "who": "ann", "role": "postgres"}
    assert await verify_log(auditor)
    head = audit_log.read_head(auditor.head_path)
    assert head is not None
    assert head.number == flags_opened + 3


async def test_a_breach_is_in_the_log(auditor: Auditor, place: Place) -> None:
    await begin(auditor)
    await spoil(place, STATE["an account at a strange address"][0])
    await look(auditor)
    await add_to_log(auditor)
    facts = await place.rows("SELECT facts FROM audit_log WHERE kind = 'breach' ORDER BY number")
    assert {"role": "rooms_auditor", "who": "auditor"}.items() <= facts[-1]["facts"].items()


TAMPERED = {
    "altered": ("UPDATE audit_log SET facts = '{}' WHERE number = 3", 3),
    "altered with its hash": ("UPDATE audit_log SET facts = '{}', hash = repeat('ab', 32)"
                              " WHERE number = 3", 3),
    "deleted": ("DELETE FROM audit_log WHERE number = 3", 3),
    "renumbered": ("DELETE FROM audit_log WHERE number = 3;"
                   "UPDATE audit_log SET number = number - 1 WHERE number > 3", 3),
    "truncated": ("DELETE FROM audit_log WHERE number > 3", 4),
    "emptied": ("TRUNCATE audit_log", 1),
    "an act behind a row altered": ("UPDATE acts SET reason = 'another' WHERE id = 2", 2),
    "an act behind a row deleted": ("ALTER TABLE audit_log DROP CONSTRAINT audit_log_act_fkey;"
                                    "DELETE FROM acts WHERE id = 2", 2),
}  # fmt: skip


@pytest.mark.parametrize(("script", "bad"), TAMPERED.values(), ids=TAMPERED.keys())
async def test_f77_a_log_that_was_tampered_with_is_found_and_not_added_to(
    auditor: Auditor, place: Place, script: str, bad: int
) -> None:
    """F77: rows are altered, deleted, cut off by the owner; I10: the first bad row is named."""
    await add_to_log(auditor)
    kept = audit_log.read_head(auditor.head_path)
    assert kept is not None
    assert kept.number == 5
    await spoil(place, script)

    async with place.connections.acquire() as connection:
        found = await audit_log.verify_all(connection, kept)
    assert found.number == bad
    assert isinstance(found, BadRow)
    assert not await verify_log(auditor)
    assert await reported(place) == {Rule.AUDIT_LOG}
    assert not await all_open(place)


@pytest.mark.parametrize("script", ["TRUNCATE audit_log", "DELETE FROM audit_log WHERE number > 2"])
async def test_f77_a_running_auditor_hides_no_cut(
    auditor: Auditor, place: Place, script: str
) -> None:
    """F77: a log that was cut is not continued, so that its end stays where it was cut."""
    await add_to_log(auditor)
    kept = audit_log.read_head(auditor.head_path)
    await spoil(place, script)
    left = len(await logged(place))

    await add_to_log(auditor)
    assert len(await logged(place)) == left
    assert audit_log.read_head(auditor.head_path) == kept
    assert await reported(place) == {Rule.AUDIT_LOG}


async def test_f77_a_log_whose_kept_head_is_gone_is_not_trusted(
    auditor: Auditor, place: Place
) -> None:
    await add_to_log(auditor)
    auditor.head_path.unlink()
    assert not await verify_log(auditor)
    assert await reported(place) == {Rule.AUDIT_LOG}


async def test_to_die_before_the_first_head_is_kept_is_no_breach(
    auditor: Auditor, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = audit_log.write_head

    def die_at_the_first_row(path: Path, head: Head) -> None:
        if head.number:
            raise InterruptedError
        write(path, head)

    monkeypatch.setattr(audit_log, "write_head", die_at_the_first_row)
    with pytest.raises(InterruptedError):
        await add_to_log(auditor)
    monkeypatch.undo()

    await add_to_log(auditor)
    assert await verify_log(auditor)
    assert await reported(place) == set()


async def test_two_looks_far_apart_see_everything_between(auditor: Auditor, place: Place) -> None:
    """An entry that commits after one with a higher number is looked at all the same."""
    await begin(auditor)
    async with place.connections.acquire() as late, place.connections.acquire() as prompt:
        slow = late.transaction()
        await slow.start()
        await late.execute("SET LOCAL session_replication_role = replica")
        await late.execute(ENTRY + LEG.format(by=5, name="available:2"))
        async with prompt.transaction():
            await ledger_rows.post(prompt, [ledger.hold("stake:77", 1, Lamports(5))])
        await look_at_news(auditor)
        await look_at_news(auditor)
        assert await reported(place) == set()
        await slow.commit()
    await look_at_news(auditor)
    assert Rule.UNBALANCED in await reported(place)


async def test_what_is_owed_is_what_is_claimed(place: Place) -> None:
    await fill(place)
    async with place.connections.acquire() as connection:
        owed = await audit.owed(connection)
    assert owed.people == {1: 10 * SOL, 2: 10 * SOL}
    assert (owed.liabilities, owed.unaccounted) == (20 * SOL, 0)
