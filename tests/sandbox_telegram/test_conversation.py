"""An unmodified python-telegram-bot talks to people here as it would in Telegram."""

import asyncio
import struct
import zlib
from datetime import timedelta

import pytest
from telegram import (
    CopyTextButton,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    ReplyKeyboardMarkup,
    ReplyParameters,
)
from telegram.constants import ChatAction, ChatMemberStatus
from telegram.error import BadRequest, Forbidden, NetworkError, RetryAfter, TimedOut

from sandbox.telegram.faults import Fault
from sandbox.telegram.person import NotHeard, Person
from sandbox.telegram.serve import RunningTelegram
from tests.sandbox_telegram.conftest import SIDES, WALLET, RunBot


def png(width: int, height: int) -> bytes:
    """Draw the smallest honest picture of a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = b"".join(b"\0" + b"\x55" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


async def test_a_person_starts_picks_a_side_and_sees_the_card_change(
    telegram: RunningTelegram, bot: RunBot
) -> None:
    async with bot(), Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start room_7Fq2")
        hello = await ann.expect("Hello Ann room_7Fq2")
        assert hello.marked("bold") == ["Ann"]
        assert hello.marked("code") == [WALLET]

        await ann.say("/room")
        card = await ann.expect("Pick a side")
        assert [button.text for row in card.rows for button in row] == ["YES 1.9x", "NO 2.3x"]

        await ann.press("yes")
        assert (await ann.expect_answer()).text == "Taken"
        taken = await ann.expect("You took bet:y")
        assert taken.edited
        assert taken.message_id == card.message_id
        assert taken.rows == (), "an edit that names no keyboard takes the old one away"


async def test_people_do_not_hear_each_other(telegram: RunningTelegram, bot: RunBot) -> None:
    async with (
        bot(),
        Person.joins(telegram.page_url, "Ann") as ann,
        Person.joins(telegram.page_url, "Zoë") as zoe,
    ):
        await ann.say("one")
        await zoe.say("two 🎈 and more")
        assert (await zoe.expect("You said")).text == "You said two 🎈 and more"
        assert (await ann.expect("You said")).text == "You said one"
        with pytest.raises(NotHeard, match="heard since"):
            await ann.expect("two", timeout_s=0.05)


async def test_a_forged_press_reaches_the_bot_as_any_press(
    telegram: RunningTelegram, bot: RunBot
) -> None:
    async with bot(), Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/room")
        await ann.press_data(await ann.expect("Pick"), "bet:all-of-it")
        await ann.expect("You took bet:all-of-it")


async def test_the_bot_is_refused_what_telegram_refuses(
    telegram: RunningTelegram, bot: RunBot
) -> None:
    async with bot() as app, Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/room")
        card = await ann.expect("Pick a side")
        chat, send = ann.person_id, app.bot.send_message
        with pytest.raises(BadRequest, match="Message is not modified"):
            await app.bot.edit_message_text(
                "Pick a <i>side</i>", chat, card.message_id, parse_mode="HTML", reply_markup=SIDES
            )
        with pytest.raises(BadRequest, match="Message to edit not found"):
            await app.bot.edit_message_text("x", chat, 9_999)
        with pytest.raises(BadRequest, match="Message can't be edited"):
            await app.bot.edit_message_text("x", chat, card.message_id - 1)
        with pytest.raises(BadRequest, match="no caption in the message"):
            await app.bot.edit_message_caption(chat, card.message_id, caption="x")
        with pytest.raises(BadRequest, match="Chat not found"):
            await send(42, "x")
        with pytest.raises(BadRequest, match="Message text is empty"):
            await send(chat, " \n ")
        await send(chat, "<b>" + "x" * 4096 + "</b>", parse_mode="HTML")
        with pytest.raises(BadRequest, match="Message is too long"):
            await send(chat, "x" * 4097)
        with pytest.raises(BadRequest, match="Can't parse entities: can't find end tag"):
            await send(chat, "<b>x", parse_mode="HTML")
        button = InlineKeyboardButton("x", callback_data="é" * 33)
        with pytest.raises(BadRequest, match="Button_data_invalid"):
            await send(chat, "x", reply_markup=InlineKeyboardMarkup([[button]]))
        with pytest.raises(BadRequest, match="Query is too old"):
            await app.bot.answer_callback_query("1", "x")


async def test_a_press_is_answered_once_and_in_200_characters(
    telegram: RunningTelegram, bot: RunBot
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with bot() as app, Person.joins(telegram.page_url, "Ann") as ann:

        async def note(update: object, _: object) -> None:
            await heard.put(update.callback_query.id)  # type: ignore[attr-defined]

        for handler in app.handlers[0]:
            handler.callback = note if "take" in str(handler.callback) else handler.callback
        await ann.say("/room")
        await ann.press("NO", on=await ann.expect("Pick"))
        query_id = await heard.get()
        with pytest.raises(BadRequest, match="Message_too_long"):
            await app.bot.answer_callback_query(query_id, "x" * 201)
        await app.bot.answer_callback_query(query_id, "x" * 200, show_alert=True)
        answer = await ann.expect_answer("x{200}")
        assert answer.alert
        with pytest.raises(BadRequest, match="Query is too old"):
            await app.bot.answer_callback_query(query_id)


async def test_photos_are_sent_edited_and_downloaded(
    telegram: RunningTelegram, bot: RunBot
) -> None:
    first, second = png(40, 20), png(30, 30)
    async with bot() as app, Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        await ann.expect("Hello")
        chat = ann.person_id
        sent = await app.bot.send_photo(chat, first, caption="<b>SOL</b>", parse_mode="HTML")
        assert (sent.photo[-1].width, sent.photo[-1].height) == (40, 20)
        assert (await ann.expect("SOL")).photo
        file = await app.bot.get_file(sent.photo[-1].file_id)
        assert bytes(await file.download_as_bytearray()) == first

        again = await app.bot.send_photo(chat, sent.photo[-1].file_id)
        assert again.photo == sent.photo
        media = InputMediaPhoto(second, caption="now")
        edited = await app.bot.edit_message_media(media, chat, sent.message_id)
        assert not isinstance(edited, bool)
        assert edited.photo[-1].width == 30
        await app.bot.edit_message_caption(chat, sent.message_id, caption="later")
        assert (await ann.expect("later")).photo
        with pytest.raises(BadRequest, match="no text in the message"):
            await app.bot.edit_message_text("x", chat, sent.message_id)
        with pytest.raises(BadRequest, match="Image_process_failed"):
            await app.bot.send_photo(chat, b"not a picture")
        with pytest.raises(BadRequest, match="Photo_invalid_dimensions"):
            await app.bot.send_photo(chat, png(63, 3))
        document = await app.bot.send_document(chat, b"{}", filename="evidence.json")
        assert document.document is not None
        assert document.document.file_name == "evidence.json"


async def test_keyboards_and_replies_reach_the_person(
    telegram: RunningTelegram, bot: RunBot
) -> None:
    async with bot() as app, Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        hello = await ann.expect("Hello")
        chat, send = ann.person_id, app.bot.send_message
        await send(chat, "How much?", reply_markup=ForceReply())
        await send(chat, "Or choose", reply_markup=ReplyKeyboardMarkup([["1 SOL"]]))
        copy = InlineKeyboardButton("Copy", copy_text=CopyTextButton(WALLET))
        link = InlineKeyboardButton("Rules", url="https://example.org/rules", api_kwargs={})
        shown = InlineKeyboardMarkup([[copy], [link]])
        reply = await send(
            chat, "See", reply_markup=shown, reply_parameters=ReplyParameters(hello.message_id)
        )
        assert reply.reply_to_message is not None
        assert reply.reply_to_message.message_id == hello.message_id
        message = await ann.expect("See")
        assert message.rows[0][0].copy_text == WALLET
        assert message.rows[1][0].url == "https://example.org/rules"
        with pytest.raises(ValueError, match="opens something"):
            await ann.press("Rules")
        with pytest.raises(BadRequest, match="Message to be replied not found"):
            await send(chat, "x", reply_parameters=ReplyParameters(9_999))
        await ann.say("0.5", reply_to=hello)
        await ann.expect("You said 0.5")


async def test_a_deleted_message_is_gone(telegram: RunningTelegram, bot: RunBot) -> None:
    async with bot() as app, Person.joins(telegram.page_url, "Ann") as ann:
        said = await ann.say("my seed phrase")
        await ann.expect("You said")
        await app.bot.delete_message(ann.person_id, said)
        assert said not in [message.message_id for message in await ann.messages()]
        with pytest.raises(BadRequest, match="Message to delete not found"):
            await app.bot.delete_message(ann.person_id, said)


async def test_chats_members_and_actions_are_shown(telegram: RunningTelegram, bot: RunBot) -> None:
    async with bot() as app, Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        await ann.expect("Hello")
        chat = await app.bot.get_chat(ann.person_id)
        assert (chat.first_name, chat.type) == ("Ann", "private")
        member = await app.bot.get_chat_member(ann.person_id, ann.person_id)
        assert member.status == ChatMemberStatus.MEMBER
        assert await app.bot.send_chat_action(ann.person_id, ChatAction.TYPING)
        assert [command.command for command in await app.bot.get_my_commands()] == ["start"]
        assert await app.bot.set_my_description("Bets on prices.")
        assert (await app.bot.get_my_description()).description == "Bets on prices."


async def test_a_person_who_blocks_the_bot_hears_nothing(
    telegram: RunningTelegram, bot: RunBot
) -> None:
    async with bot() as app, Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        await ann.expect("Hello")
        await ann.block()
        with pytest.raises(Forbidden, match="bot was blocked by the user"):
            await app.bot.send_message(ann.person_id, "x")
        with pytest.raises(RuntimeError, match="unblock the bot"):
            await ann.say("x")
        await ann.block(blocked=False)
        await app.bot.send_message(ann.person_id, "back")
        await ann.expect("back")


async def test_faults_strike_as_often_as_asked(
    telegram: RunningTelegram, bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    async with bot() as app, Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        await ann.expect("Hello")
        send, faults = app.bot.send_message, telegram.faults
        faults.add(Fault("too_many_requests", "sendMessage", ann.person_id, retry_after_s=7))
        with pytest.raises(RetryAfter) as refused:
            await send(ann.person_id, "too soon")
        assert refused.value.retry_after == timedelta(seconds=7)
        faults.add(Fault("cut", "sendMessage"))
        with pytest.raises(NetworkError):
            await send(ann.person_id, "sent, though cut")
        await ann.expect("sent, though cut")
        faults.add(Fault("slow", "sendMessage", delay_ms=300))
        with pytest.raises(TimedOut):
            await send(ann.person_id, "sent, though late", read_timeout=0.05)
        await ann.expect("sent, though late")
        faults.add(Fault("error", "sendMessage", code=502, description="Bad Gateway"))
        with pytest.raises(NetworkError, match="Bad Gateway"):
            await send(ann.person_id, "never sent")
        await send(ann.person_id, "all is well")
        texts = [message.text for message in await ann.messages()]
        assert texts[2:] == ["sent, though cut", "sent, though late", "all is well"]
        assert faults.listed() == []
