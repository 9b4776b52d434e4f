"""Voice: says things to chats, in order and at Telegram's pace.

In        replies and notices for a chat.
Out       whether they were said, can never be, or the person does not want to hear us.
Promises  one chat hears things in the order in which they were given; a chat that Telegram tells
          us to leave alone is left alone so long, and no other waits for it.
Why       an answer that was lost is asked for again, so a message may come twice; never less.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import structlog
import telegram
from telegram import error as telegram_error
from telegram.constants import ParseMode

from bot.factors import Factors
from bot.pace import Pace
from bot.phrases.security import enrol
from bot.replies import Answer, Delete, Edit, Enrol, Keyboard, Reply, Send
from bot.settings import PaceSettings

TRY_AGAIN_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0)
ANSWER_WAIT_S_MAX: Final = 5.0
CHATS_KEPT: Final = 1_000
UNASKED_PART: Final = 0.8

_NO_PREVIEW: Final = telegram.LinkPreviewOptions(is_disabled=True)
_SAID_ALREADY: Final = ("message is not modified",)
_GONE: Final = ("message to edit not found", "message can't be edited", "message to be edited")
_TOO_LATE: Final = ("query is too old", "query id is invalid", "message to delete not found")
_NOBODY: Final = ("chat not found", "user is deactivated", "user not found")

log = structlog.get_logger()


class Said(StrEnum):
    """Say what became of something we wanted to say."""

    SAID = "said"
    BLOCKED = "blocked"
    """The person does not want to hear us."""
    REFUSED = "refused"
    """Telegram will never take it."""
    UNREACHABLE = "unreachable"
    """Telegram could not be reached for minutes."""


@dataclass(slots=True)
class _Chat:
    pace: Pace
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Voice:
    """Speak to chats; all speaking of the process goes through one of these."""

    def __init__(self, bot: telegram.Bot, pace: PaceSettings, factors: Factors) -> None:
        self._bot = bot
        self._factors = factors
        self._settings = pace
        self._all = Pace(pace.all_per_s, max(1, pace.all_per_s // 5))
        self._unasked = Pace(pace.all_per_s * UNASKED_PART, 1)
        self._chats: dict[int, _Chat] = {}

    async def tell(self, chat_id: int, message: Send) -> Said:
        """Say something that nobody asked for, leaving room for what somebody did."""
        wait_s = self._unasked.wait_s(asyncio.get_running_loop().time())
        if wait_s:
            await asyncio.sleep(wait_s)
        return await self.say(chat_id, [message])

    async def say(self, chat_id: int, replies: Sequence[Reply]) -> Said:
        """Say all of ``replies`` to one chat, with nothing else in between."""
        worst = Said.SAID
        async with self._turn(chat_id) as chat:
            for reply in replies:
                said = await self._say(chat, reply)
                if said is not Said.SAID:
                    worst = said
                if said in (Said.BLOCKED, Said.UNREACHABLE):
                    break
        return worst

    async def _say(self, chat: _Chat, reply: Reply) -> Said:
        for pause_s in (*TRY_AGAIN_S, None):
            try:
                if not isinstance(reply, Answer):
                    await self._wait(chat)
                await self._call(reply)
                return Said.SAID
            except telegram_error.RetryAfter as asked:
                if not await self._leave_alone(chat, reply, _seconds(asked)):
                    return Said.SAID
            except telegram_error.Forbidden:
                return Said.BLOCKED
            except telegram_error.ChatMigrated as moved:
                reply = _moved(reply, moved.new_chat_id)
            except telegram_error.BadRequest as refusal:
                followed = _follow(reply, refusal.message.lower())
                if isinstance(followed, Said):
                    if followed is Said.REFUSED:
                        log.error("reply_refused", kind=type(reply).__name__, why=refusal.message)
                    return followed
                reply = followed
            except telegram_error.NetworkError as trouble:
                # The message may have been sent all the same: then it is read twice.
                log.warning("telegram_away", why=type(trouble).__name__, pause_s=pause_s)
                if isinstance(reply, Answer):
                    return Said.SAID
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
        return Said.UNREACHABLE

    async def _call(self, reply: Reply) -> None:
        match reply:
            case Send():
                await self._bot.send_message(
                    reply.chat_id,
                    reply.text,
                    parse_mode=ParseMode.HTML,
                    link_preview_options=_NO_PREVIEW,
                    reply_markup=_markup(reply.keyboard),
                    disable_notification=reply.quiet,
                )
            case Edit():
                await self._bot.edit_message_text(
                    reply.text,
                    chat_id=reply.chat_id,
                    message_id=reply.message_id,
                    parse_mode=ParseMode.HTML,
                    link_preview_options=_NO_PREVIEW,
                    reply_markup=_markup(reply.keyboard),
                )
            case Answer():
                await self._bot.answer_callback_query(
                    reply.query_id, text=reply.text or None, show_alert=reply.alert
                )
            case Delete():
                await self._bot.delete_message(reply.chat_id, reply.message_id)
            case Enrol():
                await self._bot.send_photo(
                    reply.chat_id,
                    self._factors.picture(reply.user, reply.authenticator),
                    caption=enrol(self._factors.secret(reply.user, reply.authenticator)),
                    parse_mode=ParseMode.HTML,
                    reply_markup=_markup(reply.keyboard),
                    protect_content=True,
                )

    async def _wait(self, chat: _Chat) -> None:
        loop = asyncio.get_running_loop()
        for pace in (chat.pace, self._all):
            wait_s = pace.wait_s(loop.time())
            if wait_s:
                await asyncio.sleep(wait_s)

    async def _leave_alone(self, chat: _Chat, reply: Reply, seconds: float) -> bool:
        """Hold a chat back; say whether the reply is still worth saying afterwards."""
        log.warning("telegram_asks_to_wait", seconds=seconds)
        chat.pace.hold_until(asyncio.get_running_loop().time() + seconds)
        if not isinstance(reply, Answer):
            return True
        if seconds > ANSWER_WAIT_S_MAX:
            return False
        await asyncio.sleep(seconds)
        return True

    @asynccontextmanager
    async def _turn(self, chat_id: int) -> AsyncIterator[_Chat]:
        chat = self._chats.get(chat_id)
        if chat is None:
            self._forget_idle()
            pace = Pace(self._settings.chat_per_s, self._settings.chat_burst)
            chat = self._chats[chat_id] = _Chat(pace)
        chat.waiting += 1
        try:
            async with chat.turn:
                yield chat
        finally:
            chat.waiting -= 1

    def _forget_idle(self) -> None:
        if len(self._chats) < CHATS_KEPT:
            return
        now_s = asyncio.get_running_loop().time()
        idle = [
            chat_id
            for chat_id, chat in self._chats.items()
            if not chat.waiting and chat.pace.is_idle(now_s)
        ]
        for chat_id in idle:
            del self._chats[chat_id]


def _markup(keyboard: Keyboard) -> telegram.InlineKeyboardMarkup | None:
    if not keyboard:
        return None
    return telegram.InlineKeyboardMarkup.de_json({"inline_keyboard": keyboard}, None)


def _seconds(asked: telegram_error.RetryAfter) -> float:
    wait = asked.retry_after
    return float(wait if isinstance(wait, int) else wait.total_seconds())


def _moved(reply: Reply, chat_id: int) -> Reply:
    match reply:
        case Send():
            return Send(chat_id, reply.text, reply.keyboard, reply.quiet)
        case Edit():
            return Send(chat_id, reply.text, reply.keyboard)
        case _:
            return reply


def _follow(reply: Reply, words: str) -> Said | Reply:
    """Say what a refusal by Telegram means: done already, nobody there, or say it another way."""
    if any(part in words for part in _SAID_ALREADY + _TOO_LATE):
        return Said.SAID
    if any(part in words for part in _NOBODY):
        return Said.BLOCKED
    if isinstance(reply, Edit) and any(part in words for part in _GONE):
        return Send(reply.chat_id, reply.text, reply.keyboard)
    return Said.REFUSED
