"""serve: start the sandbox chain with its RPC addresses, two or more, and its control; stop it.

In        settings.
Out       the addresses, once everything answers.
Promises  a port in use is told in one sentence; leaving stops every listener and keeps the chain.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from sandbox.solana.chain import Chain
from sandbox.solana.chain_log import ChainLog
from sandbox.solana.control import Control
from sandbox.solana.node import Node
from sandbox.solana.pubsub import PubSub
from sandbox.solana.rpc import Rpc
from sandbox.solana.settings import LIKE_MAINNET, SolanaSettings
from sandbox.solana.webhooks import Webhooks

__all__ = ["LIKE_MAINNET", "RunningSolana", "SolanaSettings", "running_solana", "serve"]

_KEEP_HEAD_S = 2.0
_KEEP_ALIVE_S = 75
_STOP_S = 2
_STOP_LOOK_S = 0.005
_BACKLOG = 1_024


@dataclass(frozen=True, slots=True)
class RunningSolana:
    """A chain that is up: where it answers, and its levers."""

    url: str
    ws_url: str
    second_url: str
    second_ws_url: str
    more_urls: tuple[str, ...]
    control_url: str
    control: Control


class _Server(uvicorn.Server):
    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="websockets-sansio",
            ws_max_size=1_000_000,
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        super().__init__(config)
        self.up = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Stop answering."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        # Waits instead of looking ten times a second, as the original does.
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # As the original, which has no event to wait for either; but this one looks more often.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(_STOP_LOOK_S)
        for task in self.server_state.tasks:
            task.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals belong to whoever runs this process, which may have more than one server.
        yield


@contextlib.asynccontextmanager
async def running_solana(settings: SolanaSettings) -> AsyncIterator[RunningSolana]:
    """Run a sandbox chain in this process for as long as the block lasts.

    Raises:
        OSError: when a port is in use, or the data folder is.
        ValueError: when the chain's log is damaged.
    """
    async with _started(settings) as (solana, _work):
        yield solana


async def serve(settings: SolanaSettings, ready: Callable[[RunningSolana], None]) -> None:
    """Run a sandbox chain until cancelled, and say when it answers.

    Raises:
        OSError: when a port is in use, or the data folder is.
        ValueError: when the chain's log is damaged.
    """
    async with _started(settings) as (solana, work):
        ready(solana)
        # Not awaited itself: being cancelled here must not cut the listeners short.
        await asyncio.wait({work})
        work.result()


@contextlib.asynccontextmanager
async def _started(
    settings: SolanaSettings,
) -> AsyncIterator[tuple[RunningSolana, asyncio.Task[None]]]:
    with contextlib.ExitStack() as held:
        ports = (
            settings.port, settings.second_port, settings.control_port, *settings.more_ports
        )  # fmt: skip
        sockets = [held.enter_context(_listener(settings.host, port)) for port in ports]
        chain = Chain(settings, held.enter_context(ChainLog(settings.data_dir)))
        stopping = asyncio.Event()
        names = ("first", "second", *(f"number {n}" for n in range(3, len(ports))))
        providers = tuple(
            Rpc(Node(chain, name, seed), stopping) for seed, name in enumerate(names, 1)
        )
        control = Control(chain, providers)
        chain.listeners += [*(rpc.pubsub.tell for rpc in providers), control.webhooks.ring]
        first_two, more = providers[:2], providers[2:]
        apps = [*(rpc.app for rpc in first_two), control.app, *(rpc.app for rpc in more)]
        servers = [_Server(app) for app in apps]
        work = asyncio.create_task(
            _work(chain, providers, control.webhooks, servers, sockets, stopping)
        )
        try:
            up = asyncio.create_task(_all_up(servers))
            await asyncio.wait({up, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                up.cancel()
                work.result()
            at = [f"{settings.host}:{one.getsockname()[1]}" for one in sockets]
            first, second, levers, *others = at
            yield (
                RunningSolana(
                    url=f"http://{first}",
                    ws_url=f"ws://{first}",
                    second_url=f"http://{second}",
                    second_ws_url=f"ws://{second}",
                    more_urls=tuple(f"http://{each}" for each in others),
                    control_url=f"http://{levers}",
                    control=control,
                ),
                work,
            )
        finally:
            stopping.set()
            chain.keep_head()
            await work


async def _work(
    chain: Chain,
    providers: Sequence[Rpc],
    webhooks: Webhooks,
    servers: Sequence[_Server],
    sockets: Sequence[socket.socket],
    stopping: asyncio.Event,
) -> None:
    async with asyncio.TaskGroup() as group:
        serving = [
            group.create_task(server.serve([listener]))
            for server, listener in zip(servers, sockets, strict=True)
        ]
        keeping = [group.create_task(_keep_head(chain)), group.create_task(webhooks.run())]
        if not chain.settings.manual:
            keeping += [group.create_task(_tell_slots(chain, rpc.pubsub)) for rpc in providers]
        await stopping.wait()
        for rpc in providers:
            rpc.pubsub.cut()
        for server in servers:
            server.leave()
        await asyncio.gather(*serving)
        for keeper in keeping:
            keeper.cancel()


async def _all_up(servers: Sequence[_Server]) -> None:
    for server in servers:
        await server.up.wait()


async def _keep_head(chain: Chain) -> None:
    while True:
        await asyncio.sleep(_KEEP_HEAD_S)
        chain.keep_head()


async def _tell_slots(chain: Chain, pubsub: PubSub) -> None:
    while True:
        await pubsub.wanted.wait()
        await asyncio.sleep(chain.until_next_slot_ms() / 1_000)
        pubsub.tell()


@contextlib.contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    # Only with the protocol named does asyncio turn Nagle's algorithm off, which costs 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except OSError as busy:
            raise OSError(
                f"the sandbox chain cannot listen on {host}:{port}: {busy.strerror}; "
                "stop what uses the port or choose another"
            ) from busy
        yield listener
    finally:
        listener.close()
