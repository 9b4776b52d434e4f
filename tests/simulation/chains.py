"""Chains: the sandbox's Solana in this process, its two providers behind wires that may fail.

In        JSON-RPC as the product writes it; the virtual time.
Out       what the sandbox's nodes answer, late or spoilt; transactions that reach the leader late.
Promises  the node's own code answers, with its own faults; only sockets are left out, since they
          would bring an order of their own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from solders.hash import Hash
from solders.transaction import VersionedTransaction
from starlette.requests import Request

from chain.providers import Providers
from chain.rpc import Rpc
from chain.settings import Endpoint, RpcSettings
from sandbox.solana.chain import BLOCKHASH_BLOCKS, FIRST_SLOT, Chain
from sandbox.solana.chain_log import ChainLog, Genesis, Record
from sandbox.solana.control import Control
from sandbox.solana.node import Node
from sandbox.solana.rpc import Rpc as NodeRpc
from sandbox.solana.settings import SolanaSettings
from tests.simulation.database import EPOCH_MS
from tests.simulation.lives import Life
from tests.simulation.turns import Turns
from tests.simulation.weather import Weather

AT_ANY_MOMENT = 0.4
SLOW_S_MAX = 12.0
LEADER_LATE_S_MAX = 75.0
BODY_PART_BYTES = 262_144


class SeededLog(ChainLog):
    """A chain's log in memory whose genesis is of the seed."""

    def __init__(self, genesis: Genesis) -> None:
        super().__init__(None)
        self._genesis = genesis

    def records(self) -> Iterator[Record]:
        """Give the genesis."""
        return iter([self._genesis])

    def append(self, record: Record) -> None:
        """Keep nothing: a story's chain is never opened again."""


@dataclass
class VirtualWall:
    """The chain's clock: the virtual time, some way off ours."""

    turns: Turns
    off_ms: int

    def now_ms(self) -> int:
        """Return the time."""
        return EPOCH_MS + self.turns.now_ms + self.off_ms


class LateChain(Chain):
    """A chain whose leader may get a transaction late, or never."""

    def __init__(self, settings: SolanaSettings, log: ChainLog, weather: Weather) -> None:
        self.weather = weather
        self.late: set[asyncio.TimerHandle] = set()
        self._held_back: set[str] = set()
        super().__init__(settings, log)

    def submit(self, raw: bytes) -> str | None:
        """Bring a transaction to the leader, now, later or never.

        One that comes late is held back however often it is sent, often to the last moment at which
        its blockhash is good: when everybody is about to believe that it will never land.
        """
        transaction = VersionedTransaction.from_bytes(raw)
        name = str(transaction.signatures[0])
        if name in self._held_back or self.weather.strikes("leader_drops"):
            return None
        if self.weather.strikes("leader_late"):
            self._held_back.add(name)
            last_s = self._last_moment_s(transaction.message.recent_blockhash)
            self.late.add(asyncio.get_running_loop().call_later(last_s, super().submit, raw))
            return None
        return super().submit(raw)

    def _last_moment_s(self, blockhash: Hash) -> float:
        random = self.weather.random
        slot = self._slot_of_hash(blockhash)
        if slot is None or random.random() < AT_ANY_MOMENT:
            return random.uniform(0.0, LEADER_LATE_S_MAX)
        height = self.blocks.height(slot) + BLOCKHASH_BLOCKS - random.randint(0, 3)
        at_ms = self._clock.time_of(self.blocks.slot_of(height))
        return max(0.0, (at_ms - self._wall.now_ms()) / 1000)

    def forget_late(self) -> None:
        """Drop what is still on its way to the leader, and hold nothing back any more."""
        self._held_back.clear()
        for handle in self.late:
            handle.cancel()
        self.late.clear()


@dataclass(slots=True)
class Answer:
    """Look like an answer of httpx's, as far as the product reads one."""

    status_code: int
    headers: dict[str, str]
    body: bytes

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Give the body part by part."""
        for start in range(0, len(self.body), BODY_PART_BYTES):
            yield self.body[start : start + BODY_PART_BYTES]


class Wire:
    """Look like httpx's client; the request goes to a node in this process."""

    def __init__(self, node: NodeRpc, life: Life, turns: Turns, weather: Weather) -> None:
        self._node = node
        self._life = life
        self._turns = turns
        self._weather = weather

    @asynccontextmanager
    async def stream(
        self, method: str, url: object, *, content: bytes, headers: object
    ) -> AsyncIterator[Answer]:
        """Post and give the answer."""
        del method, url, headers
        life, random = self._life, self._weather.random
        life.check()
        name = msgspec.json.decode(content)["method"]
        await self._pass(random.uniform(0.0, self._weather.latency_s_max))
        await self._trouble("before")
        await self._turns.turn(f"{life.name} to {self._node.node.name}")
        life.check()
        response = await self._node._post(_request(content))
        body = bytes(response.body)
        if self._turns.running:
            said = body if len(body) < 5_000 else body[:5_000]
            self._turns.note(
                f"{life.name} asks {self._node.node.name} {name} -> {response.status_code} {said!r}"
            )
        await self._pass(random.uniform(0.0, self._weather.latency_s_max))
        await self._trouble("after")
        yield Answer(response.status_code, dict(response.headers), body)

    async def aclose(self) -> None:
        """Close nothing."""

    async def _pass(self, late_s: float) -> None:
        if self._weather.strikes("node_slow"):
            late_s = self._weather.random.uniform(0.0, SLOW_S_MAX)
        await asyncio.sleep(late_s)
        self._life.check()

    async def _trouble(self, when: str) -> None:
        if self._life.spared:
            return
        if self._weather.strikes(f"killed_{when}"):
            self._turns.note(f"{self._life.name} is killed at a call")
            await self._life.die()
        if self._weather.strikes(f"cancelled_{when}"):
            self._turns.note(f"{self._life.name} has a task cancelled at a call")
            await self._life.cancel_one(self._weather.random.randrange(1_000))


@dataclass
class Solana:
    """A chain with two providers and the levers of both."""

    chain: LateChain
    control: Control
    nodes: tuple[NodeRpc, NodeRpc]
    turns: Turns
    weather: Weather

    def providers(self, life: Life) -> Providers:
        """Return the way to both providers for one life."""
        rpcs: list[Rpc] = []
        for node in self.nodes:
            rpc = Rpc(Endpoint(node.node.name, "http://127.0.0.1"), RpcSettings())
            rpc._http = Wire(node, life, self.turns, self.weather)  # type: ignore[assignment]
            rpcs.append(rpc)
        return Providers(rpcs, clock_ms=lambda: int(self.turns.now_s * 1000))


def solana(settings: SolanaSettings, turns: Turns, weather: Weather, off_ms: int) -> Solana:
    """Make a chain of this seed."""
    random = weather.random
    genesis = Genesis(
        random.randbytes(32),
        EPOCH_MS + off_ms - FIRST_SLOT * settings.slot_ms,
        settings.slot_ms,
        settings.skip_one_in,
        settings.lamports_per_byte,
        settings.faucet_lamports,
        FIRST_SLOT,
    )
    chain = LateChain(settings, SeededLog(genesis), weather)
    chain._wall = VirtualWall(turns, off_ms)
    stopping = asyncio.Event()
    nodes = (
        NodeRpc(Node(chain, "first", seed=random.randrange(2**32)), stopping),
        NodeRpc(Node(chain, "second", seed=random.randrange(2**32)), stopping),
    )
    return Solana(chain, Control(chain, nodes), nodes, turns, weather)


def _request(content: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    return Request(scope, receive)
