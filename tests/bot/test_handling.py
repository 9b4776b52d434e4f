"""Updates are handled once, in order, whatever comes twice, late, forged or in between a death."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace

import pytest
import telegram

from bot import actions
from bot.bell import Bell
from bot.dispatch import dispatch
from bot.factors import Factors
from bot.handling import Handling
from bot.replies import Reply, Send
from bot.turn import Place
from bot.voice import Said, Voice
from rooms.room import Side
from rooms.units import Lamports, UnixMs
from sandbox.telegram.faults import Fault
from sandbox.telegram.person import Person
from storage import buttons, updates
from storage.connections import transaction
from tests.bot.town import FACTOR_KEY, SETTINGS, Town, message, press
from tests.place import SOL

BET = actions.PlaceBet(room=1, side=Side.YES, lamports=Lamports(SOL // 10))


async def bettor(town: Town, name: str = "Ann") -> Person:
    """Let a person come who has money and an open room."""
    person = await town.person(name, 2 * SOL)
    if not await town.place.value("SELECT count(*) FROM rooms"):
        await town.place.room(creator=person.person_id)
    return person


async def button(town: Town, person: Person, *, lasts_ms: int = 120_000) -> str:
    """Show a person a button that places a bet, and return its token."""
    token = secrets.token_urlsafe(16)
    until = UnixMs(await town.now() + lasts_ms)
    shown = buttons.Button(token, person.person_id, actions.stored(BET), until)
    async with town.place.connections.acquire() as connection:
        await buttons.show(connection, [shown])
    return token


async def bets_asked(town: Town) -> int:
    return int(await town.place.value("SELECT count(*) FROM bet_requests"))


async def test_a_button_pressed_twice_acts_once(town: Town) -> None:
    ann = await bettor(town)
    token = await button(town, ann)
    shown = (await ann.messages())[-1]
    await asyncio.gather(*(ann.press_data(shown, token) for _ in range(5)))
    for _ in range(4):
        await ann.expect_answer("Already done", after=0)
    assert await bets_asked(town) == 1


async def test_an_update_that_comes_twice_acts_once(town: Town) -> None:
    ann = await bettor(town)
    asked = press(ann, await button(town, ann))
    await town.deliver(asked, asked)
    await town.handled(asked["update_id"])
    await town.deliver(asked)
    assert await bets_asked(town) == 1
    town.telegram.faults.add(Fault("duplicate", times=3))
    await ann.say("/help")
    await ann.expect("What you can do")
    await ann.say("/rules")
    await ann.expect("How a room works")
    told = [each.text for each in await ann.messages() if "What you can do" in each.text]
    assert len(told) == 1


async def test_another_persons_button_does_nothing(town: Town) -> None:
    ann, bo = await bettor(town), await town.person("Bo", 2 * SOL)
    token = await button(town, ann)
    await bo.press_data((await bo.messages())[-1], token)
    answer = await bo.expect_answer("belongs to somebody else")
    assert answer.alert
    assert await bets_asked(town) == 0
    await ann.press_data((await ann.messages())[-1], token)
    await ann.expect("taking your bet")


async def test_a_lapsed_button_does_nothing(town: Town) -> None:
    ann = await bettor(town)
    await ann.press_data((await ann.messages())[-1], await button(town, ann, lasts_ms=-1))
    await ann.expect_answer("has lapsed")
    assert await bets_asked(town) == 0


async def test_forged_data_means_nothing(town: Town) -> None:
    ann = await bettor(town)
    shown = (await ann.messages())[-1]
    for data in (
        "place_bet:1:YES:100",
        "'; DROP TABLE buttons; --",
        '{"do":"place_bet"}',
        "x" * 64,
    ):
        await ann.press_data(shown, data)
        await ann.expect_answer("has lapsed")
    assert await bets_asked(town) == 0


async def test_a_bet_on_a_room_that_has_locked_is_refused_at_once(town: Town) -> None:
    ann = await bettor(town)
    token = await button(town, ann)
    await town.place.do("UPDATE rooms SET state = 'LOCKED'")
    await ann.press_data((await ann.messages())[-1], token)
    await ann.expect_answer("Bets on this room are closed")
    assert await bets_asked(town) == 0


async def test_forwarded_words_are_no_order(town: Town) -> None:
    ann = await bettor(town)
    await ann.say("/room 3")
    await ann.press("YES")
    await ann.press("Other amount")
    await ann.expect("Type the amount")
    eve = {"id": 5, "is_bot": False, "first_name": "Eve"}
    await town.deliver(
        message(ann, "0.5", forward_origin={"type": "user", "date": 1, "sender_user": eve}),
        message(ann, "0.5", via_bot={**eve, "is_bot": True}),
    )
    for _ in range(2):
        await ann.expect("not read as orders")
    # What was asked before is still asked.
    await ann.say("0.25")
    await ann.expect("Your bet")


async def test_edited_words_are_no_order(town: Town) -> None:
    ann = await bettor(town)
    await ann.say("/withdraw")
    await ann.expect("Choose a PIN")
    edited = message(ann, "123456")
    edited["edited_message"] = edited.pop("message")
    await town.deliver(edited)
    await town.handled(edited["update_id"])
    assert "Choose a PIN" in (await ann.messages())[-1].text


async def test_in_a_group_nothing_but_the_way_to_the_private_chat(town: Town) -> None:
    ann = await bettor(town)
    group = {"id": -100, "type": "supergroup", "title": "g"}
    place = await bare_place(town)
    for text, said in (("/withdraw", 1), ("/start room_32", 1), ("hello everyone", 0), ("0.25", 0)):
        asked = message(ann, text, chat=group)
        async with transaction(town.place.connections) as connection:
            answered = await dispatch(connection, place, telegram.Update.de_json(asked))
        assert len(answered) == said
        for reply in answered:
            assert isinstance(reply, Send)
            assert reply.chat_id == -100
            assert reply.keyboard[0][0]["url"].startswith("https://t.me/rooms_bot?start=")
        await town.deliver(asked)
        await town.handled(asked["update_id"])
    assert await town.place.value("SELECT count(*) FROM conversations") == 0
    # The stand-in has no groups and refuses: that says nothing about the person.
    assert not await town.place.value("SELECT blocked FROM users")


async def test_a_key_is_deleted_and_never_stored(town: Town) -> None:
    ann = await town.person("Ann")
    seed = "abandon ability able about above absent absorb abstract absurd abuse access accident"
    await ann.say(seed)
    await ann.expect("looked like a private key.*kept no copy")
    assert not any(seed in each.text for each in await ann.messages())
    assert (
        await town.place.value("SELECT count(*) FROM updates WHERE payload::text LIKE '%abandon%'")
        == 0
    )


async def test_ones_own_updates_are_handled_in_their_order(town: Town) -> None:
    ann, bo = await town.person("Ann"), await town.person("Bo")
    said = [message(person, f"/room {nth}") for nth in range(2, 12) for person in (ann, bo)]
    await town.deliver(*reversed(said))
    for each in said:
        await town.handled(each["update_id"])
    done = await town.place.rows(
        "SELECT person_id, array_agg(update_id ORDER BY done_at, update_id) AS ids FROM updates"
        " WHERE update_id >= $1 GROUP BY person_id",
        said[0]["update_id"],
    )
    assert len(done) == 2
    assert all(row["ids"] == sorted(row["ids"]) for row in done)


async def test_a_death_before_the_commit_leaves_nothing_behind(quiet_town: Town) -> None:
    town = quiet_town
    bot = await town.start_bot()
    ann = await bettor(town)
    await town.stop_bot()
    assert bot.cancelled()
    asked = press(ann, await button(town, ann))
    await town.deliver(asked)
    place = await bare_place(town)
    with pytest.raises(ZeroDivisionError):
        async with transaction(town.place.connections) as connection:
            update = await updates.claim(connection)
            assert update is not None
            await dispatch(connection, place, telegram.Update.de_json(update.payload))
            raise ZeroDivisionError
    assert await bets_asked(town) == 0
    await town.start_bot()
    await town.handled(asked["update_id"])
    assert await bets_asked(town) == 1


async def test_a_death_after_the_commit_still_answers(quiet_town: Town) -> None:
    town = quiet_town
    await town.start_bot()
    ann = await bettor(town)
    await town.until("SELECT count(*) FILTER (WHERE replies IS NOT NULL) = 0 FROM updates")
    await town.stop_bot()
    asked = message(ann, "/rules")
    await town.deliver(asked)
    handling = Handling(await bare_place(town), town.place.connections, Mute(), Bell())
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            assert await handling.handle_one(tasks)
    unsent = await town.place.rows("SELECT update_id FROM updates WHERE replies IS NOT NULL")
    assert unsent == [{"update_id": asked["update_id"]}]
    await town.start_bot()
    await ann.expect("How a room works")
    await town.handled(asked["update_id"])


async def test_what_is_handled_while_the_bot_ends_is_answered_by_its_next_life(
    quiet_town: Town,
) -> None:
    town = quiet_town
    await town.start_bot()
    ann = await bettor(town)
    await town.stop_bot()
    asked = message(ann, "/rules")
    await town.deliver(asked)
    handling = Handling(await bare_place(town), town.place.connections, Mute(), Bell())

    async def fail() -> None:
        raise ZeroDivisionError

    async def handle_at_the_end(tasks: asyncio.TaskGroup) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await handling.handle_one(tasks)

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(handle_at_the_end(tasks))
            await asyncio.sleep(0)
            tasks.create_task(fail())
    assert raised.group_contains(ZeroDivisionError)
    assert not raised.group_contains(RuntimeError)
    await town.start_bot()
    await ann.expect("How a room works")
    await town.handled(asked["update_id"])


async def test_an_update_that_always_fails_is_set_aside_and_told(town: Town) -> None:
    ann = await town.person("Ann")
    await town.place.do("ALTER TABLE deposits RENAME TO gone")
    await town.place.do("ALTER TABLE postings RENAME TO gone_too")
    await ann.say("/history")
    await ann.expect("Something went wrong on our side")
    row = (await town.place.rows("SELECT attempts, error FROM updates WHERE error IS NOT NULL"))[0]
    assert row["attempts"] == 3
    assert row["error"].startswith("UndefinedTableError")
    assert await town.place.value("SELECT count(*) FROM set_aside") == 1
    await ann.say("/help")
    await ann.expect("What you can do")


async def test_who_does_too_much_at_once_is_asked_to_wait(quiet_town: Town) -> None:
    town = quiet_town
    await town.start_bot(pace=replace(SETTINGS.pace, acts_per_minute=20, acts_burst=3))
    ann = await town.newcomer("Ann")
    for _ in range(6):
        await ann.say("/help")
    await ann.expect("a lot at once", after=0)
    bo = await town.newcomer("Bo")
    await bo.say("/help")
    await bo.expect("What you can do")
    await town.until("SELECT count(*) = 7 FROM updates WHERE done_at IS NOT NULL")
    told = [each.text for each in await ann.messages() if each.by_bot]
    assert len([text for text in told if "What you can do" in text]) == 3
    assert len(told) == 4


class Mute(Voice):
    """Dies before it says anything."""

    def __init__(self) -> None:
        super().__init__(telegram.Bot("1:x"), SETTINGS.pace, Factors(FACTOR_KEY))

    async def say(self, chat_id: int, replies: Sequence[Reply]) -> Said:
        raise ZeroDivisionError


async def bare_place(town: Town) -> Place:
    """Return what the turns of a bot that is not running have in common."""
    clock = UnixMs(await town.now())
    return Place(
        settings=town.settings,
        prices=town.place.prices,
        factors=Factors(FACTOR_KEY),
        username="rooms_bot",
        token=lambda: secrets.token_urlsafe(16),
        now=lambda: clock,
    )
