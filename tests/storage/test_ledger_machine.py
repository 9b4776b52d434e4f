"""Whatever is posted, planned, repeated or refused, rows say what the plain model says.

A machine of hypothesis plays deposits, bets, landings, settlements, withdrawals and their repeats
against a real PostgreSQL, and compares every balance with `rooms.ledger.balances` after each step.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rooms import ledger
from rooms.ledger import Account, Entry
from rooms.pool import Stake
from rooms.refusal import Impossible
from rooms.room import Outcome, Side
from rooms.settlement import Settlement, settle
from rooms.units import Address, Bps, Lamports, Signature
from sandbox.postgres import PostgresSettings
from storage import ledger as accounts
from storage import plans
from storage.connections import Connection, Connections, open_connections, transaction
from tests.place import TREASURY
from tests.postgres import TEMPLATE

Result = TypeVar("Result")

DATABASE = "ledger_machine"
USERS = (1, 2, 3)
ROOMS = (1, 2)
FEE_PAYER = Address("FeePayer")
FLOOR = Lamports(890_880)
FEE = Lamports(5_000)

users = st.sampled_from(USERS)
rooms = st.sampled_from(ROOMS)
lamports = st.integers(1, 5_000).map(Lamports)


def wallet(user: int) -> Address:
    return Address(f"Address{user}")


def vault(room: int) -> Address:
    return Address(f"Vault{room}")


@dataclass
class Facts:
    """The model: what happened, as entries; what is on its way."""

    entries: dict[str, Entry] = field(default_factory=dict)
    held: dict[int, tuple[int, int, Side, Lamports]] = field(default_factory=dict)
    landed: dict[int, tuple[int, int, Side, Lamports]] = field(default_factory=dict)
    asked: dict[int, tuple[int, Lamports]] = field(default_factory=dict)
    settled: dict[int, Settlement] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)
    count: int = 0

    def next(self) -> int:
        self.count += 1
        return self.count

    def on(self, account: Account) -> int:
        return ledger.balances(self.entries.values()).get(account, 0)


class LedgerMachine(RuleBasedStateMachine):
    """Play facts in any order, against rows."""

    connections: Connections
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.facts = Facts()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    def write(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        async def written() -> Result:
            async with transaction(self.connections) as connection:
                return await work(connection)

        return self.run(written())

    def post(self, *entries: Entry) -> None:
        """Post, and expect what the model expects of it."""
        fresh = [entry.key for entry in entries if entry.key not in self.facts.entries]
        assert self.write(lambda c: accounts.post(c, entries)) == fresh
        self.facts.entries |= {entry.key: entry for entry in entries}

    @initialize()
    def begin(self) -> None:
        async def empty(connection: Connection) -> None:
            await connection.execute(
                "TRUNCATE users, addresses, feeds, rooms, bets, stakes, withdrawals, settlements,"
                " accounts, entries, postings, transfers RESTART IDENTITY CASCADE"
            )
            for user in USERS:
                await connection.execute(
                    "INSERT INTO users (id, chat_id, name) VALUES ($1, $1, 'p')", user
                )
            await connection.execute(
                "INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards)"
                " VALUES ('SOL/USD', 'USD', 2, '{}', 8000, '{}')"
            )
            for room in ROOMS:
                await connection.execute(
                    "INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, opened_at,"
                    " lock_at, cut_at, watch_at, deadline_at, target_wait_ms, gap_ms_max,"
                    " protocol_fee_bps, host_fee_bps, stake_lamports_min, stake_lamports_max,"
                    " volatility_bps, guards, state)"
                    " VALUES ($1, 1, 'SOL/USD', 2, 1, 200, 1, 2, 3, 4, 5, 1, 1, 200, 100, 1, 9999,"
                    " 8000, '{}', 'OPEN')",
                    room,
                )
            for address, kind, of_user, of_room in (
                *((wallet(user), "user", user, None) for user in USERS),
                *((vault(room), "vault", None, room) for room in ROOMS),
                (TREASURY, "treasury", None, None),
                (FEE_PAYER, "fee_payer", None, None),
            ):
                await connection.execute(
                    "INSERT INTO addresses (address, kind, user_id, room_id)"
                    " VALUES ($1, $2, $3, $4)",
                    address, kind, of_user, of_room,
                )  # fmt: skip

        self.write(empty)
        self.post(ledger.deposit(Signature("fees"), FEE_PAYER, Lamports(10**9), ledger.HOUSE))

    @rule(user=users, amount=lamports)
    def deposit(self, user: int, amount: Lamports) -> None:
        signature = Signature(f"s{self.facts.next()}")
        self.post(ledger.deposit(signature, wallet(user), amount, ledger.available(user)))

    @rule(room=rooms, amount=lamports)
    def stray(self, room: int, amount: Lamports) -> None:
        signature = Signature(f"s{self.facts.next()}")
        self.post(ledger.deposit(signature, vault(room), amount, ledger.stray(vault(room))))

    @rule(address=st.sampled_from([*map(wallet, USERS), *map(vault, ROOMS)]))
    def lay_floor(self, address: Address) -> None:
        signature = Signature(f"s{self.facts.next()}")
        self.post(
            ledger.fee(signature, FEE_PAYER, FEE),
            ledger.floor_laid(signature, FEE_PAYER, address, FLOOR),
        )

    @rule(user=users, room=rooms, yes=st.booleans(), amount=lamports)
    def bet(self, user: int, room: int, yes: bool, amount: Lamports) -> None:
        """Hold and plan a stake; more than there is leaves nothing behind."""
        if room in self.facts.settled:
            return
        stake, side = self.facts.next(), Side.YES if yes else Side.NO
        hold = ledger.hold(f"stake:{stake}", user, amount)

        async def take(connection: Connection) -> None:
            # One bet a person and room; whose side is another has none here.
            bet = await connection.fetchval(
                "INSERT INTO bets (room_id, user_id, side) VALUES ($1, $2, $3)"
                " ON CONFLICT (room_id, user_id) DO UPDATE SET side = excluded.side RETURNING id",
                room, user, side,
            )  # fmt: skip
            await connection.execute(
                "INSERT INTO stakes (id, bet_id, room_id, user_id, side, lamports, weight_bps,"
                " accepted_at) VALUES ($1, $2, $3, $4, $5, $6, 10000, 1)",
                stake, bet, room, user, side, amount,
            )  # fmt: skip
            await accounts.post(connection, [hold])
            await plans.plan_stakes(connection, [stake])

        if self.facts.on(ledger.available(user)) < amount:
            with pytest.raises(asyncpg.CheckViolationError):
                self.write(take)
            return
        self.write(take)
        self.facts.entries[hold.key] = hold
        self.facts.held[stake] = room, user, side, amount
        self.facts.planned.add(f"stake:{stake}")

    @precondition(lambda self: self.facts.held)
    @rule(data=st.data(), end=st.sampled_from(["LANDED", "MISSED", "RELEASED"]))
    def end_stake(self, data: st.DataObject, end: str) -> None:
        """Land a stake in time or late, or give it back; the other way afterwards is refused."""
        stake = data.draw(st.sampled_from(sorted(self.facts.held)))
        room, user, side, amount = self.facts.held[stake]
        if room in self.facts.settled and end == "LANDED":
            end = "MISSED"
        del self.facts.held[stake]

        async def state(connection: Connection) -> None:
            await connection.execute("UPDATE stakes SET state = $2 WHERE id = $1", stake, end)

        self.write(state)
        landing = ledger.stake(
            stake, user, room, wallet(user), vault(room), amount, in_time=end == "LANDED"
        )
        release = ledger.release(f"stake:{stake}", user, amount)
        self.post(release if end == "RELEASED" else landing)
        if end == "LANDED":
            self.facts.landed[stake] = room, user, side, amount
        if end == "MISSED":
            self.write(lambda c: plans.plan_refunds(c, [stake]))
            self.facts.planned.add(f"refund:{stake}")
            self.post(ledger.refund(stake, room, user, vault(room), wallet(user), amount))

    @precondition(lambda self: len(self.facts.settled) < len(ROOMS))
    @rule(room=rooms, outcome=st.sampled_from(Outcome))
    def divide(self, room: int, outcome: Outcome) -> None:
        """Settle a room, pay everything out of its vault, and find nothing left of its pool."""
        if room in self.facts.settled:
            return
        sides = {user: side for where, user, side, _ in self.facts.landed.values() if where == room}
        stakes = [
            Stake(stake, user, user, sides[user], amount)
            for stake, (where, user, _, amount) in self.facts.landed.items()
            if where == room
        ]
        divided = settle(
            stakes, outcome, None, host=1, protocol_fee_bps=Bps(200), host_fee_bps=Bps(100)
        )
        self.facts.settled[room] = divided
        reason = divided.reason and divided.reason.value

        async def write(connection: Connection) -> None:
            for user, side in sides.items():
                await connection.execute(
                    "UPDATE bets SET side = $3 WHERE room_id = $1 AND user_id = $2",
                    room, user, side,
                )  # fmt: skip
            await connection.execute(
                "INSERT INTO settlements (room_id, outcome, void_reason, pool, house, shares,"
                " evidence_hash, at) VALUES ($1, $2, $3, $4, $5, $6, 'h', 1)",
                room, divided.outcome, reason, divided.pool, divided.house, divided.shares,
            )  # fmt: skip
            await plans.plan_payouts(
                connection, [(room, each.user, each.lamports) for each in divided.payouts]
            )
            await plans.plan_refunds(connection, [each.stake for each in divided.refunds])
            await plans.plan_shares(connection, [room])

        self.write(write)
        if divided.pool:
            self.post(ledger.settlement(room, divided.pool))
        payouts = [
            ledger.payout(room, each.user, vault(room), wallet(each.user), each.lamports)
            for each in divided.payouts
        ]
        refunds = [
            ledger.refund(
                each.stake, room, each.user, vault(room), wallet(each.user), each.lamports
            )
            for each in divided.refunds
        ]
        shared = (
            ledger.shares(room, vault(room), TREASURY, divided.house, divided.shares)
            if (divided.house or divided.shares)
            else None
        )
        everything = [*payouts, *refunds, *([shared] if shared else [])]
        if everything:
            self.post(*everything)
        self.facts.planned |= {entry.key for entry in everything}
        assert self.facts.on(ledger.pool(room)) == 0
        assert self.facts.on(ledger.due(room)) == 0

    @precondition(lambda self: self.facts.held or self.facts.settled)
    @rule(data=st.data())
    def plan_again(self, data: st.DataObject) -> None:
        """Plan what is planned: nothing is planned twice, and it is said."""
        if self.facts.held:
            stake = data.draw(st.sampled_from(sorted(self.facts.held)))
            with pytest.raises(Impossible):
                self.write(lambda c: plans.plan_stakes(c, [stake]))
        for room, divided in self.facts.settled.items():
            self.write(lambda c, room=room: plans.plan_shares(c, [room]))  # type: ignore[misc]
            for each in divided.payouts:
                again = [(room, each.user, Lamports(each.lamports + 1))]
                with pytest.raises(Impossible):
                    self.write(lambda c, again=again: plans.plan_payouts(c, again))  # type: ignore[misc]

    @rule(user=users, amount=lamports)
    def ask_withdrawal(self, user: int, amount: Lamports) -> None:
        if self.facts.on(ledger.available(user)) < amount:
            return
        number = self.facts.next()

        async def ask(connection: Connection) -> int:
            found: int = await connection.fetchval(
                "INSERT INTO withdrawals (key, user_id, to_address, lamports, due_at, state)"
                " VALUES ($1, $2, 'Outside', $3, 1, 'WAITING') RETURNING id",
                f"k{number}", user, amount,
            )  # fmt: skip
            return found

        withdrawal = self.write(ask)
        self.post(ledger.hold(f"withdrawal:{withdrawal}", user, amount))
        self.facts.asked[withdrawal] = user, amount

    @precondition(lambda self: self.facts.asked)
    @rule(data=st.data(), leaves=st.booleans())
    def end_withdrawal(self, data: st.DataObject, leaves: bool) -> None:
        withdrawal = data.draw(st.sampled_from(sorted(self.facts.asked)))
        user, amount = self.facts.asked.pop(withdrawal)

        async def leave(connection: Connection) -> None:
            await connection.execute(
                "UPDATE withdrawals SET state = 'LEAVING' WHERE id = $1", withdrawal
            )
            await plans.plan_withdrawals(connection, [withdrawal])

        if not leaves:
            # One that does not leave is not planned, and says so.
            with pytest.raises(Impossible):
                self.write(lambda c: plans.plan_withdrawals(c, [withdrawal]))
            self.post(ledger.release(f"withdrawal:{withdrawal}", user, amount))
            return
        self.write(leave)
        self.facts.planned.add(f"withdrawal:{withdrawal}")
        self.post(ledger.withdrawal(withdrawal, user, wallet(user), amount))

    @precondition(lambda self: len(self.facts.entries) > 1)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Post what was posted once more, among other repeats: nothing is new."""
        keys = data.draw(
            st.lists(st.sampled_from(sorted(self.facts.entries)), min_size=1, max_size=4)
        )
        entries = [self.facts.entries[key] for key in keys]
        assert self.write(lambda c: accounts.post(c, entries)) == []

    @precondition(lambda self: len(self.facts.entries) > 1)
    @rule(data=st.data(), more=lamports)
    def repeat_otherwise(self, data: st.DataObject, more: Lamports) -> None:
        """Post a known key with other postings: refused, and what came with it too."""
        key = data.draw(st.sampled_from(sorted(self.facts.entries)))
        other = Entry(key, ledger.deposit(Signature("x"), FEE_PAYER, more, ledger.HOUSE).postings)
        if accounts.digest(other) == accounts.digest(self.facts.entries[key]):
            return
        beside = ledger.deposit(Signature(f"s{self.facts.next()}"), FEE_PAYER, more, ledger.HOUSE)
        with pytest.raises(asyncpg.UniqueViolationError):
            self.write(lambda c: accounts.post(c, [beside, other]))

    @rule(user=users, more=lamports)
    def overdraw(self, user: int, more: Lamports) -> None:
        """Hold a lamport more than there is: refused."""
        amount = Lamports(self.facts.on(ledger.available(user)) + more)
        hold = ledger.hold(f"stake:{self.facts.next()}", user, amount)
        with pytest.raises(asyncpg.CheckViolationError):
            self.write(lambda c: accounts.post(c, [hold]))

    @precondition(lambda self: self.facts.planned)
    @rule(data=st.data())
    def break_off(self, data: st.DataObject) -> None:
        """Lose a transaction before its end: nothing of it is there."""
        user = data.draw(users)
        entry = ledger.deposit(
            Signature(f"s{self.facts.next()}"), wallet(user), Lamports(7), ledger.available(user)
        )

        async def lose(connection: Connection) -> None:
            await accounts.post(connection, [entry])
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            self.write(lose)

    @invariant()
    def rows_are_the_model(self) -> None:
        async def read() -> tuple[dict[str, int], set[str], set[str]]:
            async with self.connections.acquire() as connection:
                lying = await connection.fetch("SELECT name, balance FROM accounts")
                keys = await connection.fetch("SELECT key FROM entries")
                planned = await connection.fetch("SELECT key FROM transfers")
            return (
                {row["name"]: row["balance"] for row in lying if row["balance"]},
                {row["key"] for row in keys},
                {row["key"] for row in planned},
            )

        lying, keys, planned = self.run(read())
        model = ledger.balances(self.facts.entries.values())
        assert lying == {account.name: total for account, total in model.items() if total}
        assert all(total >= 0 for total in model.values())
        assert keys == set(self.facts.entries)
        assert planned == self.facts.planned
        where = sum(total for account, total in model.items() if account.is_where)
        assert where == sum(total for account, total in model.items() if not account.is_where)


@pytest.fixture
def machine(postgres: PostgresSettings) -> Iterator[type[LedgerMachine]]:
    async def admin(*statements: str) -> None:
        connection = await asyncpg.connect(postgres.dsn())
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    drop = f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"
    with asyncio.Runner() as runner:
        runner.run(admin(drop, f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}"))
        stack = AsyncExitStack()
        opened = open_connections(postgres.dsn(DATABASE), name="test", size_max=2)
        LedgerMachine.connections = runner.run(stack.enter_async_context(opened))
        LedgerMachine.runner = runner
        yield LedgerMachine
        runner.run(stack.aclose())
        runner.run(admin(drop))


def test_rows_say_what_the_plain_model_says(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
