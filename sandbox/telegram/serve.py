"""Serve: puts the parts of the Telegram stand-in together and runs them on one port.

In        settings: where to listen, where to keep data, whose tokens count.
Out       addresses: for bots, for files, for the chat page.
Promises  a port in use is told in one sentence; what was acknowledged or said is on disk, so a
          server that was killed goes on where it was.
"""

import asyncio
import fcntl
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

import structlog
from starlette.applications import Starlette

from sandbox.telegram.airdrop import Airdrop
from sandbox.telegram.bell import Bell
from sandbox.telegram.bot_api import BotApi, KnownConnection, Tokens
from sandbox.telegram.chats import Chats
from sandbox.telegram.faults import Faults
from sandbox.telegram.files import Files
from sandbox.telegram.methods import Methods
from sandbox.telegram.page import Page
from sandbox.telegram.people import People, fault_routes
from sandbox.telegram.records import Records
from sandbox.telegram.updates import Updates
from sandbox.telegram.webhook import WebhookDelivery
from sandbox.web import WebServer, listening_on

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramSettings:
    """How the stand-in runs.

    Attributes:
        data_dir: where chats, updates and files are kept.
        port: 0 lets the system choose.
        tokens: the tokens that count; None welcomes every token of the right shape.
        people: who is there from the start.
        solana_url: the node that gives test funds; None gives none.
        test_funds_lamports: how much it gives at once.
        retry_first_ms: the first wait between two tries of a webhook; Telegram's is 2 s.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    tokens: frozenset[str] | None = field(default=None, repr=False)
    bot_name: str = "Rooms"
    bot_username: str = "rooms_bot"
    people: tuple[str, ...] = ("Ann", "Bo", "Cy", "Di")
    solana_url: str | None = None
    test_funds_lamports: int = 5_000_000_000
    retry_first_ms: int = 2_000


@dataclass(frozen=True, slots=True)
class RunningTelegram:
    """Where a running stand-in is found.

    Attributes:
        faults: what goes wrong on request, for whoever runs it in the same process.
    """

    host: str
    port: int
    faults: Faults

    @property
    def page_url(self) -> str:
        """Name the chat page, which is also the address that a ``Person`` joins at."""
        return f"http://{self.host}:{self.port}/"

    @property
    def base_url(self) -> str:
        """Name the address that a bot appends its token to."""
        return f"{self.page_url}bot"

    @property
    def base_file_url(self) -> str:
        """Name the address that a bot appends its token to for downloads."""
        return f"{self.page_url}file/bot"


@asynccontextmanager
async def running_telegram(settings: TelegramSettings) -> AsyncIterator[RunningTelegram]:
    """Run the stand-in while the context lasts.

    Raises:
        OSError: the port is in use, or the data folder is.
    """
    async with _started(settings) as (running, _):
        yield running


async def serve(settings: TelegramSettings, ready: Callable[[RunningTelegram], None]) -> None:
    """Run the stand-in until cancelled, and say when it answers.

    Raises:
        OSError: the port is in use, or the data folder is.
    """
    async with _started(settings) as (running, work):
        ready(running)
        # Shielded: to be cancelled here must not cut off those who are being answered.
        await asyncio.shield(work)


@asynccontextmanager
async def _started(
    settings: TelegramSettings,
) -> AsyncIterator[tuple[RunningTelegram, asyncio.Task[None]]]:
    with (
        listening_on(settings.host, settings.port, "the chat page") as listening,
        _alone(settings.data_dir),
    ):
        bell, faults = Bell(), Faults()
        with closing(Records(settings.data_dir / "telegram.sqlite", bell)) as records:
            app, delivery = _build(settings, records, bell, faults)
            server = WebServer(app, http=KnownConnection)
            work = asyncio.create_task(_work(server, listening, delivery))
            running = RunningTelegram(settings.host, listening.getsockname()[1], faults)
            _log.info("telegram_ready", page=running.page_url)
            try:
                yield running, work
            finally:
                bell.close()
                server.leave()
                await work


async def _work(server: WebServer, listening: socket.socket, delivery: WebhookDelivery) -> None:
    async with asyncio.TaskGroup() as tasks:
        delivering = tasks.create_task(delivery.run())
        await server.serve(sockets=[listening])
        delivering.cancel()


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OSError(
                error.errno, f"another chat server uses the data in {data_dir}"
            ) from error
        yield


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _build(
    settings: TelegramSettings, records: Records, bell: Bell, faults: Faults
) -> tuple[Starlette, WebhookDelivery]:
    random: Random = SystemRandom()
    updates = Updates(records, bell, faults, _clock_ms)
    chats = Chats(records, updates, _clock_ms, random)
    files = Files(records, settings.data_dir / "files")
    methods = Methods(records, chats, updates, files)
    tokens = Tokens(records, settings.tokens, settings.bot_name, settings.bot_username)
    airdrop = (
        Airdrop(settings.solana_url, settings.test_funds_lamports) if settings.solana_url else None
    )
    people = People(records, chats, bell, _clock_ms, airdrop)
    if not records.people():
        for name in settings.people:
            people.add(name)
    page = Page(
        records,
        people,
        methods.profiles,
        files,
        tokens,
        bell,
        _clock_ms,
        random,
        test_funds=airdrop is not None,
    )
    delivery = WebhookDelivery(
        records,
        updates,
        methods.profiles,
        bell,
        _clock_ms,
        random,
        retry_first_ms=settings.retry_first_ms,
        call_method=methods.call,
    )
    api = BotApi(records, methods, files, tokens, faults)
    routes = [*api.routes(), *people.routes(), *fault_routes(faults), *page.routes()]
    return Starlette(routes=routes), delivery
