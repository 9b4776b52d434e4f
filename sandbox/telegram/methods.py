"""Methods: what a bot may call, by name, and what each call does.

In        a bot, a method's name in any case, and the parameters of the call.
Out       the result that the Bot API answers, sometimes with a description.
Promises  a call does all it says or nothing; its refusals read as Telegram's.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sandbox.telegram.chats import Chats
from sandbox.telegram.contents import read_caption, read_content
from sandbox.telegram.directory import Directory
from sandbox.telegram.files import Files
from sandbox.telegram.markup import read_markup
from sandbox.telegram.parameters import Parameters
from sandbox.telegram.profiles import Answer, Profiles
from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import BotApiError, bad_request
from sandbox.telegram.updates import Updates

ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
}
# Accepted and without effect on anything a person sees here.
HARMLESS = (
    "setChatMenuButton",
    "setMyDefaultAdministratorRights",
    "setMessageReaction",
    "pinChatMessage",
    "unpinChatMessage",
    "unpinAllChatMessages",
)

_CHAT_ID = re.compile(r"-?[0-9]{1,18}")
_NO_GIFTS = {
    "unlimited_gifts": False,
    "limited_gifts": False,
    "unique_gifts": False,
    "premium_subscription": False,
    "gifts_from_channels": False,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one bot."""

    bot_id: int
    parameters: Parameters

    def chat_id(self) -> int:
        """Read which private chat the call is about."""
        text = self.parameters.text("chat_id")
        if not text:
            raise bad_request("chat_id is empty")
        if _CHAT_ID.fullmatch(text) is None:
            raise bad_request("chat not found")
        return int(text)


class Methods:
    """Do what bots call."""

    def __init__(self, records: Records, chats: Chats, updates: Updates, files: Files) -> None:
        self._chats = chats
        self._who = Directory(records)
        self._updates = updates
        self._files = files
        self.profiles = Profiles(records, chats, updates)
        self._by_name: dict[str, Callable[[Call], Any]] = {
            "sendmessage": self._send_message,
            "sendphoto": self._send_photo,
            "senddocument": self._send_document,
            "sendchataction": self._send_chat_action,
            "editmessagetext": self._edit_text,
            "editmessagecaption": self._edit_caption,
            "editmessagemedia": self._edit_media,
            "editmessagereplymarkup": self._edit_markup,
            "deletemessage": self._delete_message,
            "deletemessages": self._delete_messages,
            "answercallbackquery": self._answer_callback,
            "getchat": self._get_chat,
            "getchatmember": self._get_chat_member,
            "getfile": self._get_file,
            "getupdates": self._get_updates,
            **{name.lower(): _on_bot(act) for name, act in self.profiles.methods().items()},
            **{name.lower(): lambda _: True for name in HARMLESS},
        }

    async def call(self, bot_id: int, name: str, parameters: Parameters) -> Answer:
        """Do one call and answer its result.

        Raises:
            BotApiError: with the status and the words that Telegram would answer.
        """
        act = self._by_name.get(name.lower())
        if act is None:
            raise BotApiError(404, "Not Found: method not found")
        result = act(Call(bot_id, parameters))
        if isinstance(result, Awaitable):
            result = await result
        return result if isinstance(result, Answer) else Answer(result)

    def _send_message(self, call: Call) -> Json:
        return self._post(call, read_content(call.parameters))

    def _send_photo(self, call: Call) -> Json:
        self._chats.require_open(call.bot_id, call.chat_id())
        photo = self._files.photo(call.parameters, call.parameters.text("photo"), "photo")
        return self._post(call, {"photo": photo, **read_caption(call.parameters.values)})

    def _send_document(self, call: Call) -> Json:
        self._chats.require_open(call.bot_id, call.chat_id())
        document = self._files.document(
            call.parameters, call.parameters.text("document"), "document"
        )
        return self._post(call, {"document": document, **read_caption(call.parameters.values)})

    def _post(self, call: Call, content: Json) -> Json:
        parameters = call.parameters
        reply = parameters.json("reply_parameters") or {}
        if not isinstance(reply, dict):
            raise bad_request("can't parse reply parameters: expected an Object")
        reply_to = Parameters(reply).whole("message_id") or parameters.whole("reply_to_message_id")
        optional = reply.get(
            "allow_sending_without_reply", parameters.flag("allow_sending_without_reply")
        )
        return self._chats.post(
            call.bot_id,
            call.chat_id(),
            content,
            read_markup(parameters.json("reply_markup")),
            reply_to,
            reply_must_exist=not optional,
        )

    def _send_chat_action(self, call: Call) -> bool:
        action = call.parameters.text("action")
        if action not in ACTIONS:
            raise bad_request("wrong parameter action in request")
        self._chats.act(call.bot_id, call.chat_id(), action)
        return True

    def _edit_text(self, call: Call) -> Json:
        content = read_content(call.parameters)

        def change(message: Json) -> Json:
            if "text" not in message:
                raise bad_request("there is no text in the message to edit")
            return _without(message, "text", "entities", "link_preview_options") | content

        return self._edit(call, change)

    def _edit_caption(self, call: Call) -> Json:
        content = read_caption(call.parameters.values)

        def change(message: Json) -> Json:
            if "text" in message:
                raise bad_request("there is no caption in the message to edit")
            return _without(message, "caption", "caption_entities") | content

        return self._edit(call, change)

    def _edit_media(self, call: Call) -> Json:
        media = call.parameters.json("media")
        if not isinstance(media, dict) or not media.get("type"):
            raise bad_request("can't parse InputMedia: expected an Object")
        content: Json
        if media["type"] == "photo":
            content = {"photo": self._files.photo(call.parameters, media.get("media"), "media")}
        elif media["type"] == "document":
            content = {
                "document": self._files.document(call.parameters, media.get("media"), "media")
            }
        else:
            raise bad_request("type of InputMedia is not one that is shown here")
        content |= read_caption(media)
        dropped = ("text", "entities", "link_preview_options", "photo", "document")

        def change(message: Json) -> Json:
            return _without(message, *dropped, "caption", "caption_entities") | content

        return self._edit(call, change)

    def _edit_markup(self, call: Call) -> Json:
        return self._edit(call, lambda message: message)

    def _edit(self, call: Call, change: Callable[[Json], Json]) -> Json:
        inline = read_markup(call.parameters.json("reply_markup")).inline

        def change_all(message: Json) -> Json:
            # An edit that names no keyboard takes the old one away.
            new = _without(change(message), "reply_markup")
            return new | {"reply_markup": inline} if inline else new

        message_id = call.parameters.whole("message_id")
        return self._chats.edit(call.bot_id, call.chat_id(), message_id, change_all)

    def _delete_message(self, call: Call) -> bool:
        self._chats.delete(call.bot_id, call.chat_id(), call.parameters.whole("message_id"))
        return True

    def _delete_messages(self, call: Call) -> bool:
        message_ids = call.parameters.json("message_ids")
        if not isinstance(message_ids, list) or not 1 <= len(message_ids) <= 100:
            raise bad_request("message identifiers are not specified")
        for message_id in message_ids:
            try:
                self._chats.delete(call.bot_id, call.chat_id(), message_id)
            except BotApiError as error:
                # Telegram skips what it does not find.
                if error.description != "Bad Request: message to delete not found":
                    raise
        return True

    def _answer_callback(self, call: Call) -> bool:
        self._chats.answer(
            call.bot_id,
            call.parameters.text("callback_query_id") or "",
            call.parameters.text("text") or "",
            call.parameters.text("url") or "",
            alert=call.parameters.flag("show_alert"),
        )
        return True

    def _get_chat(self, call: Call) -> Json:
        self._who.partner(call.bot_id, call.chat_id())
        return self._who.chat(call.chat_id()) | {
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": _NO_GIFTS,
        }

    def _get_chat_member(self, call: Call) -> Json:
        person = self._who.partner(call.bot_id, call.chat_id())
        user_id = call.parameters.whole("user_id")
        if user_id == call.bot_id:
            person = self._who.bot(call.bot_id)
        elif user_id != call.chat_id():
            raise bad_request("PARTICIPANT_ID_INVALID")
        return {"user": person, "status": "member"}

    def _get_file(self, call: Call) -> Json:
        return self._files.described(call.parameters.text("file_id") or "")

    async def _get_updates(self, call: Call) -> list[Json]:
        self.profiles.keep_allowed_updates(call.bot_id, call.parameters)
        limit = call.parameters.whole("limit")
        return await self._updates.poll(
            call.bot_id,
            call.parameters.whole("offset") or 0,
            100 if limit is None else limit,
            call.parameters.whole("timeout") or 0,
        )


def _on_bot(act: Callable[[int, Parameters], Any]) -> Callable[[Call], Any]:
    return lambda call: act(call.bot_id, call.parameters)


def _without(message: Json, *names: str) -> Json:
    return {name: value for name, value in message.items() if name not in names}
