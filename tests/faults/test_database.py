"""The ledger and its database: killed, cut, slow, cancelled; nothing is lost or done twice."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from asyncpg.pool import PoolConnectionProxy

from rooms import ledger
from rooms.units import BlockHeight, Lamports, Signature, Slot
from sandbox.postgres import (
    PostgresSettings,
    ensure_database,
    program,
    running_postgres,
    system_user,
)
from storage import attempts
from storage import ledger as accounts
from storage.again import PASSING, again
from storage.connections import Connections, open_connections, transaction
from storage.migrate import migrate
from streams.bets import claim_bets
from streams.money import Money
from streams.wake import drain
from streams.withdrawals import claim_asked, claim_cancelled, claim_due
from tests.faults.proxy import Proxy, proxy_to
from tests.place import SOL, Place, made
from tests.postgres import free_port

OUTSIDE = "67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb"
BET = 10_000_000


@pytest_asyncio.fixture
async def place(connections: Connections) -> Place:
    place = await made(connections)
    for user in range(1, 6):
        await place.person(user, 9 * SOL)
    await place.room()
    return place


@asynccontextmanager
async def through_a_proxy(dsn: str, size_max: int = 4) -> AsyncIterator[tuple[Proxy, Connections]]:
    """Give connections to the database of a test that go through a proxy."""
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    async with proxy_to(port) as proxy:
        by_proxy = dsn.replace(f":{port}/", f":{proxy.port}/")
        async with open_connections(by_proxy, name="proxied", size_max=size_max) as connections:
            yield proxy, connections


async def ask_bets(place: Place, count: int) -> None:
    for number in range(count):
        user = number % 5 + 1
        await place.ask_bet(user, "YES" if user % 2 else "NO", BET)


async def each_bet_once(place: Place, count: int) -> None:
    """Check I1–I3: every request has one stake, one hold and one plan, and the books agree."""
    assert await place.value("SELECT count(*) FROM bet_requests WHERE done_at IS NOT NULL") == count
    taken = await place.value("SELECT count(*) FROM bet_requests WHERE stake_id IS NOT NULL")
    for table in ("stakes", "transfers", "entries WHERE key LIKE 'hold:%'"):
        assert await place.value(f"SELECT count(*) FROM {table}") == taken
    assert taken > 0
    await place.books_agree()


async def judge_and_let_go(money: Money) -> None:
    await drain([lambda: claim_asked(money), lambda: claim_due(money)])


class Killed(Exception):
    """The process has ended here."""


def die_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Let the connection, and whoever uses it, end before the ``step``-th statement.

    Return a list that has the step in it once that has happened.
    """
    left = step
    died: list[int] = []

    def counted(of: type, name: str) -> Any:  # noqa: ANN401 - whatever asyncpg's method is
        plain = getattr(of, name)

        async def call(self: Any, *arguments: object, **options: object) -> object:  # noqa: ANN401
            nonlocal left
            left -= 1
            if left == 0:
                died.append(step)
                self.terminate()
                raise Killed
            return await plain(self, *arguments, **options)

        return call

    # A pool lends its own kind of connection; a transaction begins and commits on the bare one.
    for of in (asyncpg.Connection, PoolConnectionProxy):
        for name in ("execute", "fetch", "fetchval", "fetchrow"):
            monkeypatch.setattr(of, name, counted(of, name))
    return died


async def test_f1_a_worker_that_dies_at_any_statement_of_a_withdrawal_loses_and_repeats_nothing(
    place: Place, dsn: str
) -> None:
    """F1: the connection ends before the k-th statement, k = 1..n; I1, I3, I4."""
    step = 0
    while True:
        step += 1
        await place.do(
            "INSERT INTO withdrawals (key, user_id, to_address, lamports) VALUES ($1, 1, $2, $3)",
            f"w{step}", OUTSIDE, 2_000_000,
        )  # fmt: skip
        async with open_connections(dsn, name="dying", size_max=1) as dying:
            with pytest.MonkeyPatch.context() as patched:
                died = die_at(patched, step)
                # A transaction whose connection ended says so in its own words, and is tried again.
                with suppress(Killed, *PASSING):
                    await judge_and_let_go(place.money(connections=dying))
        await judge_and_let_go(place.money())
        assert await place.value("SELECT count(*) FROM withdrawals WHERE state = 'LEAVING'") == step
        assert await place.value("SELECT count(*) FROM transfers") == step
        assert await place.balance(ledger.held(1)) == step * 2_000_000
        if not died:
            break
    assert step > 12
    await place.books_agree()


async def test_f2_a_commit_whose_answer_is_lost_is_looked_up_and_not_repeated(
    place: Place, dsn: str
) -> None:
    """F2: the proxy cuts after COMMIT was carried out; I1, I3."""
    await ask_bets(place, 20)
    async with through_a_proxy(dsn) as (proxy, connections):
        proxy.lose_after, proxy.losses = b"COMMIT", 4
        money = place.money(connections=connections, batch_max=3)
        while await again(lambda: claim_bets(money)):
            continue
        assert proxy.lost == 4
    await each_bet_once(place, 20)


async def test_f3_backends_that_are_killed_again_and_again_stop_nothing(
    place: Place, dsn: str
) -> None:
    """F3: pg_terminate_backend on every worker's connection, each 200 ms; I1, I3, I4."""
    await ask_bets(place, 120)
    killed = 0

    async def kill() -> None:
        nonlocal killed
        for _ in range(8):
            await asyncio.sleep(0.2)
            killed += await place.value(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'victim' AND datname = current_database()"
            )

    async def work(connections: Connections) -> None:
        money = place.money(connections=connections, batch_max=2)
        while not killing.done():
            await again(lambda: claim_bets(money))
            await asyncio.sleep(0.01)

    async with open_connections(dsn, name="victim", size_max=4) as connections:
        killing = asyncio.create_task(kill())
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(work(connections))
        await killing
    # Whoever found nothing left may have left a batch to another who was killed with it.
    await drain([lambda: claim_bets(place.money())])
    assert killed > 3
    await each_bet_once(place, 120)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresSettings]:
    """A server whose disk is asked to keep what it says it keeps, for crashing."""
    with TemporaryDirectory(prefix="rooms-postgres-") as folder:
        settings = PostgresSettings(data_dir=Path(folder) / "data", port=free_port())
        with running_postgres(settings):
            ensure_database(settings, "rooms")
            migrate(settings.dsn("rooms"))
        yield settings


def stop_at_once(settings: PostgresSettings) -> None:
    subprocess.run(
        [program("pg_ctl"), "-D", str(settings.data_dir), "stop", "-m", "immediate"],
        check=True, capture_output=True, user=system_user(), cwd="/",
    )  # fmt: skip


async def test_f4_what_a_crashed_database_had_acknowledged_is_there(
    own_postgres: PostgresSettings,
) -> None:
    """F4: `pg_ctl stop -m immediate` under load, twice; acknowledged rows are present, I1, I3."""
    dsn = own_postgres.dsn("rooms")
    acknowledged: list[int] = []
    for crash in range(2):
        with suppress(*PASSING), running_postgres(own_postgres):
            async with open_connections(dsn, name="load", size_max=4) as connections:
                place = Place(connections)
                if crash == 0:
                    place = await made(connections)
                    for user in range(1, 6):
                        await place.person(user, 90 * SOL)
                    await place.room(seats=None, stake_lamports_max=90 * SOL)
                stopping = asyncio.create_task(_stop_soon(own_postgres))
                with suppress(*PASSING):
                    while True:
                        asked = await place.ask_bet(len(acknowledged) % 5 + 1, "YES", BET)
                        acknowledged.append(asked)
                        await claim_bets(place.money())
                await stopping
    with running_postgres(own_postgres):
        async with open_connections(dsn, name="after") as connections:
            place = Place(connections)
            there = await place.column("SELECT id FROM bet_requests")
            assert set(acknowledged) <= set(there)
            assert len(acknowledged) > 2
            await drain([lambda: claim_bets(place.money())])
            await each_bet_once(place, len(there))


async def _stop_soon(settings: PostgresSettings) -> None:
    await asyncio.sleep(1.5)
    await asyncio.to_thread(stop_at_once, settings)


async def test_f7_a_cancelled_task_leaves_no_transaction_open(place: Place, dsn: str) -> None:
    """F7: tasks are cancelled at random moments, then the pool is used again; I1, I3."""
    random = Random(7)
    await ask_bets(place, 60)
    async with open_connections(dsn, name="cancelled", size_max=2) as connections:
        money = place.money(connections=connections, batch_max=2)
        for _ in range(60):
            task = asyncio.create_task(claim_bets(money))
            await asyncio.sleep(random.uniform(0, 0.02))
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert await connections.fetchval("SELECT 1") == 1
        assert not await place.value(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cancelled'"
            " AND state LIKE 'idle in transaction%'"
        )
    await drain([lambda: claim_bets(place.money())])
    await each_bet_once(place, 60)


async def test_f8_two_slow_connections_serve_many_and_nobody_waits_for_ever(
    place: Place, dsn: str
) -> None:
    """F8: a pool of 2 behind 40 ms each way, 12 workers at once; I4, no deadlock."""
    await ask_bets(place, 30)
    async with through_a_proxy(dsn, size_max=2) as (proxy, connections):
        proxy.delay_s = 0.04
        money = place.money(connections=connections, batch_max=5)
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for _ in range(12):
                tasks.create_task(claim_bets(money))
    await drain([lambda: claim_bets(place.money())])
    await each_bet_once(place, 30)


async def test_f9_of_two_who_resolve_one_reserve_exactly_one_wins(place: Place) -> None:
    """F9: each of 100 attempts is said to have landed and to have lapsed, at once; I1, I3."""
    await ask_bets(place, 100)
    await drain([lambda: claim_bets(place.money())])
    stakes = await place.column("SELECT id FROM stakes ORDER BY id")
    async with transaction(place.connections) as connection:
        payer = ledger.deposit(Signature("s"), "Payer", Lamports(SOL), ledger.HOUSE)  # type: ignore[arg-type]
        await accounts.post(connection, [payer])
        for stake in stakes:
            [transfer] = await connection.fetch(
                "SELECT id FROM transfers WHERE key = $1", f"stake:{stake}"
            )
            await attempts.write_down(
                connection, signature=Signature(f"of{stake}"), raw=b"",
                last_valid_height=BlockHeight(1), context_slot=Slot(1), fee_payer="Payer",  # type: ignore[arg-type]
                memo="m", transfers=[transfer["id"]], floors=[], epoch=0,
            )  # fmt: skip
    won: dict[str, int] = {"landed": 0, "lapsed": 0}

    async def resolve(attempt: int, how: str) -> None:
        async with transaction(place.connections) as connection:
            if not await attempts.lock(connection, attempt):
                return
            [one] = await attempts.transfers_of(connection, attempt)
            assert one.transfer.subject is not None
            if how == "landed":
                await connection.execute(
                    "UPDATE attempts SET state = 'LANDED', slot = 1, fee_lamports = 5,"
                    " block_at = (SELECT cut_at FROM rooms) WHERE id = $1",
                    attempt,
                )
                await connection.execute(
                    "UPDATE stakes SET state = 'LANDED' WHERE id = $1", one.transfer.subject
                )
                await attempts.land(connection, [one.transfer.id])
                await attempts.post_receipts(connection, [attempt])
            else:
                await attempts.finish(connection, attempt, "LAPSED")
                await attempts.release_stake(connection, one.transfer.subject)
                await attempts.release(connection, [one.transfer.id])
                await attempts.post_releases(connection, [one.transfer.id])
        won[how] += 1

    random = Random(9)
    async with asyncio.TaskGroup() as tasks:
        for attempt in await place.column("SELECT id FROM attempts ORDER BY id"):
            for how in random.sample(sorted(won), 2):
                tasks.create_task(resolve(attempt, how))
    assert sum(won.values()) == len(stakes)
    assert await place.value(
        "SELECT count(*) FROM entries WHERE key LIKE 'stake:%' OR key LIKE 'release:stake:%'"
    ) == len(stakes)
    assert sum([await place.balance(ledger.held(user)) for user in range(1, 6)]) == 0
    await place.books_agree()


async def test_f9_what_leaves_and_what_is_called_off_is_one_of_them(place: Place) -> None:
    """F9: 40 withdrawals are let go and called off at once by four workers; I1, I3."""
    for number in range(40):
        await place.do(
            "INSERT INTO withdrawals (key, user_id, to_address, lamports) VALUES ($1, $2, $3, $4)",
            f"w{number}", number % 5 + 1, OUTSIDE, 2_000_000,
        )  # fmt: skip
    money = place.money(batch_max=3)
    await drain([lambda: claim_asked(money)])

    async def call_off() -> None:
        for number in range(1, 41):
            await place.do(
                "UPDATE withdrawals SET cancel_asked_at = 1 WHERE id = $1 AND state = 'WAITING'",
                number,
            )

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call_off())
        for _ in range(2):
            tasks.create_task(drain([lambda: claim_due(money), lambda: claim_cancelled(money)]))
            tasks.create_task(drain([lambda: claim_cancelled(money), lambda: claim_due(money)]))
    await drain([lambda: claim_cancelled(money), lambda: claim_due(money)])
    left = await place.value("SELECT count(*) FROM withdrawals WHERE state = 'LEAVING'")
    back = await place.value("SELECT count(*) FROM withdrawals WHERE state = 'RELEASED'")
    assert left + back == 40
    assert await place.value("SELECT count(*) FROM transfers") == left
    held = sum([await place.balance(ledger.held(user)) for user in range(1, 6)])
    assert held == left * 2_000_000
    await place.books_agree()
