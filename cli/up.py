"""Up: starts everything on this machine, says where it is, and keeps it alive.

In        an embedded stack.
Out       lines to follow; the address of the chat page.
Promises  what is printed as ready is ready; Ctrl-C stops everything; whatever cannot work ends in
          one clear line and an exit code that is not 0.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.embedded import DATABASE, PUBLIC, SANDBOX, Stack
from cli.logs import LogFormat, set_up_logs
from cli.migrate import migrate_all
from cli.probes import reaches
from cli.settings import read_settings_from
from cli.supervisor import Supervisor
from rooms.refusal import CannotGoOn
from sandbox.postgres import ensure_database
from sandbox.venues.recording import load
from sandbox.venues.spoken import SPOKEN

PUBLIC_HOSTS = (
    ("stream.binance.com", 443),
    ("ws-feed.exchange.coinbase.com", 443),
    ("ws.kraken.com", 443),
    ("ws.okx.com", 8443),
    ("stream.bybit.com", 443),
    ("ws.bitstamp.net", 443),
    ("api.gemini.com", 443),
)
QUORUM = 3
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


class Lines:
    """Show each child's lines behind its name, aligned and in its own colour."""

    def __init__(self, console: Console, form: LogFormat) -> None:
        self._console = console
        self._form = form
        self._colours: dict[str, str] = {}

    def __call__(self, name: str, line: str) -> None:
        if self._form == "json":
            self._console.out(line, highlight=False)
            return
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        text = Text(f"{name:<9}│ ", style=colour)
        text.append_text(Text.from_ansi(line))
        self._console.print(text, soft_wrap=True)


async def choose_venues(wish: str) -> str:
    """Choose public venues when enough of them can be reached, unless the person wants others."""
    if wish != "auto":
        return wish
    reached = await asyncio.gather(*(reaches(host, port) for host, port in PUBLIC_HOSTS))
    return PUBLIC if sum(reached) >= QUORUM else SANDBOX


@asynccontextmanager
async def running_stack(stack: Stack, console: Console) -> AsyncIterator[Supervisor]:
    """Start everything and keep it alive while the block runs.

    Raises:
        ChildLost: when a part cannot be kept alive.
        CannotGoOn: before anything is started, when the recording holds nothing to serve.
    """
    if stack.recording is not None:
        await asyncio.to_thread(_require_frames, stack.recording)
    set_up_logs("up", "people", level=logging.WARNING)
    say = Lines(console, stack.log_format)
    begun = time.monotonic()

    def step(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/]  {what}", soft_wrap=True)

    step("preparing the database and the keys")
    async with AsyncExitStack() as held:
        held.enter_context(stack.alone())
        await asyncio.to_thread(stack.prepare_folder, step)
        supervisor = await held.enter_async_context(Supervisor(say).running())
        step(f"starting PostgreSQL, Valkey, {stack.broker}, Solana, Telegram and the venues")
        await supervisor.start(stack.servers())
        step("bringing schema, topics and feeds up to date")
        await asyncio.to_thread(ensure_database, stack.postgres, DATABASE)
        await migrate_all(read_settings_from(stack.environment()))
        await stack.fund_operator()
        processes = stack.processes()
        step(f"starting {', '.join(child.name for child in processes)}")
        await supervisor.start(processes)
        await stack.set_webhook()
        step("everything is ready")
        yield supervisor


def _require_frames(recording: Path) -> None:
    try:
        load(recording, SPOKEN)
    except (ValueError, LookupError, TypeError, EOFError, StopIteration, RuntimeError) as trouble:
        raise CannotGoOn(
            f"{recording} holds no frames that can be served ({type(trouble).__name__}): give a "
            "file or a folder of captured frames, or segments of a recording"
        ) from trouble
    except OSError as trouble:
        raise CannotGoOn(f"{recording} cannot be read: {trouble}") from trouble


async def up(stack: Stack, console: Console) -> None:
    """Start everything, say where it is, and stay until told to stop."""
    async with running_stack(stack, console):
        said = (
            "public venue sockets"
            if stack.venues == PUBLIC
            else f"the recording {stack.recording}"
            if stack.recording
            else "the sandbox venues (no public network was found, or none was wanted)"
        )
        console.print(f"\n  prices from    {said}")
        console.print(f"  chat page      [bold underline]{stack.page_url}[/]")
        console.print(f"  live prices    {stack.gateway_url}/prices")
        console.print(f"  settlements    {stack.gateway_url}/settlements")
        for name, url in list(stack.gateways.items())[1:]:
            console.print(f"  {name:<14} {url}/v1")
        console.print(f"  data           {stack.folder}")
        console.print("\n  Ctrl-C stops everything.\n")
        try:
            await asyncio.Event().wait()
        finally:
            console.print("\n  stopping everything …")
