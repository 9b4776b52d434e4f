"""Telling: what happened, told to those who should hear it, money first.

In        numbered events; the notices made of them.
Out       messages, several of one person's in one when they have gathered.
Promises  each notice is told at least once and marked when it was; one person's come in the order
          of the events; a person who blocked us keeps theirs; nothing about money waits for it.
"""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import structlog

from bot import buttons, replies
from bot.bell import Bell, wait
from bot.buttons import Keys
from bot.phrases.notices import notice
from bot.replies import Send
from bot.turn import Place, lay_out
from bot.voice import Said, Voice
from rooms.event import Kind
from storage import buttons as shown
from storage import cards, events, notices, people
from storage.cards import RoomCard
from storage.connections import Connections, transaction
from storage.notices import Notice

SPREAD_AT_ONCE: Final = 500
PEOPLE_AT_ONCE: Final = 50
LETTERS_MAX: Final = 3_500

log = structlog.get_logger()


class Telling:
    """Turn events into notices, and tell them."""

    def __init__(self, place: Place, connections: Connections, voice: Voice) -> None:
        self._place = place
        self._connections = connections
        self._voice = voice
        self._busy: set[int] = set()
        self._work = Bell()

    async def run(self) -> None:
        """Spread and tell until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._spread())
            tasks.create_task(self._tell(tasks))

    async def _spread(self) -> None:
        async with events.bell(self._connections) as bell:
            while True:
                bell.clear()
                while await self.spread_some():
                    self._work.ring()
                await bell.wait(self._place.settings.floor_ms / 1_000)

    async def spread_some(self) -> int:
        """Make notices of the next events; return how many events there were."""
        async with transaction(self._connections) as connection:
            return await notices.spread(connection, SPREAD_AT_ONCE)

    async def _tell(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            rung = self._work.listen()
            free = PEOPLE_AT_ONCE - len(self._busy)
            async with self._connections.acquire() as connection:
                due = await notices.due(connection, free, but=self._busy) if free > 0 else []
            for user, theirs in groupby(due, key=lambda each: each.user):
                self._busy.add(user)
                tasks.create_task(self._tell_one(list(theirs)))
            await wait(rung, self._place.settings.floor_ms)

    async def _tell_one(self, due: Sequence[Notice]) -> None:
        user = due[0].user
        try:
            await self.tell(due)
        finally:
            self._busy.discard(user)
            self._work.ring()

    async def tell(self, due: Sequence[Notice]) -> None:
        """Tell one person all of ``due`` in one message, and mark what was told."""
        user, chat_id = due[0].user, due[0].chat_id
        taken, message = await self._message(due)
        said = Said.SAID if message is None else await self._voice.tell(chat_id, message)
        ids = [each.id for each in taken]
        async with transaction(self._connections) as connection:
            match said:
                case Said.SAID:
                    await notices.mark_told(connection, ids)
                case Said.BLOCKED:
                    await people.block(connection, user, blocked=True)
                case Said.REFUSED:
                    await notices.give_up(connection, ids, "refused by Telegram")
                case Said.UNREACHABLE:
                    log.warning("notices_wait", user=user, notices=len(ids))

    async def _message(self, due: Sequence[Notice]) -> tuple[list[Notice], Send | None]:
        """Put notices into one message, as many as it holds, with their buttons written down."""
        place, now = self._place, self._place.now()
        async with transaction(self._connections) as connection:
            taken: list[Notice] = []
            texts: list[str] = []
            keys: Keys = []
            for each in due:
                room = each.event.get("room")
                card = await cards.room(connection, int(room), each.user) if room else None
                text = notice(each.event, card, now, place.settings.explorer)
                if texts and sum(map(len, texts)) + len(text) > LETTERS_MAX:
                    break
                taken.append(each)
                if text:
                    texts.append(text)
                    keys = self._keys(each, card) or keys
            if not texts:
                return taken, None
            keyboard, written = lay_out(place, due[0].user, now, keys)
            if written:
                await shown.show(connection, written)
        return taken, replies.Send(due[0].chat_id, "\n\n".join(texts), keyboard)

    def _keys(self, each: Notice, card: RoomCard | None) -> Keys:
        kind = each.event["kind"]
        if kind == Kind.WALLET_READY:
            return buttons.home()
        if kind == Kind.WITHDRAWAL_ACCEPTED and int(each.event["due_at"]) > self._place.now():
            return buttons.careful(int(each.event["withdrawal"]))
        if card is None:
            return []
        if kind == Kind.ROOM_OPENED:
            return buttons.share(card.room.id, self._place.room_link(card.room.id))
        return buttons.to_room(card.room.id)
