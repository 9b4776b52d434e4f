"""Dispatch: which words and presses go to which file.

In        an update as it was stored, the transaction it is handled in.
Out       replies.
Promises  identity is the numeric id of who sent it, never a name; money moves only from a private
          chat, never from a message that was forwarded, edited or sent by way of another bot; a
          press means what its token's row says, to its owner, in its time, once.
"""

from collections.abc import Awaitable, Callable
from html import escape

import telegram
from telegram.constants import ChatMemberStatus, ChatType

from bot import actions, buttons, conversation, meeting, withdrawing
from bot.acts import COMMANDS, act_on, answer
from bot.factors import Sealed
from bot.phrases import answers
from bot.redaction import MARK, SEALED
from bot.replies import Answer, Delete, Reply, Send
from bot.turn import Place, Turn, lay_out
from rooms.refusal import Refused
from rooms.units import UnixMs
from storage import buttons as shown
from storage import notices, outbox, people
from storage.connections import Connection
from storage.people import Person


async def dispatch(connection: Connection, place: Place, update: telegram.Update) -> list[Reply]:
    """Handle one update and return what is to be answered."""
    if update.message is not None:
        return await _message(connection, place, update.update_id, update.message)
    if update.edited_message is not None:
        return _edited(update.edited_message)
    if update.callback_query is not None:
        return await _press(connection, place, update.callback_query)
    if update.my_chat_member is not None:
        await _membership(connection, update.my_chat_member)
    return []


async def _message(
    connection: Connection, place: Place, update_id: int, message: telegram.Message
) -> list[Reply]:
    user, text = message.from_user, message.text
    if user is None or user.is_bot:
        return []
    if message.api_kwargs.get(MARK):
        return [
            Delete(message.chat.id, message.message_id),
            Send(message.chat.id, answers.KEY_DELETED),
        ]
    command, payload = _command(text or "", place.username)
    if message.chat.type != ChatType.PRIVATE:
        return _in_group(place, message.chat.id, user.id, command, payload)
    now = place.now()
    person, new = await _meet(connection, place, user, message.chat.id, payload, now)
    turn = Turn(
        place=place,
        connection=connection,
        person=person,
        now=now,
        key=f"update:{update_id}",
        talk=conversation.read(person.conversation) if person.conversation else None,
    )
    seal = message.api_kwargs.get(SEALED)
    if seal is not None:
        turn.delete(message.message_id)
    if message.forward_origin is not None or message.via_bot is not None:
        turn.say(answers.NOT_AN_ORDER)
    elif seal is not None:
        await _refusing(turn, lambda: withdrawing.take_sealed(turn, Sealed(**seal)))
    elif text is None:
        turn.say(answers.ONLY_TEXT)
    else:
        await _refusing(turn, lambda: _text(turn, text, command, payload, new=new))
    return await turn.finish()


async def _text(turn: Turn, text: str, command: str, payload: str, *, new: bool) -> None:
    if command == "start":
        await turn.end()
        await meeting.start(turn, payload, new=new)
        return
    if command == "cancel":
        turn.say(
            answers.NOTHING_TO_CANCEL if turn.talk is None else answers.CANCELLED,
            buttons.back_home(),
        )
        await turn.end()
        return
    if command:
        act = COMMANDS.get(command)
        if act is None:
            raise Refused("no_command", f"There is no /{command}. See /help.")
        await turn.end()
        await act(turn, payload)
        return
    await answer(turn, text)


async def _press(
    connection: Connection, place: Place, query: telegram.CallbackQuery
) -> list[Reply]:
    now = place.now()
    button = await shown.find(connection, query.data) if query.data else None
    if button is None:
        return [Answer(query.id, answers.LAPSED, alert=True)]
    if button.user != query.from_user.id:
        return [Answer(query.id, answers.NOT_YOURS, alert=True)]
    if button.used_at is not None:
        return [Answer(query.id, answers.USED)]
    if now >= button.expires_at:
        return [Answer(query.id, answers.LAPSED, alert=True)]
    chat = query.message.chat if query.message else None
    if chat is not None and chat.type != ChatType.PRIVATE:
        return [Answer(query.id, answers.PRIVATE_ONLY, alert=True)]
    person = await people.find(connection, button.user, talk_since=_talk_since(place, now))
    assert person is not None, "a button belongs to a person"
    action = actions.read(button.action)
    if isinstance(action, actions.ONCE):
        await shown.use(connection, button.token)
    turn = Turn(
        place=place,
        connection=connection,
        person=person,
        now=now,
        key=f"button:{button.token}",
        query_id=query.id,
        message_id=query.message.message_id if query.message else None,
        talk=conversation.read(person.conversation) if person.conversation else None,
    )
    await _refusing(turn, lambda: act_on(turn, action))
    return await turn.finish()


async def _refusing(turn: Turn, act: Callable[[], Awaitable[None]]) -> None:
    try:
        await act()
    except Refused as refusal:
        if turn.query_id is not None:
            turn.toast(refusal.sentence, alert=True)
        else:
            keys = buttons.back_home() if turn.talk is None else buttons.cancel()
            turn.say(f"⚠️ {escape(refusal.sentence)}", keys)


async def _meet(
    connection: Connection,
    place: Place,
    user: telegram.User,
    chat_id: int,
    payload: str,
    now: UnixMs,
) -> tuple[Person, bool]:
    since = _talk_since(place, now)
    person = await people.find(connection, user.id, talk_since=since)
    name = user.full_name
    if person is not None and (person.chat_id, person.name, person.blocked) == (
        chat_id,
        name,
        False,
    ):
        return person, False
    new = await people.meet(
        connection,
        user=user.id,
        chat_id=chat_id,
        name=name,
        referrer=meeting.referrer_of(payload),
    )
    if new:
        await outbox.wake(connection, "custody")
    if person is not None and person.blocked:
        await notices.pass_over(connection, user.id)
    met = await people.find(connection, user.id, talk_since=since)
    assert met is not None, "who was just written down is there"
    return met, new


def _talk_since(place: Place, now: UnixMs) -> UnixMs:
    return UnixMs(now - place.settings.talk_ms)


def _command(text: str, username: str) -> tuple[str, str]:
    """Split a command from what follows it; one meant for another bot is none."""
    if not text.startswith("/"):
        return "", ""
    head, _, payload = text[1:].partition(" ")
    name, at, whose = head.partition("@")
    if at and whose.lower() != username.lower():
        return "", ""
    return name.lower()[:32], payload.strip()


def _in_group(place: Place, chat_id: int, user: int, command: str, payload: str) -> list[Reply]:
    if not command:
        return []
    start = payload if command == "start" else ""
    link = f"https://t.me/{place.username}?start={start if start.isidentifier() else 'group'}"
    keyboard, _ = lay_out(place, user, place.now(), buttons.to_private(link))
    return [Send(chat_id, answers.PRIVATE_ONLY, keyboard)]


def _edited(message: telegram.Message) -> list[Reply]:
    if message.api_kwargs.get(MARK):
        return [
            Delete(message.chat.id, message.message_id),
            Send(message.chat.id, answers.KEY_DELETED),
        ]
    return []


def _key_deleted(message: telegram.Message) -> list[Reply]:
    chat_id = message.chat.id
    return [Delete(chat_id, message.message_id), Send(chat_id, answers.KEY_DELETED)]


async def _membership(connection: Connection, change: telegram.ChatMemberUpdated) -> None:
    if change.chat.type == ChatType.PRIVATE:
        left = change.new_chat_member.status in (ChatMemberStatus.BANNED, ChatMemberStatus.LEFT)
        if await people.block(connection, change.from_user.id, blocked=left) and not left:
            await notices.pass_over(connection, change.from_user.id)
