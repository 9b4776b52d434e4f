"""People hear what happened: money first, in order, at least once, at Telegram's pace."""

import asyncio

from rooms.event import Event, Kind
from sandbox.telegram.faults import Fault
from sandbox.telegram.person import Person
from storage import notices
from storage.connections import transaction
from tests.bot.town import Town
from tests.place import SOL


def deposit(person: Person, lamports: int) -> Event:
    facts = {"lamports": str(lamports), "signature": f"signature{lamports}"}
    return Event(Kind.DEPOSIT_POSTED, 1, user=person.person_id, facts=facts)


def refusal(person: Person, sentence: str) -> Event:
    facts = {"code": "x", "sentence": sentence}
    return Event(Kind.ROOM_REFUSED, 1, user=person.person_id, facts=facts)


async def told(town: Town) -> list[int]:
    """Return the numbers of the events that were told, in the order of telling."""
    return await town.place.column(
        "SELECT split_part(key, ':', 1)::bigint FROM notices WHERE told_at IS NOT NULL"
        " ORDER BY told_at, id"
    )


async def test_money_is_told_before_anything_else(quiet_town: Town) -> None:
    town = quiet_town
    people = [await town.place.person(user) for user in range(1, 5)]
    plain = Event(Kind.ROOM_REFUSED, 1, user=people[0], facts={"code": "x", "sentence": "s"})
    money = Event(Kind.DEPOSIT_POSTED, 1, user=people[3], facts={"lamports": "1"})
    await town.tell(plain, plain, money)
    async with transaction(town.place.connections) as connection:
        assert await notices.spread(connection, 10) == 3
        assert await notices.spread(connection, 10) == 0
        first = await notices.due(connection, 1, but=[])
        assert [each.user for each in first] == [people[3]]
        rest = await notices.due(connection, 10, but=[people[3]])
        assert [each.user for each in rest] == [people[0], people[0]]


async def test_what_gathered_is_one_message_in_the_order_of_events(quiet_town: Town) -> None:
    town = quiet_town
    await town.start_bot()
    ann = await town.person("Ann")
    await town.stop_bot()
    await town.tell(refusal(ann, "first"), deposit(ann, SOL), refusal(ann, "third"))
    await town.start_bot()
    said = await ann.expect("first", after=0)
    assert said.text.index("first") < said.text.index("+1 SOL") < said.text.index("third")
    await town.until("SELECT bool_and(told_at IS NOT NULL) FROM notices")


async def test_events_are_spread_once_whoever_dies(quiet_town: Town) -> None:
    town = quiet_town
    ann = await town.place.person(1)
    event = Event(Kind.DEPOSIT_POSTED, 1, user=ann, facts={"lamports": "1"})
    await town.tell(event, event)
    try:
        async with transaction(town.place.connections) as connection:
            assert await notices.spread(connection, 10) == 2
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert await town.place.value("SELECT count(*) FROM notices") == 0
    for expected in (1, 1, 0):
        async with transaction(town.place.connections) as connection:
            assert await notices.spread(connection, 1) == expected
    keys = await town.place.column("SELECT key FROM notices ORDER BY id")
    assert keys == ["1:1", "2:1"]


async def test_a_room_is_told_to_its_bettors_and_its_opening_to_its_maker(quiet_town: Town) -> None:
    town = quiet_town
    for user in (1, 2, 3):
        await town.place.person(user, SOL)
    await town.place.room(creator=3)
    for user, side in ((1, "YES"), (2, "NO")):
        await town.place.ask_bet(user, side, SOL // 10)
    await town.work()
    await town.tell(
        *(Event(kind, 1, room=1) for kind in (Kind.ROOM_OPENED, Kind.ROOM_LOCKED, Kind.ROOM_SEALED))
    )
    async with transaction(town.place.connections) as connection:
        await notices.spread(connection, 100)
    heard = await town.place.rows(
        "SELECT user_id, event ->> 'kind' AS kind FROM notices ORDER BY id"
    )
    assert [tuple(row.values()) for row in heard] == [
        (1, "bet.taken"),
        (2, "bet.taken"),
        (3, "room.opened"),
        (1, "room.locked"),
        (2, "room.locked"),
    ]


async def test_who_blocked_us_hears_of_money_when_they_come_back(town: Town) -> None:
    ann = await town.person("Ann")
    await ann.block()
    await town.until("SELECT blocked FROM users")
    await town.tell(deposit(ann, SOL), refusal(ann, "stale"))
    bo = await town.person("Bo")
    await town.tell(deposit(bo, 2 * SOL))
    await bo.expect("\\+2 SOL", after=0)
    await ann.block(blocked=False)
    await ann.say("/start")
    await ann.expect("\\+1 SOL", after=0)
    assert not any("stale" in each.text for each in await ann.messages())


async def test_who_blocks_us_unseen_is_noted(town: Town) -> None:
    ann = await town.person("Ann")
    town.telegram.faults.add(
        Fault("error", "sendMessage", ann.person_id, code=403,
              description="Forbidden: bot was blocked by the user")
    )  # fmt: skip
    await town.tell(deposit(ann, SOL))
    await town.until("SELECT blocked FROM users")
    assert await town.place.value("SELECT count(*) FROM notices WHERE told_at IS NULL") == 1
    async with town.place.connections.acquire() as connection:
        assert await notices.due(connection, 10, but=[]) == []


async def test_a_chat_that_must_wait_holds_up_no_other(town: Town) -> None:
    ann, bo = await town.person("Ann"), await town.person("Bo")
    town.telegram.faults.add(
        Fault("too_many_requests", "sendMessage", ann.person_id, retry_after_s=1)
    )
    started = asyncio.get_running_loop().time()
    await town.tell(deposit(ann, SOL), deposit(bo, 2 * SOL))
    await bo.expect("\\+2 SOL", after=0)
    assert asyncio.get_running_loop().time() - started < 1
    await ann.expect("\\+1 SOL", after=0)
    assert asyncio.get_running_loop().time() - started >= 1
    assert await told(town)


async def test_a_lost_answer_may_say_it_twice_but_never_not(town: Town) -> None:
    ann = await town.person("Ann")
    town.telegram.faults.add(Fault("cut", "sendMessage", ann.person_id))
    town.telegram.faults.add(Fault("error", "sendMessage", ann.person_id, code=502))
    await town.tell(deposit(ann, SOL))
    await town.until(
        "SELECT count(*) = 1 FROM notices"
        " WHERE told_at IS NOT NULL AND event ->> 'kind' = 'deposit.posted'"
    )
    said = [each for each in await ann.messages() if "+1 SOL" in each.text]
    assert 1 <= len(said) <= 2


async def test_what_telegram_never_takes_is_given_up_with_the_reason(town: Town) -> None:
    ann = await town.person("Ann")
    town.telegram.faults.add(
        Fault("error", "sendMessage", ann.person_id, code=400,
              description="Bad Request: can't parse entities")
    )  # fmt: skip
    await town.tell(deposit(ann, SOL))
    await town.until("SELECT count(*) = 1 FROM notices WHERE error IS NOT NULL")
    await town.tell(deposit(ann, 2 * SOL))
    await ann.expect("\\+2 SOL", after=0)
