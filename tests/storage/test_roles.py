"""Each process may do what it does, and nothing else: one database role a process.

Every query of the product is planned as each role (planning checks rights, and changes nothing), so
that a query that is missing in `DOES` fails here before it fails in a process.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import asyncpg
import pytest_asyncio

import storage
from storage.connections import Connections, open_connections
from storage.sql import queries
from streams.bets import claim_bets
from tests.place import SOL, Place, made

ALL: Final = frozenset({"*"})
DOES: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "rooms_feeds": {"feeds": frozenset({"wanted"})},
    "rooms_worker": {
        "bets": frozenset(
            {
                "answer",
                "bettors",
                "claim",
                "feeds",
                "insert_bets",
                "insert_stakes",
                "moment",
                "pools",
                "queues",
                "stake_ids",
                "standings",
            }
        ),
        "crossings": ALL,
        "decisions": ALL,
        "derivations": frozenset({"wanted", "steps"}),
        "evidence": ALL,
        "feed_seconds": ALL,
        "feeds": frozenset({"all", "named"}),
        "flags": frozenset({"is_open", "known"}),
        "ledger": ALL,
        "open_rooms": ALL,
        "openings": ALL,
        "outbox": ALL,
        "plans": ALL,
        "rooms": ALL,
        "set_aside": ALL,
        "segments": frozenset({"of_stretch"}),
        "settlements": ALL,
        "outlooks": ALL,
        "tokens": frozenset({"all"}),
        "withdrawal_limits": frozenset({"all"}),
        "withdrawals": ALL,
    },
    "rooms_custody": {
        "addresses": ALL,
        "attempts": ALL,
        "audit": frozenset({"report"}),
        "audit_log": frozenset({"end"}),
        "deposit_hints": frozenset({"take", "forget"}),
        "deposits": ALL,
        "divisions": ALL,
        "evidence": frozenset({"of"}),
        "flags": frozenset({"is_open", "close"}),
        "settlements": frozenset({"stakes", "crossings"}),
        "leases": frozenset({"begin_epoch"}),
        "ledger": frozenset({"posted", "balances"}),
        "outbox": frozenset({"tell", "wake", "write"}),
        "plans": frozenset({"plan_refunds"}),
        "restores": ALL,
        "seals": ALL,
        "set_aside": ALL,
        "signing_requests": ALL,
        "tokens": ALL,
    },
    "rooms_bot": {
        "address_book": ALL,
        "buttons": ALL,
        "cards": ALL,
        "conversations": ALL,
        "derivations": frozenset({"define"}),
        "events": ALL,
        "feeds": frozenset({"all", "named", "offered", "draft"}),
        "intents": ALL,
        "ledger": frozenset({"balances"}),
        "notices": ALL,
        "outbox": frozenset({"wake"}),
        "outlooks": ALL,
        "people": ALL,
        "second_factors": ALL,
        "set_aside": ALL,
        "tokens": frozenset({"all"}),
        "updates": ALL,
        "withdrawal_limits": frozenset({"all"}),
    },
    "rooms_gateway": {
        "deposit_hints": frozenset({"hear"}),
        "events": ALL,
        "evidence": frozenset({"of"}),
        "feeds": frozenset({"all", "named"}),
    },
    "rooms_auditor": {
        "audit": ALL,
        "audit_log": frozenset({"end", "hash_at", "new_acts", "append", "rows", "unlike"}),
        "addresses": frozenset({"with_balances", "accounts_with_balances"}),
        "attempts": frozenset({"are_ours"}),
        "books": ALL,
        "deposits": frozenset({"cursors"}),
        "events": ALL,
        "flags": frozenset({"known"}),
        "health": ALL,
        "tokens": frozenset({"all"}),
    },
    "rooms_recorder": {
        "feed_seconds": frozenset({"memory_at", "between", "newest", "warm"}),
        "feeds": frozenset({"all", "named"}),
        "segments": ALL,
    },
}
NOUNS: Final = sorted(
    path.stem for path in Path(storage.__file__).parent.glob("*.sql") if path.stem != "schema"
)
ROLES: Final = sorted(DOES)
WRITES: Final = re.compile(
    r"\b(INSERT INTO|UPDATE \w|DELETE FROM|post_entries|make_accounts|lock_accounts|wake_up"
    r"|plan_\w+|report_breach|define_expression|begin_epoch|begin_restore|restore_\w+"
    r"|post_\w+|undo_deposit|close_flag|hear_deposits)\b"
)


def does(role: str, noun: str, name: str) -> bool:
    names = DOES[role].get(noun, frozenset())
    return names == ALL or name in names


def as_role(dsn: str, role: str) -> str:
    return dsn.replace("postgres@", f"{role}@")


@contextlib.asynccontextmanager
async def session(dsn: str, role: str) -> AsyncIterator[asyncpg.Connection]:
    """Come to a database as a role."""
    connection = await asyncpg.connect(as_role(dsn, role))
    try:
        yield connection
    finally:
        await connection.close()


async def refusal(connection: asyncpg.Connection, query: str) -> str | None:
    """Plan a query; say which right is missing, or None."""
    try:
        await connection.execute(f"EXPLAIN (GENERIC_PLAN) {query}")
    except asyncpg.InsufficientPrivilegeError as refused:
        return str(refused)
    return None


async def test_a_role_may_run_what_its_process_runs(dsn: str) -> None:
    refused = {}
    for role in ROLES:
        async with session(dsn, role) as connection:
            for noun in NOUNS:
                for name, query in queries(noun).items():
                    if does(role, noun, name) and (why := await refusal(connection, query)):
                        refused[f"{role} {noun}.{name}"] = why
    assert refused == {}


async def test_a_role_may_write_nothing_that_its_process_does_not_write(dsn: str) -> None:
    allowed = []
    for role in ROLES:
        async with session(dsn, role) as connection:
            for noun in NOUNS:
                for name, query in queries(noun).items():
                    if does(role, noun, name) or not WRITES.search(query):
                        continue
                    if await refusal(connection, query) is None:
                        allowed.append(f"{role} {noun}.{name}")
    assert allowed == SHARED


SHARED: Final = [
    "rooms_bot deposits.rescanned",
    "rooms_custody notices.position",
    "rooms_custody outbox.tell_bettors",
]
"""Allowed by its columns and refused by its row, as tried below."""

EVERYONE: Final = {
    "take the owner's rights": "SET ROLE postgres",
    "make a table": "CREATE TABLE mine (a integer)",
    "make a role": "CREATE ROLE mine",
    "change an entry": "UPDATE entries SET key = 'mine'",
    "delete a posting": "DELETE FROM postings",
    "write an entry": "INSERT INTO entries (key, digest) VALUES ('deposit:x:y', '')",
    "change a balance": "UPDATE accounts SET balance = balance + 1",
    "empty the ledger": "TRUNCATE postings, entries",
    "switch its triggers off": "SET session_replication_role = replica",
    "open what is paused": "UPDATE flags SET open = true",
    "set a flag": "INSERT INTO flags (name, open, reason) VALUES ('all', true, 'mine')",
    "plan a transfer by hand": "INSERT INTO transfers (key, kind, from_address, to_address,"
    " lamports, due_at) VALUES ('withdrawal:9', 'withdrawal', 'Address1', 'Mine', 1, 0)",
    "send a transfer elsewhere": "UPDATE transfers SET to_address = 'Mine'",
    "make a transfer larger": "UPDATE transfers SET lamports = lamports * 100",
    "give an address to another": "UPDATE addresses SET user_id = 2",
    "change the log": "UPDATE audit_log SET facts = '{}'",
    "cut the log": "DELETE FROM audit_log",
    "write an act of somebody": "INSERT INTO acts (kind, subject, reason, who)"
    " VALUES ('resume', 'all', 'mine', 'somebody')",
    "send a withdrawal elsewhere": "UPDATE withdrawals SET to_address = 'Mine'",
    "make a withdrawal larger": "UPDATE withdrawals SET lamports = lamports * 100",
    "make a stake larger": "UPDATE stakes SET lamports = lamports * 100",
    "take the other side": "UPDATE stakes SET side = 'NO'",
    "change a settlement": "UPDATE settlements SET house = house + 1",
    "raise a limit": "UPDATE withdrawal_limits SET value = value * 100",
    "let bets that come back cost more": "UPDATE bet_limits SET value = value * 100",
    "forget what bets that came back cost": "DELETE FROM returned_fees",
    "make an address old": "UPDATE address_book SET added_at = 0",
    "write down an old address": "INSERT INTO address_book (user_id, address, added_at)"
    " VALUES (1, 'Mine', 0)",
}
MUST_NOT: Final[Mapping[str, Mapping[str, str]]] = {
    "rooms_feeds": {
        "read a room": "SELECT FROM rooms",
        "read a person": "SELECT FROM users",
        "write a second": "UPDATE feed_seconds SET last = 1",
        "move its own wishes": "UPDATE feeds SET standing = true",
    },
    "rooms_worker": {
        "read an attempt": "SELECT FROM attempts",
        "write an attempt": "INSERT INTO attempts (signature, raw, last_valid_height, context_slot,"
        " fee_payer, memo) VALUES ('s', '', 1, 1, 'f', 'm')",
        "give an address": "INSERT INTO addresses (address, kind, user_id)"
        " VALUES ('Mine', 'user', 3)",
        "seal a pool": "UPDATE rooms SET sealed_yes = 1",
        "say that a stake landed": "UPDATE stakes SET state = 'LANDED'",
        "say that a transfer landed": "UPDATE transfers SET state = 'LANDED'",
        "ask for a withdrawal": "INSERT INTO withdrawals (key, user_id, to_address, lamports)"
        " VALUES ('k', 1, 'Mine', 1)",
        "bring in money": """SELECT post_entries('[{"key": "deposit:s:Address1", "digest": "d",
            "postings": [["chain:Address1", 5], ["available:1", 5]]}]')""",
        "post a payout": """SELECT post_entries('[{"key": "payout:1:1", "digest": "d",
            "postings": [["chain:Address1", 5], ["available:1", 5]]}]')""",
        "report a breach": "SELECT report_breach('k', 'r', 'w')",
        "read a PIN's hash": "SELECT pin_hash FROM second_factors",
        "give back what may still leave": """SELECT post_entries('[{"key": "release:withdrawal:1",
            "digest": "d", "postings": [["available:1", 5], ["held:1", -5]]}]')""",
    },
    "rooms_custody": {
        "ask for a bet": "INSERT INTO bet_requests (key, user_id, room_id, side, lamports)"
        " VALUES ('k', 1, 1, 'YES', 1)",
        "take a bet": "INSERT INTO bets (room_id, user_id, side) VALUES (1, 1, 'YES')",
        "take a stake": "INSERT INTO stakes (bet_id, room_id, user_id, side, lamports, weight_bps,"
        " accepted_at) VALUES (1, 1, 1, 'YES', 1, 1, 1)",
        "settle a room": "INSERT INTO settlements (room_id, outcome, pool, house, shares,"
        " evidence_hash, at) VALUES (1, 'YES', 1, 1, '[]', '', 1)",
        "ask for a withdrawal": "INSERT INTO withdrawals (key, user_id, to_address, lamports)"
        " VALUES ('k', 1, 'Mine', 1)",
        "clear a withdrawal": "UPDATE withdrawals SET due_at = 0",
        "move a lock": "UPDATE rooms SET lock_at = lock_at + 1",
        "change a limit": "UPDATE rooms SET stake_lamports_max = 1",
        "move a target": "UPDATE rooms SET target = 1",
        "plan a payout": "SELECT plan_payouts('{1}', '{1}', '{5}')",
        "plan a withdrawal": "SELECT plan_withdrawals('{1}')",
        "post anything": "SELECT post_entries('[]')",
        "put legs together": "SELECT post_legs('[]')",
        "write a deposit by hand": "INSERT INTO deposits (signature, address, lamports, slot,"
        " owner) VALUES ('s', 'Address1', 5, 1, 'available:1')",
        "bring a deposit to nobody": "SELECT post_deposit('s', 'Mine', 5, 0, 1, true, 1)",
        "post what has not landed": "SELECT post_receipts('{1}')",
        "give back what is under way": "SELECT post_releases('{1}')",
        "undo what never came": "SELECT undo_deposit('s', 'Address1')",
        "rebuild what was not forgotten": "SELECT restore_outcome('s', 1, 'YES')",
        "call something forgotten": "INSERT INTO forgotten (signature, slot, block_at, memo,"
        " placed_at) VALUES ('s', 1, 1, '', 1)",
        "reserve money": """SELECT post_entries('[{"key": "hold:stake:9", "digest": "d",
            "postings": [["available:1", -5], ["held:1", 5]]}]')""",
        "divide a pool": """SELECT post_entries('[{"key": "settlement:9", "digest": "d",
            "postings": [["available:1", -5], ["held:1", 5]]}]')""",
        "make the bot forget": "INSERT INTO cursors (name, position) VALUES ('notices', '0')",
    },
    "rooms_bot": {
        "read an attempt's bytes": "SELECT raw FROM attempts",
        "tell an event": "INSERT INTO outbox (topic, key, payload) VALUES ('events', '1', '{}')",
        "wake what is no stage": "SELECT wake_up('events')",
        "take a bet": "INSERT INTO bets (room_id, user_id, side) VALUES (1, 1, 'YES')",
        "answer a bet": "UPDATE bet_requests SET done_at = 1",
        "make a room": "UPDATE room_requests SET room_id = 1",
        "clear a withdrawal": "UPDATE withdrawals SET state = 'LEAVING'",
        "ask for one that is cleared": "INSERT INTO withdrawals (key, user_id, to_address,"
        " lamports, state) VALUES ('k', 1, 'Mine', 1, 'LEAVING')",
        "post anything": "SELECT post_entries('[]')",
        "lock an account": "SELECT lock_accounts('{house}')",
        "make deposits be read again": "INSERT INTO cursors (name, position)"
        " VALUES ('deposits:a', '0')",
        "say that histories were read": "INSERT INTO cursors (name, position)"
        " VALUES ('rescan', '')",
        "change a feed": "UPDATE feeds SET guards = '{}'",
    },
    "rooms_gateway": {
        "read a person": "SELECT FROM users",
        "read a bet": "SELECT FROM bets",
        "ask for a bet": "INSERT INTO bet_requests (key, user_id, room_id, side, lamports)"
        " VALUES ('k', 1, 1, 'YES', 1)",
        "wake a stage": "SELECT wake_up('bets')",
    },
    "rooms_auditor": {
        "post anything": "SELECT post_entries('[]')",
        "decide a room": "UPDATE rooms SET outcome = 'NO'",
        "sign anything": "INSERT INTO attempts (signature, raw, last_valid_height, context_slot,"
        " fee_payer, memo) VALUES ('s', '', 1, 1, 'f', 'm')",
        "wake a stage": "SELECT wake_up('bets')",
        "forget a breach": "DELETE FROM acts",
        "read a PIN's hash": "SELECT pin_hash FROM second_factors",
    },
    "rooms_recorder": {
        "read a person": "SELECT FROM users",
        "read a bet": "SELECT FROM bets",
        "write a second": "UPDATE feed_seconds SET last = 1",
        "change what was recorded": "UPDATE segments SET hash = 'mine'",
        "tell an event": "INSERT INTO outbox (topic, key, payload) VALUES ('events', '1', '{}')",
        "wake a stage": "SELECT wake_up('bets')",
    },
}
REFUSED: Final = (asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)


@pytest_asyncio.fixture
async def place(connections: Connections) -> Place:
    """Money, a room, a stake, a withdrawal, a planned transfer: something to spoil."""
    place = await made(connections)
    for user in (1, 2):
        await place.person(user, SOL)
    await place.room()
    await place.do("INSERT INTO users (id, chat_id, name) VALUES (3, 3, 'p')")
    await place.do("INSERT INTO bets (room_id, user_id, side) VALUES (1, 1, 'YES')")
    await place.do(
        "INSERT INTO stakes (bet_id, room_id, user_id, side, lamports, weight_bps, accepted_at)"
        " VALUES (1, 1, 1, 'YES', 5, 10000, 1)"
    )
    await place.do(
        "INSERT INTO withdrawals (key, user_id, to_address, lamports) VALUES ('w', 1, 'Out', 5)"
    )
    await place.do("SELECT plan_stakes('{1}')")
    return place


async def test_a_role_is_refused_what_it_must_not_do(dsn: str, place: Place) -> None:
    before = await sums(place)
    done = []
    for role in ROLES:
        async with session(dsn, role) as connection:
            for what, statement in {**EVERYONE, **MUST_NOT[role]}.items():
                with contextlib.suppress(*REFUSED):
                    await connection.execute(statement)
                    done.append(f"{role} may {what}")
    assert done == []
    assert await sums(place) == before


async def test_nobody_moves_another_s_cursor(dsn: str, place: Place) -> None:
    await place.do(
        "INSERT INTO cursors (name, position) VALUES ('notices','7'), ('deposits:a','s')"
    )
    for role, mine in (("rooms_bot", "notices"), ("rooms_custody", "deposits:a")):
        async with session(dsn, role) as connection:
            own = await connection.fetch(
                "UPDATE cursors SET position = position || '1' RETURNING name"
            )
        assert [row["name"] for row in own] == [mine]


async def test_the_worker_s_own_role_takes_a_bet(dsn: str, place: Place) -> None:
    asked = await place.ask_bet(2, "NO", 10_000_000)
    async with open_connections(as_role(dsn, "rooms_worker"), name="worker") as connections:
        assert await claim_bets(place.money(connections=connections)) == 1
    assert await place.refusals() == [None]
    assert await place.value("SELECT stake_id FROM bet_requests WHERE id = $1", asked) is not None
    assert await place.column("SELECT key FROM transfers ORDER BY id") == ["stake:1", "stake:2"]
    await place.books_agree()


async def sums(place: Place) -> list[dict[str, object]]:
    return await place.rows(
        "SELECT (SELECT count(*) FROM entries) AS entries,"
        " (SELECT sum(balance) FROM accounts) AS balances,"
        " (SELECT count(*) FROM transfers) AS transfers,"
        " (SELECT count(*) FROM addresses) AS addresses,"
        " (SELECT sum(lamports) FROM withdrawals) AS withdrawals,"
        " (SELECT count(*) FROM flags WHERE open) AS open"
    )
