"""Chats: what a person and a bot write to each other, and what becomes of it.

In        a person's words and presses; a bot's messages, edits and answers.
Out       messages as the Bot API shows them, updates for the bot, events for whoever watches.
Promises  each act is one transaction: message, event and update are there together or not at all.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Any

from sandbox.telegram.base58 import find_address
from sandbox.telegram.directory import Directory
from sandbox.telegram.entities import read_text
from sandbox.telegram.markup import Markup
from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import bad_request, forbidden
from sandbox.telegram.updates import Updates

TEXT_MAX = 4096
ANSWER_MAX = 200
CALLBACK_ANSWER_MS = 150 * 1000
DELETE_WITHIN_S = 48 * 3600

_ASKS_FOR_WALLET = re.compile(r"/(start|wallet)\b")


class Chats:
    """Carry words between people and bots, one private chat for each pair."""

    def __init__(
        self, records: Records, updates: Updates, clock_ms: Callable[[], int], random: Random
    ) -> None:
        self._records = records
        self._updates = updates
        self._clock_ms = clock_ms
        self._random = random
        self._who = Directory(records)

    # What people do

    def say(self, bot_id: int, person_id: int, text: str, reply_to: int | None = None) -> Json:
        """Let a person write to a bot, which opens the chat when it is the first time."""
        text, entities = read_text(text, None)
        if not text:
            raise bad_request("message text is empty")
        if len(text) > TEXT_MAX:
            raise bad_request("message is too long")
        content: Json = {"text": text} | ({"entities": entities} if entities else {})
        with self._records.transaction():
            chat = self._records.chat(bot_id, person_id) or {}
            if chat.get("blocked"):
                raise forbidden("unblock the bot before writing to it")
            keyboard = chat.get("keyboard") or {}
            used_up = keyboard.get("one_time_keyboard") or keyboard.get("force_reply")
            if used_up:
                chat.pop("keyboard")
            chat["asked_for_wallet"] = bool(_ASKS_FOR_WALLET.match(text))
            self._records.save_chat(bot_id, person_id, chat)
            if reply_to is not None:
                content["reply_to_message"] = self._reply_target(bot_id, person_id, reply_to)
            message = self._new_message(bot_id, person_id, self._who.person(person_id), content)
            self._tell(bot_id, person_id, "message", message)
            if used_up:
                self._tell(bot_id, person_id, "keyboard", None)
            self._updates.push_message(bot_id, person_id, "message", message)
        return message

    def press(self, bot_id: int, person_id: int, message_id: int, data: str) -> str:
        """Let a person press an inline button, or forge its data, and name the query it makes."""
        query_id = str(self._random.randrange(10**18, 10**19))
        with self._records.transaction():
            message = self._records.message(bot_id, person_id, message_id)
            if message is None:
                raise bad_request("message not found")
            self._records.execute(
                "DELETE FROM callbacks WHERE asked_at < ?", self._clock_ms() - CALLBACK_ANSWER_MS
            )
            self._records.execute(
                "INSERT INTO callbacks VALUES (?, ?, ?, ?, ?)",
                query_id,
                bot_id,
                person_id,
                message_id,
                self._clock_ms(),
            )
            chat = self._chat(bot_id, person_id)
            self._records.save_chat(bot_id, person_id, {**chat, "asked_for_wallet": False})
            self._updates.push_callback(
                bot_id,
                person_id,
                {
                    "id": query_id,
                    "from": self._who.person(person_id),
                    "message": message,
                    "chat_instance": str(-(person_id * 1_000_003 + bot_id)),
                    "data": data,
                },
            )
        return query_id

    def block(self, bot_id: int, person_id: int, *, blocked: bool) -> None:
        """Let a person block a bot or take it back; the bot is told, as Telegram tells it."""
        with self._records.transaction():
            chat = self._records.chat(bot_id, person_id)
            if chat is None or bool(chat.get("blocked")) == blocked:
                return
            self._records.save_chat(bot_id, person_id, {**chat, "blocked": blocked})
            self._tell(bot_id, person_id, "blocked", blocked)
            before, after = ("member", "kicked") if blocked else ("kicked", "member")
            bot = self._who.bot(bot_id)
            until = {"until_date": 0}
            self._updates.push_message(
                bot_id,
                person_id,
                "my_chat_member",
                {
                    "chat": self._who.chat(person_id),
                    "from": self._who.person(person_id),
                    "date": self._clock_ms() // 1000,
                    "old_chat_member": {"user": bot, "status": before}
                    | (until if not blocked else {}),
                    "new_chat_member": {"user": bot, "status": after} | (until if blocked else {}),
                },
            )

    # What bots do

    def post(
        self,
        bot_id: int,
        person_id: int,
        content: Json,
        markup: Markup,
        reply_to: int | None = None,
        *,
        reply_must_exist: bool = True,
    ) -> Json:
        """Let a bot write to a person: ``content`` is the text or the photo with its caption."""
        with self._records.transaction():
            chat = self.require_open(bot_id, person_id)
            if reply_to is not None:
                target = self._records.message(bot_id, person_id, reply_to)
                if target is not None or reply_must_exist:
                    target = self._reply_target(bot_id, person_id, reply_to)
                    content = {**content, "reply_to_message": target}
            if markup.inline:
                content = {**content, "reply_markup": markup.inline}
            message = self._new_message(bot_id, person_id, self._who.bot(bot_id), content)
            if markup.keyboard is not None:
                chat["keyboard"] = markup.keyboard | {"message_id": message["message_id"]}
                if markup.keyboard.get("remove_keyboard"):
                    chat.pop("keyboard")
            self._records.save_chat(bot_id, person_id, _with_wallet(chat, message))
            self._tell(bot_id, person_id, "message", message)
            if markup.keyboard is not None:
                self._tell(bot_id, person_id, "keyboard", chat.get("keyboard"))
        return message

    def edit(
        self,
        bot_id: int,
        person_id: int,
        message_id: int | None,
        change: Callable[[Json], Json],
    ) -> Json:
        """Let a bot change its own message; a change that changes nothing is refused."""
        with self._records.transaction():
            chat = self._chat(bot_id, person_id)
            if message_id is None:
                raise bad_request("message identifier is not specified")
            old = self._records.message(bot_id, person_id, message_id)
            if old is None:
                raise bad_request("message to edit not found")
            if old["from"]["id"] != bot_id:
                raise bad_request("message can't be edited")
            new = change(dict(old))
            if new == old:
                raise bad_request(
                    "message is not modified: specified new message content and reply markup are "
                    "exactly the same as a current content and reply markup of the message"
                )
            new["edit_date"] = self._clock_ms() // 1000
            self._records.save_chat(bot_id, person_id, _with_wallet(chat, new))
            self._tell(bot_id, person_id, "edited", new)
        return new

    def delete(self, bot_id: int, person_id: int, message_id: int | None) -> None:
        """Let a bot take a message of the last 48 hours out of a chat."""
        with self._records.transaction():
            self._chat(bot_id, person_id)
            if message_id is None:
                raise bad_request("message identifier is not specified")
            message = self._records.message(bot_id, person_id, message_id)
            if message is None:
                raise bad_request("message to delete not found")
            if self._clock_ms() // 1000 - message["date"] > DELETE_WITHIN_S:
                raise bad_request("message can't be deleted for everyone")
            self._records.delete_message(bot_id, person_id, message_id)
            self._tell(bot_id, person_id, "deleted", message_id)

    def answer(self, bot_id: int, query_id: str, text: str, url: str, *, alert: bool) -> None:
        """Let a bot answer a press, once and in time: a toast, an alert, a link or nothing."""
        if len(text) > ANSWER_MAX:
            raise bad_request("MESSAGE_TOO_LONG")
        with self._records.transaction():
            rows = self._records.rows(
                """SELECT person_id, message_id, asked_at FROM callbacks
                   WHERE query_id = ? AND bot_id = ?""",
                query_id,
                bot_id,
            )
            if not rows or self._clock_ms() - rows[0][2] > CALLBACK_ANSWER_MS:
                raise bad_request(
                    "query is too old and response timeout expired or query ID is invalid"
                )
            self._records.execute("DELETE FROM callbacks WHERE query_id = ?", query_id)
            answer = {
                "query_id": query_id,
                "message_id": rows[0][1],
                "text": text,
                "alert": alert,
                "url": url,
            }
            self._tell(bot_id, rows[0][0], "answer", answer)

    def act(self, bot_id: int, person_id: int, action: str) -> None:
        """Let a bot show that it is typing, or uploading."""
        with self._records.transaction():
            self.require_open(bot_id, person_id)
            self._tell(bot_id, person_id, "action", action)

    def require_open(self, bot_id: int, person_id: int) -> Json:
        """Find a chat that the bot may write to, or refuse."""
        chat = self._chat(bot_id, person_id)
        if chat.get("blocked"):
            raise forbidden("bot was blocked by the user")
        return chat

    def tell_all(self, bot_id: int, kind: str) -> None:
        """Tell everyone who watches that something about the bot itself has changed."""
        self._records.add_event(bot_id, 0, {"kind": kind})

    def _chat(self, bot_id: int, person_id: int) -> Json:
        chat = self._records.chat(bot_id, person_id)
        if chat is None:
            raise bad_request("chat not found")
        return chat

    def _reply_target(self, bot_id: int, person_id: int, message_id: int) -> Json:
        target = self._records.message(bot_id, person_id, message_id)
        if target is None:
            raise bad_request("message to be replied not found")
        target.pop("reply_to_message", None)
        return target

    def _new_message(self, bot_id: int, person_id: int, sender: Json, content: Json) -> Json:
        return {
            "message_id": self._records.next_message_id(bot_id, person_id),
            "from": sender,
            "chat": self._who.chat(person_id),
            "date": self._clock_ms() // 1000,
            **content,
        }

    def _tell(self, bot_id: int, person_id: int, kind: str, what: Any) -> None:  # noqa: ANN401 (JSON)
        name = "message" if kind in {"message", "edited"} else kind
        seq = self._records.add_event(bot_id, person_id, {"kind": kind, name: what})
        if name == "message":
            self._records.save_message(bot_id, person_id, seq, what)


def _with_wallet(chat: Json, message: Json) -> Json:
    # Only the answer to /start or /wallet counts: other messages show other people's addresses.
    address = find_address(message) if chat.get("asked_for_wallet") else None
    return {**chat, "wallet": address, "asked_for_wallet": False} if address else chat
