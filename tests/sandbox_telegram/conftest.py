"""A running stand-in for Telegram, and a bot that is python-telegram-bot, unmodified."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from telegram import (
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Update,
)
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    filters,
)
from telegram.request import HTTPXRequest

from sandbox.telegram.serve import RunningTelegram, TelegramSettings, running_telegram

TOKEN = "777000:a-token-for-tests"
WALLET = "7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"

App = Application[Any, Any, Any, Any, Any, Any]
SIDES = InlineKeyboardMarkup(
    [
        [
            InlineKeyboardButton("YES 1.9x", callback_data="bet:y"),
            InlineKeyboardButton("NO 2.3x", callback_data="bet:n"),
        ]
    ]
)


@dataclass
class Api:
    """The Bot API by plain HTTP: what is answered, envelope and all."""

    client: httpx.AsyncClient
    base_url: str
    token: str = TOKEN

    async def call(self, method: str, **values: object) -> tuple[int, dict[str, Any]]:
        """Call one method with a JSON body and answer status and envelope."""
        url = f"{self.base_url}{self.token}/{method}"
        response = await self.client.post(url, json=values)
        return response.status_code, response.json()

    async def result(self, method: str, **values: object) -> Any:  # noqa: ANN401 (JSON)
        """Call one method that must succeed and answer its result."""
        _, envelope = await self.call(method, **values)
        assert envelope["ok"], envelope
        return envelope["result"]

    async def refusal(self, method: str, **values: object) -> tuple[int, str]:
        """Call one method that must be refused and answer why."""
        status, envelope = await self.call(method, **values)
        assert envelope["ok"] is False, envelope
        assert envelope["error_code"] == status
        return status, str(envelope["description"])


def no_authorities() -> ssl.SSLContext:
    """Make what a client needs for TLS, empty: all is plain HTTP here, and loading takes time."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_http() -> httpx.AsyncClient:
    """Make a client for plain HTTP."""
    return httpx.AsyncClient(timeout=10, trust_env=False, verify=no_authorities())


@pytest.fixture
def settings(tmp_path: Path) -> TelegramSettings:
    """Settings whose data live as long as the test."""
    return TelegramSettings(data_dir=tmp_path, retry_first_ms=20)


@pytest.fixture
async def telegram(settings: TelegramSettings) -> AsyncIterator[RunningTelegram]:
    """A running stand-in."""
    async with running_telegram(settings) as running:
        yield running


@pytest.fixture
async def api(telegram: RunningTelegram) -> AsyncIterator[Api]:
    """The Bot API of the running stand-in, and its one bot already known."""
    async with plain_http() as client:
        api = Api(client, telegram.base_url)
        await api.result("getMe")
        yield api


RunBot = Callable[[], AbstractAsyncContextManager[App]]


@pytest.fixture
def bot(telegram: RunningTelegram) -> RunBot:
    """A bot that hears by getUpdates while its context lasts."""
    return lambda: polling_bot(telegram)


@asynccontextmanager
async def polling_bot(telegram: RunningTelegram) -> AsyncIterator[App]:
    """Run a bot that hears by getUpdates."""
    app = build_bot(telegram)
    async with app:
        await app.bot.set_my_commands([BotCommand("start", "Begin")])
        await app.start()
        assert app.updater is not None
        await app.updater.start_polling(poll_interval=0, timeout=5)
        try:
            yield app
        finally:
            await app.updater.stop()
            await app.stop()


def build_bot(telegram: RunningTelegram, *, by_webhook: bool = False) -> App:
    """Build a bot that greets, offers two sides, takes a bet and repeats other words."""
    builder = (
        ApplicationBuilder()
        .token(TOKEN)
        .base_url(telegram.base_url)
        .base_file_url(telegram.base_file_url)
        .request(HTTPXRequest(httpx_kwargs={"verify": no_authorities()}))
        .get_updates_request(HTTPXRequest(httpx_kwargs={"verify": no_authorities()}))
    )
    app = (builder.updater(None) if by_webhook else builder).build()
    app.add_handler(CommandHandler("start", greet))
    app.add_handler(CommandHandler("room", offer))
    app.add_handler(CallbackQueryHandler(take))
    app.add_handler(MessageHandler(filters.TEXT & ~filters.COMMAND, repeat))
    return app


async def greet(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    """Show a wallet and what the deep link brought."""
    assert update.message is not None
    assert update.effective_user is not None
    payload = " ".join(context.args or [])
    await update.message.reply_html(
        f"Hello <b>{update.effective_user.first_name}</b> {payload}\n<code>{WALLET}</code>"
    )


async def offer(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
    """Offer the two sides."""
    assert update.message is not None
    await update.message.reply_html("Pick a <i>side</i>", reply_markup=SIDES)


async def take(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
    """Answer the press and edit the card."""
    assert update.callback_query is not None
    await update.callback_query.answer("Taken")
    await update.callback_query.edit_message_text(f"You took {update.callback_query.data}")


async def repeat(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
    """Say it again."""
    assert update.message is not None
    await update.message.reply_text(f"You said {update.message.text}")
