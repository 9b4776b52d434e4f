"""The whole product in its own processes, while they are killed, stopped and paused."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from rich.console import Console

from chain.rpc import Rpc
from chain.settings import RpcSettings
from cli.embedded import SANDBOX, Stack
from cli.ports import Ports
from cli.settings import read_settings_from
from cli.supervisor import Supervisor
from cli.up import running_stack
from rooms.room import RoomRequest, Side
from rooms.units import Address, Lamports
from storage import books, flags, intents, outbox, people
from storage.connections import Connections, open_connections, transaction
from storage.flags import Flag

SOL = 1_000_000_000
PEOPLE = range(1, 5)
ROOMS = 3
TROUBLE_S = 20.0
HEALED_S = 90.0
OUTSIDE = Address("67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb")


@dataclass
class Soak:
    """A running stack, what people ask of it, and what is done to it."""

    stack: Stack
    supervisor: Supervisor
    connections: Connections
    rpcs: list[Rpc]
    random: Random
    struck: list[str] = field(default_factory=list)

    async def value(self, query: str, *arguments: object) -> Any:  # noqa: ANN401
        return await self.connections.fetchval(query, *arguments)

    async def until(self, query: str, limit_s: float) -> None:
        """Wait until a query answers yes."""
        async with asyncio.timeout(limit_s):
            while not await self.value(query):  # noqa: ASYNC110 - rows of other processes
                await asyncio.sleep(0.2)

    async def arrive(self) -> None:
        """Let people come, with a wallet and money in it."""
        for user in PEOPLE:
            async with transaction(self.connections) as connection:
                await people.meet(
                    connection, user=user, chat_id=user, name=f"p{user}", referrer=None
                )
                await outbox.wake(connection, "custody")
        await self.until(f"SELECT count(*) = {len(PEOPLE)} FROM addresses WHERE kind = 'user'", 30)
        rows = await self.connections.fetch("SELECT address FROM addresses WHERE kind = 'user'")
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            for row in rows:
                body = {"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop",
                        "params": [row["address"], 5 * SOL]}  # fmt: skip
                (await client.post(self.stack.solana_url, json=body)).raise_for_status()
        await self.until(
            f"SELECT count(*) = {len(PEOPLE)} FROM accounts"
            " WHERE name LIKE 'available:%' AND balance > 0",
            40,
        )

    async def room(self, number: int) -> None:
        """Open a room and bet in it, some of it late and some of it too much."""
        request = RoomRequest(
            creator=1 + number % len(PEOPLE), feed="SOL/USD", move_bps=(1, -1)[number % 2] * 5,
            fixed_value=None, lock_in_ms=8_000 + 2_000 * number, deadline_in_ms=26_000,
            stake_lamports_min=Lamports(10_000_000), stake_lamports_max=Lamports(5 * SOL),
        )  # fmt: skip
        async with transaction(self.connections) as connection:
            await intents.ask_room(connection, f"soak room {number}", request)
        query = f"SELECT room_id FROM room_requests WHERE key = 'soak room {number}'"
        await self.until(
            f"SELECT EXISTS (SELECT FROM rooms WHERE id = ({query}) AND state <> 'DRAFT')", 60
        )
        room = await self.value(query)
        for bet in range(12):
            async with transaction(self.connections) as connection:
                await intents.ask_bet(
                    connection, f"soak bet {number} {bet}", user=1 + bet % len(PEOPLE), room=room,
                    side=(Side.YES, Side.NO)[bet % 2],
                    lamports=Lamports(self.random.randint(10_000_000, SOL)),
                )  # fmt: skip
            await asyncio.sleep(self.random.uniform(0.1, 1.0))

    async def withdrawals(self) -> None:
        """Ask for money out, and for some of it back."""
        for number in range(8):
            async with transaction(self.connections) as connection:
                user = 1 + number % len(PEOPLE)
                await intents.ask_withdrawal(
                    connection, f"soak out {number}", user=user, to_address=OUTSIDE,
                    lamports=Lamports(self.random.randint(2_000_000, SOL // 4)),
                )  # fmt: skip
                if number % 3 == 2:
                    await intents.cancel_withdrawals(connection, user=user)
            await asyncio.sleep(2.0)

    async def trouble(self) -> None:
        """Kill, stop and pause, each in its turn, for as long as the story lasts."""
        acts: list[Callable[[], Coroutine[Any, Any, None]]] = [
            lambda: self._kill("custody"), lambda: self._stop("custody", 4.0),
            lambda: self._flip(Flag.BETS), lambda: self._kill("worker"),
            lambda: self._stop("worker", 3.0), lambda: self._flip(Flag.SIGNING),
            lambda: self._stop("broker", 3.0), lambda: self._kill("feeds"),
            lambda: self._flip(Flag.ALL), lambda: self._kill("custody"),
        ]  # fmt: skip
        for act in acts:
            await act()
            await asyncio.sleep(self.random.uniform(0.5, 1.5))

    async def _kill(self, name: str) -> None:
        self.struck.append(f"kill -9 {name}")
        self.supervisor.kill(name)
        await self.supervisor.wait_ready(name)

    async def _stop(self, name: str, seconds: float) -> None:
        self.struck.append(f"SIGSTOP {name}")
        pid = self.supervisor.pid(name)
        # A watchdog may have ended it just now, or in between: then it is started again.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            os.kill(pid, signal.SIGCONT)

    async def _flip(self, flag: Flag) -> None:
        """Pause, and see that nothing new of it happens once the pause is waited out."""
        self.struck.append(f"pause {flag}")
        async with transaction(self.connections) as connection:
            await flags.change(connection, flag, open=False, reason="soak")
        assert await flags.waited_out(self.connections, flag, limit_ms=20_000)
        counted = {
            Flag.BETS: "SELECT count(*) FROM entries WHERE key LIKE 'hold:stake:%'",
            Flag.SIGNING: "SELECT count(*) FROM attempts",
            Flag.ALL: "SELECT (SELECT count(*) FROM attempts)"
            " + (SELECT count(*) FROM entries WHERE key LIKE 'hold:%')",
        }[flag]
        before = await self.value(counted)
        await asyncio.sleep(1.0)
        assert await self.value(counted) == before, f"{flag} was paused"
        async with transaction(self.connections) as connection:
            await flags.change(connection, flag, open=True, reason="soak")

    async def differences(self) -> list[str]:
        """Compare every address with the finalized chain, on both providers."""
        async with self.connections.acquire() as connection:
            now = await books.read(connection)
        wanted = {line.address: line.lamports for line in now.addresses}
        found = now.faults()
        for rpc in self.rpcs:
            _, there = await rpc.balances(list(wanted), "finalized")
            found += [
                f"{rpc.name}: {address} has {there[address]}, the ledger says {lamports}"
                for address, lamports in wanted.items()
                if (there[address] or 0) != lamports
            ]
        return found

    async def at_rest(self) -> None:
        """Wait until every intent has ended and the ledger is the chain."""
        await self.until(
            "SELECT NOT EXISTS (SELECT FROM transfers WHERE state IN ('PLANNED', 'ATTEMPTED'))"
            " AND NOT EXISTS (SELECT FROM bet_requests WHERE done_at IS NULL)"
            " AND NOT EXISTS (SELECT FROM rooms WHERE state NOT IN ('PAID', 'DRAFT'))"
            " AND NOT EXISTS (SELECT FROM withdrawals"
            " WHERE state NOT IN ('PAID', 'RELEASED', 'REFUSED'))",
            HEALED_S,
        )
        async with asyncio.timeout(30):
            while await self.differences():  # noqa: ASYNC110 - the chain rings no bell
                await asyncio.sleep(0.5)


@pytest.mark.timeout(400)
async def test_f80_a_short_soak_ends_with_every_lamport_where_it_belongs(tmp_path: Path) -> None:
    """F80: people bet and withdraw while processes die, stop and are paused.

    F1, F14: kill -9 of custody, worker and feeds; F18: the broker stands still; F21, F32: custody
    and worker are stopped and resumed; F76: bets, signing and all are paused under load.
    I1 to I8 and I11: afterwards every intent has ended, no effect is there twice, nothing was
    reserved or signed while paused, and both providers say of every address what the ledger says.
    """
    async with AsyncExitStack() as held:
        stack = Stack(
            folder=tmp_path, ports=Ports.free(), venues=SANDBOX, seed=80, logs_to_files=True
        )
        console = Console(quiet=True)
        supervisor = await held.enter_async_context(running_stack(stack, console))
        settings = read_settings_from(stack.environment())
        connections = await held.enter_async_context(
            open_connections(settings.dsn, name="soak", size_max=8)
        )
        rpcs = [
            await held.enter_async_context(Rpc(endpoint, RpcSettings()))
            for endpoint in settings.endpoints
        ]
        soak = Soak(stack, supervisor, connections, rpcs, Random(80))
        await soak.arrive()
        async with asyncio.TaskGroup() as tasks:
            for number in range(ROOMS):
                tasks.create_task(soak.room(number))
            tasks.create_task(soak.withdrawals())
            tasks.create_task(soak.trouble())
        await soak.at_rest()
        assert len(soak.struck) == 10
        twice = await soak.value(
            "SELECT count(*) FROM (SELECT t.id FROM transfers t"
            " JOIN attempt_transfers l ON l.transfer_id = t.id"
            " JOIN attempts a ON a.id = l.attempt_id AND a.state = 'LANDED'"
            " GROUP BY t.id HAVING count(*) > 1) x"
        )
        assert twice == 0
        assert await soak.value("SELECT count(*) FROM rooms WHERE state = 'PAID'") == ROOMS
        assert await soak.value("SELECT count(*) FROM stakes WHERE state = 'LANDED'") > 0
        assert await soak.value("SELECT count(*) FROM acts WHERE kind = 'breach'") == 0
