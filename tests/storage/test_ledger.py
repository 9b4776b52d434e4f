"""The ledger takes entries once and whole, refuses what must not be, and never deadlocks."""

import asyncio
import json
from random import Random

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooms import ledger
from rooms.ledger import HOUSE, Account, Entry, Posting
from rooms.refusal import Impossible
from rooms.units import Address, Lamports, Signature
from storage import ledger as accounts
from storage.connections import Connections, transaction
from tests.place import Place

ANA = Address("AddressAna")


def deposit(name: str, lamports: int, owner: Account = HOUSE) -> Entry:
    return ledger.deposit(Signature(name), ANA, Lamports(lamports), owner)


async def post(connections: Connections, *entries: Entry) -> list[str]:
    async with transaction(connections) as connection:
        return await accounts.post(connection, entries)


async def post_raw(connections: Connections, key: str, *legs: tuple[str, int]) -> None:
    """Go round `rooms.ledger.Entry`, which refuses what does not balance."""
    wanted = [{"key": key, "digest": json.dumps(legs), "postings": legs}]
    async with transaction(connections) as connection:
        await connection.execute("SELECT post_entries($1)", wanted)


async def test_an_entry_is_posted_and_its_balances_read(connections: Connections) -> None:
    assert await post(connections, deposit("s1", 5)) == [f"deposit:s1:{ANA}"]

    async with connections.acquire() as connection:
        assert await accounts.balance(connection, HOUSE) == 5
        assert await accounts.balances(connection, [ledger.chain(ANA), ledger.held(1)]) == {
            ledger.chain(ANA): 5,
            ledger.held(1): 0,
        }


async def test_no_entries_write_nothing(connections: Connections) -> None:
    assert await post(connections) == []


async def test_the_same_entry_twice_is_posted_once(connections: Connections) -> None:
    entry = deposit("s1", 5)
    await post(connections, entry)
    assert await post(connections, entry, deposit("s2", 1)) == [f"deposit:s2:{ANA}"]
    await Place(connections).books_agree()
    async with connections.acquire() as connection:
        assert await accounts.balance(connection, HOUSE) == 6


async def test_the_order_of_an_entrys_postings_says_nothing(connections: Connections) -> None:
    entry = deposit("s1", 5)
    await post(connections, entry)
    assert await post(connections, Entry(entry.key, entry.postings[::-1])) == []


async def test_the_same_entry_twice_in_one_call_is_posted_once(connections: Connections) -> None:
    assert len(await post(connections, deposit("s1", 5), deposit("s1", 5))) == 1
    await Place(connections).books_agree()


async def test_a_key_with_other_postings_is_refused(connections: Connections) -> None:
    await post(connections, deposit("s1", 5))
    with pytest.raises(asyncpg.UniqueViolationError, match="with other postings: deposit:s1"):
        await post(connections, deposit("s2", 1), deposit("s1", 6))
    async with connections.acquire() as connection:
        assert await accounts.posted(connection, [f"deposit:s2:{ANA}"]) == set()


async def test_a_key_with_other_postings_in_one_call_is_refused(connections: Connections) -> None:
    with pytest.raises(asyncpg.UniqueViolationError, match="with other postings"):
        await post(connections, deposit("s1", 5), deposit("s1", 6))


async def test_a_key_with_other_postings_is_refused_while_the_first_is_being_written(
    connections: Connections,
) -> None:
    async with connections.acquire() as first, connections.acquire() as second:
        began = first.transaction()
        await began.start()
        await accounts.post(first, [deposit("s1", 5)])
        waiting = asyncio.create_task(
            accounts.post(second, [deposit("s1", 6, ledger.available(7))])
        )
        await Place(connections).somebody_waits()
        await began.commit()
        with pytest.raises(asyncpg.UniqueViolationError, match="with other postings"):
            await waiting


async def test_postgres_refuses_an_entry_that_does_not_balance_at_commit(
    connections: Connections,
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance: where - whose = 1"):
        await post_raw(connections, "k", ("chain:a", 5), ("house", 4))
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await post_raw(connections, "k", ("available:1", 5), ("held:1", 4))
    assert await connections.fetchval("SELECT count(*) FROM entries") == 0


async def test_postgres_refuses_an_entry_without_postings(connections: Connections) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await post_raw(connections, "k")


async def test_no_balance_goes_below_nothing(connections: Connections) -> None:
    await post(connections, deposit("s1", 5, ledger.available(1)))
    with pytest.raises(asyncpg.CheckViolationError, match="balance_check"):
        await post(connections, ledger.hold("stake:1", 1, Lamports(6)))
    async with connections.acquire() as connection:
        assert await accounts.balance(connection, ledger.available(1)) == 5


async def test_an_account_is_locked_before_it_was_ever_used(connections: Connections) -> None:
    async with transaction(connections) as connection:
        lying = await accounts.lock(connection, [ledger.available(9), ledger.held(9)])
    assert lying == {ledger.available(9): 0, ledger.held(9): 0}


@pytest.mark.parametrize("table", ["entries", "postings"])
async def test_what_is_posted_is_never_changed(connections: Connections, table: str) -> None:
    await post(connections, deposit("s1", 5))
    column = {"entries": "key", "postings": "account"}[table]
    for change in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
        with pytest.raises(asyncpg.RestrictViolationError, match="append only"):
            await connections.execute(change)


async def test_after_a_lost_answer_the_key_says_what_happened(connections: Connections) -> None:
    class AnswerLostError(Exception):
        pass

    entry = deposit("s1", 5)

    async def commit_and_lose_the_answer() -> None:
        await post(connections, entry)
        raise AnswerLostError

    with pytest.raises(AnswerLostError):
        await commit_and_lose_the_answer()
    async with connections.acquire() as connection:
        assert await accounts.posted(connection, [entry.key, "other"]) == {entry.key}
    assert await post(connections, entry) == []


async def test_two_hundred_tasks_share_five_accounts_without_a_deadlock(
    connections: Connections,
) -> None:
    users = range(1, 6)
    for user in users:
        await post(connections, deposit(f"s{user}", 1_000, ledger.available(user)))
    random = Random(5)
    pairs = [random.sample(users, 2) for _ in range(200)]

    async def swap(number: int, one: int, other: int) -> None:
        entry = Entry(
            f"move:{number}",
            (Posting(ledger.available(one), -1), Posting(ledger.available(other), 1)),
        )
        await post(connections, entry, ledger.hold(f"stake:{number}", other, Lamports(1)))

    async with asyncio.TaskGroup() as tasks:
        for number, (one, other) in enumerate(pairs):
            tasks.create_task(swap(number, one, other))

    place = Place(connections)
    await place.books_agree()
    assert await place.value("SELECT count(*) FROM entries") == 405
    gaps = await place.rows(
        "SELECT account FROM postings GROUP BY account"
        " HAVING min(version) <> 1 OR max(version) <> count(*)"
    )
    assert gaps == []


USERS = st.integers(1, 3)
AMOUNTS = st.integers(1, 9)


@st.composite
def facts(draw: st.DrawFn) -> Entry:
    number = draw(st.integers(0, 30))
    user, lamports = draw(USERS), Lamports(draw(AMOUNTS))
    match draw(st.sampled_from(["deposit", "hold", "release", "stake", "settlement"])):
        case "deposit":
            return ledger.deposit(
                Signature(str(number)), ANA, lamports, draw(st.sampled_from(OWNERS))
            )
        case "hold":
            return ledger.hold(f"stake:{number}", user, lamports)
        case "release":
            return ledger.release(f"stake:{number}", user, lamports)
        case "stake":
            return ledger.stake(number, user, 1, ANA, Address("V"), lamports, in_time=True)
        case _:
            return ledger.settlement(1, lamports)


OWNERS = [HOUSE, *(ledger.available(user) for user in (1, 2, 3))]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=st.lists(facts(), max_size=25))
async def test_the_ledger_is_the_plain_model(connections: Connections, wanted: list[Entry]) -> None:
    await connections.execute("TRUNCATE postings, entries, accounts")
    taken: dict[str, Entry] = {}
    for entry in wanted:
        after = ledger.balances([*taken.values(), entry])
        known = taken.get(entry.key)
        fits = min(after.values()) >= 0 and known is None
        if fits:
            assert await post(connections, entry) == [entry.key]
            taken[entry.key] = entry
        elif known is not None and accounts.digest(known) == accounts.digest(entry):
            assert await post(connections, entry) == []
        else:
            with pytest.raises((asyncpg.CheckViolationError, asyncpg.UniqueViolationError)):
                await post(connections, entry)
    rows = await connections.fetch("SELECT name, balance FROM accounts WHERE balance <> 0")
    model = {each.name: left for each, left in ledger.balances(taken.values()).items() if left}
    assert {row["name"]: row["balance"] for row in rows} == model
    await Place(connections).books_agree()


def test_an_entry_that_does_not_balance_cannot_be_written_in_python() -> None:
    with pytest.raises(Impossible, match="what moves between places moves between owners"):
        Entry("k", (Posting(ledger.chain(ANA), 1), Posting(HOUSE, 2)))
