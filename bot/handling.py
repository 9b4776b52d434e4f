"""Handling: stored updates, one person's in order, each with all it causes in one commit.

In        updates that were stored.
Out       intents, dialogues and buttons in the same commit; replies after it.
Promises  a death before the commit handles the update again, as if for the first time; a death
          after it sends what was left to answer; an update that fails again and again is set aside
          and its person is told.
"""

import asyncio
import traceback
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
import telegram

from bot import replies
from bot.bell import Bell, wait
from bot.dispatch import dispatch
from bot.pace import Pace
from bot.phrases import answers
from bot.redaction import without_seal
from bot.replies import Answer, Reply, Send
from bot.turn import Place
from bot.voice import Said, Voice
from storage import people, updates
from storage.connections import Connection, Connections, transaction
from storage.set_aside import set_aside
from storage.updates import Update

UNSENT_MAX: Final = 200
PEOPLE_PACED_MAX: Final = 10_000
REASON_LETTERS_MAX: Final = 300
WARNINGS_PER_S: Final = 0.2
LINGER_S: Final = 0.05

log = structlog.get_logger()


class Handling:
    """Handle stored updates and send what they answer."""

    def __init__(self, place: Place, connections: Connections, voice: Voice, work: Bell) -> None:
        self._place = place
        self._connections = connections
        self._voice = voice
        self._work = work
        self._free = asyncio.Semaphore(UNSENT_MAX)
        self._paces: dict[int, tuple[Pace, Pace]] = {}
        self._answered: list[int] = []
        self._answered_bell = asyncio.Event()

    async def run(self) -> None:
        """Handle until cancelled, after sending what a former life left unsaid."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._send_what_is_left(tasks)
                tasks.create_task(self._mark_answered())
                for _ in range(self._place.settings.handlers):
                    tasks.create_task(self._handle_all(tasks))
        finally:
            await self._mark_now()

    async def handle_one(self, tasks: asyncio.TaskGroup) -> bool:
        """Handle the next update whose turn it is; say whether there was one."""
        update: Update | None = None
        try:
            async with transaction(self._connections) as connection:
                update = await updates.claim(connection)
                if update is None:
                    return False
                said = await self._answers(connection, update)
                await updates.finish(connection, update.id, [replies.stored(r) for r in said])
        except Exception as mistake:
            if update is None:
                raise
            said = await self._note_failure(update, mistake)
        if said:
            await self._send_soon(tasks, update.id, update.person, said)
        return True

    async def _handle_all(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            rung = self._work.listen()
            while await self.handle_one(tasks):
                continue
            await wait(rung, self._place.settings.floor_ms)

    async def _answers(self, connection: Connection, update: Update) -> list[Reply]:
        slower = self._too_fast(update)
        if slower is not None:
            return slower
        return await dispatch(connection, self._place, telegram.Update.de_json(update.payload))

    def _too_fast(self, update: Update) -> list[Reply] | None:
        settings, now_s = self._place.settings.pace, asyncio.get_running_loop().time()
        found = self._paces.get(update.person)
        if found is None:
            if len(self._paces) >= PEOPLE_PACED_MAX:
                self._paces = {
                    person: pair
                    for person, pair in self._paces.items()
                    if not pair[0].is_idle(now_s)
                }
            acts = Pace(settings.acts_per_minute / 60, settings.acts_burst)
            found = self._paces[update.person] = (acts, Pace(WARNINGS_PER_S, 1))
        acts, warnings = found
        if acts.allows(now_s):
            return None
        return _to_whom(update, answers.TOO_FAST) if warnings.allows(now_s) else []

    async def _note_failure(self, update: Update, mistake: Exception) -> list[Reply]:
        reason = f"{type(mistake).__name__}: {mistake}"[:REASON_LETTERS_MAX]
        # Written out here: a renderer that shows local variables would show what people wrote.
        trace = "".join(traceback.format_exception(mistake))
        log.error("update_failed", update=update.id, why=reason, trace=trace)
        async with transaction(self._connections) as connection:
            attempts = await updates.note_failure(connection, update.id, reason)
            if attempts is None or attempts < self._place.settings.tries_max:
                return []
            payload = msgspec.json.encode(without_seal(update.payload)).decode()
            await set_aside(connection, f"updates/{update.id}", payload, reason)
            said = _to_whom(update, answers.WENT_WRONG)
            await updates.finish(connection, update.id, [replies.stored(r) for r in said])
        return said

    async def _send_what_is_left(self, tasks: asyncio.TaskGroup) -> None:
        async with self._connections.acquire() as connection:
            left = await updates.unanswered(connection, UNSENT_MAX)
        for each in left:
            said = [replies.read(reply) for reply in each.replies]
            await self._send_soon(tasks, each.id, each.person, said)

    async def _send_soon(
        self, tasks: asyncio.TaskGroup, update: int, person: int, said: Sequence[Reply]
    ) -> None:
        await self._free.acquire()
        sending = self._send(update, person, said)
        try:
            tasks.create_task(sending)
        except RuntimeError:
            # The bot is ending, and begins nothing more: what is stored is sent by its next life.
            sending.close()
            self._free.release()

    async def _send(self, update: int, person: int, said: Sequence[Reply]) -> None:
        chat_id = _chat(said, person)
        try:
            outcome = await self._voice.say(chat_id, said)
        finally:
            self._free.release()
        if outcome is Said.UNREACHABLE:
            return
        if outcome is Said.BLOCKED and chat_id == person:
            async with self._connections.acquire() as connection:
                await people.block(connection, person, blocked=True)
        self._answered.append(update)
        self._answered_bell.set()

    async def _mark_answered(self) -> None:
        while True:
            await self._answered_bell.wait()
            await asyncio.sleep(LINGER_S)
            self._answered_bell.clear()
            await self._mark_now()

    async def _mark_now(self) -> None:
        done, self._answered = self._answered, []
        if done:
            async with self._connections.acquire() as connection:
                await updates.mark_answered(connection, done)


def _chat(said: Sequence[Reply], person: int) -> int:
    for reply in said:
        if not isinstance(reply, Answer):
            return reply.chat_id
    return person


def _to_whom(update: Update, words: str) -> list[Reply]:
    """Say ``words`` to whoever sent an update, knowing nothing of it but its outline."""
    press: Any = update.payload.get("callback_query")
    if isinstance(press, dict) and isinstance(press.get("id"), str):
        return [Answer(press["id"], words, alert=True)]
    message: Any = update.payload.get("message")
    chat = message.get("chat") if isinstance(message, dict) else None
    if isinstance(chat, dict) and chat.get("type") == "private" and isinstance(chat.get("id"), int):
        return [Send(chat["id"], words)]
    return []
