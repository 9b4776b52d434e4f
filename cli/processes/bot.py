"""Bot: talks to people in Telegram; the only process with the token."""

from typing import Final

from bot.app import run_bot
from bot.factors import KEY_LETTERS_MIN
from bot.settings import BotSettings, PaceSettings
from cli.clock import now_ms
from cli.ready import tell_ready
from cli.settings import Settings
from rooms.refusal import CannotGoOn
from storage.connections import open_connections
from storage.live import open_live

QUICK: Final = PaceSettings(
    all_per_s=200, chat_per_s=50, chat_burst=50, acts_per_minute=600, acts_burst=200
)
"""The stand-in for Telegram on this machine takes more than Telegram does."""


async def run(settings: Settings) -> None:
    """Talk to people."""
    if not settings.telegram_token.get_secret_value():
        raise CannotGoOn("set ROOMS_TELEGRAM_TOKEN: Telegram's BotFather gives one")
    factor_key = settings.factor_key.get_secret_value()
    if len(factor_key) < KEY_LETTERS_MIN:
        raise CannotGoOn(
            f"set ROOMS_FACTOR_KEY to at least {KEY_LETTERS_MIN} random letters, once: "
            "PINs are sealed with it"
        )
    told = BotSettings(
        factor_key=factor_key,
        token=settings.telegram_token.get_secret_value(),
        base_url=settings.telegram_url,
        limits=settings.limits,
        token_stakes=settings.token_stakes,
        pace=QUICK if settings.profile == "embedded" else PaceSettings(),
    )
    async with (
        open_connections(settings.dsn, name="bot", size_max=told.handlers + 6) as connections,
        open_live(settings.redis_url.get_secret_value()) as live,
    ):
        await run_bot(told, connections, live, ready=tell_ready, clock=now_ms)
