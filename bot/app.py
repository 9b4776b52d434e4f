"""App: the bot as one process: intake, handling and telling, joined and run together.

In        settings, the database, the live prices, the clock and the randomness.
Out       a conversation; nothing else leaves this process but what its people asked for.
Promises  one bot at a time works on a database; it has no signing key and no way to the chain; the
          token is in no log line.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog
import telegram
from telegram import error as telegram_error
from telegram.request import HTTPXRequest

from bot.acts import MENU
from bot.bell import Bell
from bot.factors import Factors
from bot.handling import Handling
from bot.intake import Intake, poll, serve_webhook, until_reached
from bot.settings import BotSettings
from bot.telling import Telling
from bot.turn import Place, Prices
from bot.voice import Voice
from rooms.units import UnixMs
from storage import buttons, updates
from storage.connections import Connection, Connections

TOKEN_BYTES: Final = 16
TIDY_S: Final = 3_600
KEPT_MS: Final = 14 * 86_400_000
TURN_PAUSE_S: Final = 0.2
CALLS_AT_ONCE: Final = 64
CALL_S: Final = 15.0

log = structlog.get_logger()


class QuietBot(telegram.Bot):
    """A bot whose repr does not show its token."""

    def __repr__(self) -> str:
        return "QuietBot()"


class BadTokenError(Exception):
    """Telegram does not know the token; the message does not show it."""


class LeaseLostError(Exception):
    """The connection that makes this the one bot is gone; start again."""


async def run_bot(
    settings: BotSettings,
    connections: Connections,
    prices: Prices,
    *,
    ready: Callable[[], None] = lambda: None,
    clock: Callable[[], UnixMs] = lambda: UnixMs(time.time_ns() // 1_000_000),
    token: Callable[[], str] = lambda: secrets.token_urlsafe(TOKEN_BYTES),
) -> None:
    """Be the bot until cancelled.

    Args:
        settings: what the operator says.
        connections: at least ``settings.handlers`` + 5 of them.
        prices: where the prices of now are read.
        ready: told once Telegram answers and updates are taken.
        clock: the time now.
        token: makes a button's token: 128 random bits as text.

    Raises:
        BadTokenError: when Telegram does not know the token.
        LeaseLostError: when the database went away.
    """
    prepare_library()
    bot = QuietBot(
        settings.token,
        base_url=settings.base_url,
        request=HTTPXRequest(connection_pool_size=CALLS_AT_ONCE, read_timeout=CALL_S),
    )
    try:
        await _come_up(bot)
        async with connections.acquire() as lease:
            await _take_turn(lease)
            await _live(settings, connections, prices, bot, lease, ready, clock, token)
    finally:
        await bot.shutdown()


async def _live(
    settings: BotSettings,
    connections: Connections,
    prices: Prices,
    bot: telegram.Bot,
    lease: Connection,
    ready: Callable[[], None],
    clock: Callable[[], UnixMs],
    token: Callable[[], str],
) -> None:
    factors = Factors(settings.factor_key)
    place = Place(
        settings=settings, prices=prices, factors=factors, username=bot.username, token=token,
        now=clock,
    )  # fmt: skip
    work, voice = Bell(), Voice(bot, settings.pace, factors)
    intake = Intake(connections, work, factors)
    lost = asyncio.Event()

    def lose(_: object) -> None:
        lost.set()

    lease.add_termination_listener(lose)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_end_with(lost))
            tasks.create_task(Handling(place, connections, voice, work).run())
            tasks.create_task(Telling(place, connections, voice).run())
            tasks.create_task(_tidy(connections))
            tasks.create_task(_introduce(bot))
            if settings.webhook is None:
                tasks.create_task(poll(bot, intake, settings.poll_s, ready))
            else:
                tasks.create_task(serve_webhook(bot, intake, settings.webhook, ready))
            log.info("bot_started", username=bot.username, webhook=settings.webhook is not None)
    finally:
        # A connection that has ended takes no more calls, and its listeners went with it.
        if not lease.is_closed():
            lease.remove_termination_listener(lose)
            await updates.leave_turn(lease)


def prepare_library() -> None:
    """Keep the token out of the library's log lines, and have it speak of time in one way."""
    for name in ("httpx", "httpcore", "telegram"):
        # Their lines name whole addresses, in which the token stands.
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    # Without this every 429 warns of a coming change of its own.
    os.environ["PTB_TIMEDELTA"] = "true"


async def _come_up(bot: telegram.Bot) -> None:
    try:
        await until_reached(bot.initialize)
    except telegram_error.InvalidToken:
        # The library's own message quotes the token.
        raise BadTokenError("Telegram does not know this bot's token; check it") from None


async def _take_turn(lease: Connection) -> None:
    waited = False
    while not await updates.take_turn(lease):
        if not waited:
            log.warning("another_bot_works_here", then="this one waits until it ends")
            waited = True
        await asyncio.sleep(TURN_PAUSE_S)


async def _end_with(lost: asyncio.Event) -> None:
    await lost.wait()
    raise LeaseLostError("the connection that makes this the one bot was lost")


async def _introduce(bot: telegram.Bot) -> None:
    await until_reached(lambda: bot.set_my_commands(MENU))


async def _tidy(connections: Connections) -> None:
    while True:
        async with connections.acquire() as connection:
            await buttons.forget(connection, kept_ms=KEPT_MS)
            await updates.forget(connection, kept_ms=KEPT_MS)
        await asyncio.sleep(TIDY_S)
