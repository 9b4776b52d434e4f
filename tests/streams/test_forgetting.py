"""What nobody needs any more is deleted: never an event, nor a second that a room is judged by."""

import asyncio
from typing import Any

import pytest

from rooms.event import Event, Kind
from rooms.units import UnixMs
from storage import outbox
from storage.connections import transaction
from streams import forgetting
from streams.forgetting import forget_seconds, forget_sent
from tests.place import FEED, Place

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAY = ("0", "-1", "-23", "-25", "-48", "-72")
"""Hours from now at which a second of the feed is stored."""


@pytest.fixture
async def place(place: Place) -> Place:
    await place.person(1)
    return place


async def seconds(place: Place, *hours: str, feed: str = FEED) -> None:
    await place.do(
        "INSERT INTO feed_seconds (feed, second_at, changes, log_position, memory)"
        " SELECT $1, now_ms() + hour * $3::bigint, 0, 1, '{}' FROM unnest($2::bigint[]) AS hour",
        feed, [int(hour) for hour in hours], HOUR_MS,
    )  # fmt: skip


async def kept(place: Place, feed: str = FEED) -> list[str]:
    rows = await place.column(
        "SELECT round((second_at - now_ms()) / $2::numeric) FROM feed_seconds WHERE feed = $1"
        " ORDER BY second_at DESC",
        feed, HOUR_MS,
    )  # fmt: skip
    return [str(hour) for hour in rows]


async def wake_ups(place: Place, count: int) -> None:
    async with transaction(place.connections) as connection:
        for _ in range(count):
            await outbox.wake(connection, "bets")
    await place.do("UPDATE outbox SET sent_at = now_ms() - 1 WHERE topic = 'bets'")


async def test_what_was_sent_long_ago_is_forgotten_but_no_event_and_nothing_unsent(
    place: Place,
) -> None:
    await place.room()
    async with transaction(place.connections) as connection:
        await outbox.tell(connection, [Event(Kind.ROOM_LOCKED, UnixMs(1), room=1)])
        await outbox.wake(connection, "bets")
    await place.do("UPDATE outbox SET sent_at = now_ms() - $1", 2 * HOUR_MS)
    async with transaction(place.connections) as connection:
        await outbox.wake(connection, "custody")
    assert await forget_sent(place.connections, kept_ms=3 * HOUR_MS) == 0
    assert await forget_sent(place.connections) == 1
    assert await place.column("SELECT topic FROM outbox ORDER BY id") == ["events", "custody"]


async def test_however_many_there_are_they_go_a_few_at_a_time_until_none_is_left(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "TOGETHER_MAX", 3)
    await wake_ups(place, 10)
    await seconds(place, *DAY)
    async with asyncio.TaskGroup() as tasks:
        # Two workers at once: what one deletes just now the other passes over.
        both = [tasks.create_task(forget_sent(place.connections, kept_ms=0)) for _ in range(2)]
    assert sum(each.result() for each in both) == 10
    assert await forget_seconds(place.connections, kept_ms=0) == len(DAY) - 1


async def test_what_was_sent_is_found_without_reading_what_stays(place: Place) -> None:
    async with transaction(place.connections) as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.fetch(f"EXPLAIN {outbox.SQL['delete_sent']}", 0, 1)
    assert "outbox_sent" in "".join(row[0] for row in plan)


@pytest.mark.parametrize(
    ("opened_h", "state", "left"),
    [
        (None, None, ["0", "-1", "-23"]),
        (0, "OPEN", ["0", "-1", "-23"]),
        (-2, "OPEN", ["0", "-1", "-23", "-25"]),
        (-30, "LOCKED", ["0", "-1", "-23", "-25", "-48"]),
        (-50, "SETTLED", ["0", "-1", "-23", "-25", "-48", "-72"]),
        (-50, "PAID", ["0", "-1", "-23"]),
        (-50, "DRAFT", ["0", "-1", "-23"]),
    ],
)
async def test_seconds_are_kept_for_a_day_and_for_every_room_that_is_not_paid(
    place: Place, opened_h: int | None, state: str | None, left: list[str]
) -> None:
    if opened_h is not None:
        ending: dict[str, Any] = {"outcome": "NO", "decided_at": 1, "sealed_at": 1}
        ended = state in ("SETTLED", "PAID")
        await place.room(
            opened_at=opened_h * HOUR_MS, state=state, **(ending if ended else {})
        )  # fmt: skip
    await seconds(place, *DAY)
    assert await forget_seconds(place.connections, kept_ms=DAY_MS) == len(DAY) - len(left)
    assert await kept(place) == left


async def test_the_newest_second_of_a_feed_stays_however_old_it_is(place: Place) -> None:
    await place.do(
        "INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards)"
        " VALUES ('ETH/USD', 'USD', 2, '{}', 8000, '{}')"
    )
    await seconds(place, "-48", "-72", feed="ETH/USD")
    await seconds(place, "0", "-48")
    assert await forget_seconds(place.connections, kept_ms=DAY_MS) == 2
    assert await kept(place, "ETH/USD") == ["-48"]
    assert await kept(place) == ["0"]
