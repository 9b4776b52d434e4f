"""Telegram update: what one update costs in processor time.

Run       python -m benchmarks.telegram_update [--quick]
Out       P8: milliseconds of processor time from a person's message to the bot's answer, p50 and
          p99, beside a bare python-telegram-bot handler that makes the same Bot API calls.
Why       both talk to the same Bot API stand-in, each in a process of its own that is asked for its
          processor time before the message and after the answer; messages take turns.
"""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import telegram
from telegram.ext import Application, CommandHandler, ContextTypes

from benchmarks.alone import Options, run_alone
from benchmarks.figure import Figure, Goal
from benchmarks.stand import REPOSITORY, Stand
from bot.app import prepare_library, run_bot
from bot.settings import BotSettings, PaceSettings
from cli.logs import set_up_logs
from rooms.room import RoomLimits
from sandbox.telegram.person import Person
from sandbox.telegram.serve import TelegramSettings, running_telegram
from storage.connections import open_connections
from storage.live import open_live

UPDATES: Final = 200
COMMAND: Final = "/help"
LIMIT_S: Final = 40.0
POLL_S: Final = 20
REST_S: Final = 0.05
LOOK_EVERY_S: Final = 0.02
FREE: Final = PaceSettings(
    all_per_s=1_000, chat_per_s=1_000, chat_burst=1_000, acts_per_minute=60_000, acts_burst=10_000
)
TOKENS: Final = {"ours": "4711:AAours-token_for-the-stand-in-00001", "bare": "4712:AAbare-token"}


async def ours(base_url: str, token: str, dsn: str, redis_url: str) -> None:
    """Be the product's own bot."""
    settings = BotSettings(
        token=token,
        base_url=base_url,
        factor_key="f" * 64,
        limits=RoomLimits(),
        pace=FREE,
        poll_s=POLL_S,
    )
    async with (
        open_connections(dsn, name="bot", size_max=settings.handlers + 6) as connections,
        open_live(redis_url) as live,
    ):
        await run_bot(settings, connections, live)


async def bare(base_url: str, token: str) -> None:
    """Be a bot as the library's examples write it, with the same call for an answer."""
    prepare_library()
    app: Any = Application.builder().token(token).base_url(base_url).build()

    async def answer(update: telegram.Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        await update.message.reply_html(
            SAID, link_preview_options=telegram.LinkPreviewOptions(is_disabled=True)
        )

    app.add_handler(CommandHandler(["help", "start"], answer))
    await app.initialize()
    await app.start()
    await app.updater.start_polling(timeout=POLL_S)
    await asyncio.Event().wait()


SAID: Final = "ROOMS " + "a room is a bet on one sentence. " * 20


@dataclass(frozen=True, slots=True)
class Speaker:
    """A bot in a process of its own, and a person who writes to it."""

    person: Person
    child: asyncio.subprocess.Process

    async def spent_ms(self) -> float:
        """Ask the bot how much processor time it has used."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(b"?\n")
        return int(await asyncio.wait_for(self.child.stdout.readline(), LIMIT_S)) / 1e6

    async def ask(self, text: str) -> None:
        """Write and wait for the answer."""
        number = await self.person.say(text)
        async with asyncio.timeout(LIMIT_S):
            while not any(  # noqa: ASYNC110 - a chat tells nothing
                each.by_bot and each.message_id > number for each in await self.person.messages()
            ):
                await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.sleep(REST_S)

    async def meet(self) -> None:
        """Write until the bot is there and answers."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await self.ask("/start")
                except RuntimeError:  # No bot has called yet.
                    await asyncio.sleep(LOOK_EVERY_S)
                else:
                    return

    async def update_ms(self) -> float:
        """Return the processor time of one update."""
        before = await self.spent_ms()
        await self.ask(COMMAND)
        return await self.spent_ms() - before


@asynccontextmanager
async def speaker(name: str, folder: Any, *where: str) -> AsyncIterator[Speaker]:  # noqa: ANN401
    """Start a bot on a stand-in of its own, and let a person meet it."""
    async with AsyncExitStack() as held:
        served = await held.enter_async_context(
            running_telegram(TelegramSettings(data_dir=folder / f"telegram-{name}", people=()))
        )
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.telegram_update", name, served.base_url,
            TOKENS[name], *where, cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            person = await held.enter_async_context(Person.joins(served.page_url, "Ann"))
            found = Speaker(person, child)
            await found.meet()
            await found.ask(COMMAND)
            yield found
        finally:
            child.kill()
            await child.wait()


def share(values: Sequence[float], per_mille: int) -> float:
    """Return the value below which so many in a thousand lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * per_mille // 1000)]


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Write to both in turns."""
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    async with (
        speaker("ours", stand.folder, stand.database(), stand.valkey.url()) as product,
        speaker("bare", stand.folder) as library,
    ):
        for _ in range(options.pick(UPDATES, 5)):
            found["ours"].append(await product.update_ms())
            found["bare"].append(await library.update_ms())
    return [
        Figure(
            number="P8",
            what=f"processor time of an update, {name}",
            ours=share(found["ours"], per_mille),
            unit="ms",
            peer=share(found["bare"], per_mille),
            against="bare python-telegram-bot, the same calls",
            goal=Goal(most=1.5),
        )
        for name, per_mille in (("p50", 500), ("p99", 990))
    ]


def _answer_for_time() -> None:
    for _ in sys.stdin:
        print(time.process_time_ns(), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in TOKENS:
        set_up_logs("bot", "people", level=40)
        threading.Thread(target=_answer_for_time, daemon=True).start()
        asyncio.run(ours(*sys.argv[2:]) if sys.argv[1] == "ours" else bare(*sys.argv[2:]))
    else:
        run_alone(measure, __doc__)
