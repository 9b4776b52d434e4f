"""A request becomes one room that opens when its vault and its feed are ready, or a refusal."""

import asyncio
from itertools import count
from typing import Any

import pytest

from rooms.derived import derived_feed
from rooms.expression.form import formula
from rooms.room import RoomLimits
from storage import derivations, feeds
from storage.connections import transaction
from storage.flags import Flag, change
from streams.messages import Opened, read_heard
from streams.openings import claim_drafts, claim_requests
from streams.wake import drain
from tests.place import FEED, Place

LIMITS = RoomLimits(
    open_ms_min=5_000, cut_ms=1_000, watch_ms=3_000, span_ms_min=10_000, warm_ms=3_000
)
WISH = {
    "move_bps": 200,
    "fixed_value": None,
    "lock_in_ms": 10_000,
    "deadline_in_ms": 30_000,
    "stake_lamports_min": 10_000_000,
    "stake_lamports_max": 1_000_000_000,
    "seats": None,
}
_keys = count()


async def ask(place: Place, **changes: object) -> int:
    asked: int = await place.value(
        "INSERT INTO room_requests (key, creator, feed, request) VALUES ($1, 1, $2, $3)"
        " RETURNING id",
        f"press{next(_keys)}", FEED, {**WISH, **changes},
    )  # fmt: skip
    return asked


async def draft(place: Place) -> list[str | None]:
    await drain([lambda: claim_requests(place.money(room_limits=LIMITS))])
    return await place.refusals("room_requests")


async def open_rooms(place: Place, **changes: Any) -> int:  # noqa: ANN401 - as Money takes it
    money = place.money(room_limits=LIMITS, **changes)
    return await drain([lambda: claim_drafts(money)])


async def give_vaults(place: Place) -> None:
    await place.do(
        "INSERT INTO addresses (address, kind, room_id)"
        " SELECT 'Vault' || id, 'vault', id FROM rooms"
    )


async def warm(
    place: Place, seconds: int = 3, *, last: int | None = 20_000, ago_ms: int = 0
) -> None:
    """Write the feed's last seconds down as if a worker had closed them."""
    await place.do(
        "INSERT INTO feed_seconds (feed, second_at, low, high, last, changes, log_position, memory)"
        " SELECT $1, (now_ms() - $4::bigint) / 1000 * 1000 - n * 1000, 1, 1, $3, 1, 1, '{}'"
        " FROM generate_series(1, $2::int) n",
        FEED, seconds, last, ago_ms,
    )  # fmt: skip


@pytest.fixture
async def place(place: Place) -> Place:
    await place.person(1)
    return place


async def test_a_request_becomes_a_draft_and_custody_is_woken(place: Place) -> None:
    await ask(place)
    assert await draft(place) == [None]
    assert await place.rows("SELECT id, state, move_bps, comparator, target FROM rooms") == [
        {"id": 1_000, "state": "DRAFT", "move_bps": 200, "comparator": 1, "target": None}
    ]
    assert await place.rows("SELECT room_id, done_at FROM room_requests") == [
        {"room_id": 1_000, "done_at": None}
    ]
    assert await place.woken() == ["custody"]
    assert await place.told() == []


async def test_a_draft_with_a_vault_on_a_warm_feed_opens_and_counts_from_now(place: Place) -> None:
    await ask(place)
    await draft(place)
    await place.do(
        "UPDATE rooms SET opened_at = opened_at - 9000, lock_at = lock_at - 9000,"
        " cut_at = cut_at - 9000, watch_at = watch_at - 9000, deadline_at = deadline_at - 9000"
    )
    await give_vaults(place)
    await warm(place)
    before = await place.now()
    assert await open_rooms(place) == 1
    assert await open_rooms(place) == 0

    [room] = await place.rows("SELECT * FROM rooms")
    assert room["state"] == "OPEN"
    assert before <= room["opened_at"] <= await place.now()
    spans = {name: room[name] - room["opened_at"] for name in room if name.endswith("_at")
             and room[name] is not None}  # fmt: skip
    assert spans == {
        "opened_at": 0, "lock_at": 10_000, "cut_at": 11_000, "watch_at": 13_000,
        "deadline_at": 30_000,
    }  # fmt: skip
    assert await place.value("SELECT done_at IS NOT NULL FROM room_requests")
    [told] = await place.told()
    assert told == {
        "kind": "room.opened", "at": room["opened_at"], "room": "1000", "seq": 1, "feed": FEED,
        "scale": 2, "comparator": 1, "move_bps": 200, "target": None, "vault": "Vault1000",
        "lock_at": room["lock_at"], "cut_at": room["cut_at"], "watch_at": room["watch_at"],
        "deadline_at": room["deadline_at"], "held_ms": 0, "is_live": False,
    }  # fmt: skip


async def test_the_feeds_log_hears_of_the_room(place: Place) -> None:
    await ask(place)
    await draft(place)
    await give_vaults(place)
    await warm(place)
    await open_rooms(place)
    [row] = await place.connections.fetch(
        "SELECT key, payload::text AS payload FROM outbox WHERE topic = 'ticks'"
    )
    heard = read_heard(row["payload"].encode())
    assert row["key"] == FEED
    assert isinstance(heard, Opened)
    assert heard.room.id == 1_000
    assert heard.room.lock_at == await place.value("SELECT lock_at FROM rooms")


@pytest.mark.parametrize("lacking", ["vault", "seconds", "price", "now", "all"])
async def test_a_draft_waits_for_its_vault_and_a_warm_feed(place: Place, lacking: str) -> None:
    await ask(place)
    await draft(place)
    if lacking != "vault":
        await give_vaults(place)
    match lacking:
        case "seconds":
            await warm(place, 2)
        case "price":
            await warm(place, last=None)
        case "now":
            await warm(place, ago_ms=10_000)
        case "vault":
            await warm(place)
    assert await open_rooms(place) == 0
    assert await place.column("SELECT state FROM rooms") == ["DRAFT"]


async def test_a_second_without_a_price_makes_a_feed_cold(place: Place) -> None:
    await ask(place)
    await draft(place)
    await give_vaults(place)
    await warm(place, 3)
    await place.do(
        "UPDATE feed_seconds SET last = NULL WHERE second_at ="
        " (SELECT second_at FROM feed_seconds ORDER BY second_at LIMIT 1)"
    )
    assert await open_rooms(place) == 0


async def test_a_draft_that_waited_too_long_is_refused(place: Place) -> None:
    await ask(place)
    await draft(place)
    assert await open_rooms(place, draft_wait_ms=0) == 1
    assert await place.refusals("room_requests") == ["never_warm"]
    assert [told["code"] for told in await place.told("room.refused")] == ["never_warm"]
    await give_vaults(place)
    await warm(place)
    assert await open_rooms(place) == 0


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"lock_in_ms": 4_999}, "lock_too_soon"),
    ({"lock_in_ms": -1}, "lock_too_soon"),
    ({"deadline_in_ms": 9_999}, "deadline_too_soon"),
    ({"deadline_in_ms": 2**62}, "deadline_too_late"),
    ({"deadline_in_ms": 13_000}, "no_watch"),
    ({"move_bps": 0}, "bad_move"),
    ({"move_bps": -5_001}, "bad_move"),
    ({"move_bps": None}, "one_target"),
    ({"fixed_value": 20_500}, "one_target"),
    ({"move_bps": None, "fixed_value": 20_000}, "target_passed"),
    ({"move_bps": None, "fixed_value": 0}, "bad_value"),
    ({"move_bps": None, "fixed_value": -1}, "bad_value"),
    ({"seats": 1}, "bad_seats"),
    ({"stake_lamports_min": 0}, "bad_stake_limits"),
    ({"stake_lamports_max": 2**63 - 1}, "bad_stake_limits"),
    ({"move_bps": "200"}, "bad_request"),
    ({"move_bps": 2.5}, "bad_request"),
    ({"surprise": 1}, "bad_request"),
]


async def test_a_request_that_breaks_a_rule_becomes_no_room(place: Place) -> None:
    place.prices.values[FEED] = 20_000
    for changes, _ in REFUSED:
        await ask(place, **changes)
    await ask(place)
    codes = [code for _, code in REFUSED]
    assert await draft(place) == [*codes, None]
    told = await place.told("room.refused")
    assert [each["code"] for each in told] == codes
    assert all(each["user"] == 1 and each["sentence"] for each in told)
    assert await place.value("SELECT count(*) FROM rooms") == 1
    assert await place.value("SELECT count(*) FROM set_aside") == codes.count("bad_request")


@pytest.mark.parametrize(("value", "comparator"), [(20_500, 1), (19_500, -1)])
async def test_a_fixed_value_lies_above_or_below_the_price_now(
    place: Place, value: int, comparator: int
) -> None:
    place.prices.values[FEED] = 20_000
    await ask(place, move_bps=None, fixed_value=value)
    assert await draft(place) == [None]
    assert await place.rows("SELECT target, comparator FROM rooms") == [
        {"target": value, "comparator": comparator}
    ]


async def test_a_fixed_value_needs_a_price_and_a_move_does_not(place: Place) -> None:
    await ask(place, move_bps=None, fixed_value=20_500)
    await ask(place)
    assert await draft(place) == ["no_price", None]


async def test_a_fixed_value_reached_before_the_room_opens_is_refused(place: Place) -> None:
    place.prices.values[FEED] = 20_000
    await ask(place, move_bps=None, fixed_value=20_500)
    await draft(place)
    await give_vaults(place)
    await warm(place, last=20_500)
    assert await open_rooms(place) == 1
    assert await place.refusals("room_requests") == ["target_passed"]
    assert await place.column("SELECT state FROM rooms") == ["DRAFT"]


@pytest.mark.parametrize("flag", [Flag.ROOMS, Flag.ALL])
async def test_while_rooms_are_paused_none_is_made(place: Place, flag: Flag) -> None:
    async with transaction(place.connections) as connection:
        await change(connection, flag, open=False, reason="test")
    await ask(place)
    assert await draft(place) == ["paused"]


async def test_workers_at_once_make_each_request_one_room_that_opens_once(place: Place) -> None:
    for _ in range(20):
        await ask(place)
    await warm(place)
    ids = count(5_000)
    money = place.money(room_limits=LIMITS, batch_max=3, new_room_id=lambda: next(ids))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(drain([lambda: claim_requests(money)]))
    await give_vaults(place)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(drain([lambda: claim_drafts(money)]))
    assert await place.value("SELECT count(*) FROM rooms WHERE state = 'OPEN'") == 20
    assert len(await place.told("room.opened")) == 20


async def test_a_live_room_on_a_condition_is_refused_since_its_bets_cannot_be_weighed(
    place: Place,
) -> None:
    async with transaction(place.connections) as connection:
        known = await feeds.every(connection)
        found = formula("price(SOL) > 1 and change(SOL, 1h) > 5%")
        condition = derived_feed(found, known)
        await derivations.define(connection, condition)
    asked = await ask(place, move_bps=None, fixed_value=1, is_live=True)
    await place.do("UPDATE room_requests SET feed = $1 WHERE id = $2", condition.name, asked)

    assert await draft(place) == ["not_live"]
