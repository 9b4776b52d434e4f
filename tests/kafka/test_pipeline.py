"""On Apache Kafka a feed's log becomes prices and decisions as it does on our own broker."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sandbox.kafka import Kafka as Apache
from streams.topics import TICKS, create_topics
from tests.broker.clients import administering
from tests.kafka import Clock, Place
from tests.kafka.topics import delete_topics
from tests.pricing import Stage, a_room, stage
from tests.streams.test_prices import (
    base,
    test_a_crossing_carries_both_prices_and_all_their_ticks,
    test_a_room_is_locked_watched_and_decided_the_moment_the_price_crosses,
    test_an_unreached_target_is_no_when_the_log_passes_the_deadline,
    test_each_second_is_a_row_and_what_it_covers_is_acknowledged,
    test_garbage_is_set_aside_with_its_reason_and_the_log_goes_on,
    test_prices_are_told_once_a_message_with_their_position,
    test_the_live_price_says_what_holds_and_until_when,
    test_two_feeders_at_once_have_the_effects_of_one,
)
from tests.streams.test_prices_faults import (
    other_place,
    test_a_partition_that_changes_hands_loses_nothing_and_tells_nothing_twice,
    test_a_worker_killed_in_mid_watch_and_a_replay_of_its_log_give_the_same_byte_for_byte,
    test_only_a_log_that_ended_a_minute_ago_lets_the_sweep_decide,
)

__all__ = [
    "other_place",
    "test_a_crossing_carries_both_prices_and_all_their_ticks",
    "test_a_partition_that_changes_hands_loses_nothing_and_tells_nothing_twice",
    "test_a_room_is_locked_watched_and_decided_the_moment_the_price_crosses",
    "test_a_worker_killed_in_mid_watch_and_a_replay_of_its_log_give_the_same_byte_for_byte",
    "test_an_unreached_target_is_no_when_the_log_passes_the_deadline",
    "test_each_second_is_a_row_and_what_it_covers_is_acknowledged",
    "test_garbage_is_set_aside_with_its_reason_and_the_log_goes_on",
    "test_only_a_log_that_ended_a_minute_ago_lets_the_sweep_decide",
    "test_prices_are_told_once_a_message_with_their_position",
    "test_the_live_price_says_what_holds_and_until_when",
    "test_two_feeders_at_once_have_the_effects_of_one",
]

pytestmark = pytest.mark.kafka


@pytest_asyncio.fixture
async def kafka(one_broker: Apache) -> AsyncIterator[Place]:
    place = Place(one_broker.bootstrap, Clock())
    await create_topics(place.bootstrap, partitions=place.partitions)
    yield place
    await delete_topics(place.bootstrap)


@pytest_asyncio.fixture
async def place(dsn: str, redis_url: str, kafka: Place) -> AsyncIterator[Stage]:
    async with stage(dsn, redis_url, kafka) as made:
        yield made


async def test_a_log_that_was_deleted_and_made_again_is_followed_from_its_first_message(
    place: Stage, kafka: Place
) -> None:
    start = base()
    await place.room(a_room(start))
    async with place.worker():
        for step in range(-1, 14):
            last = await place.say(start + step * 250, 200)
        await place.stored(last - 2)
    async with administering(kafka.bootstrap) as admin:
        await admin.delete_topics([TICKS])
    await create_topics(kafka.bootstrap, partitions=kafka.partitions)
    async with place.worker():
        await place.say(start + 4_000, 200)
        await place.say(start + 4_250, 203)
        row = await place.decided(7)

    assert (row["outcome"], row["decided_at"]) == ("YES", start + 4_250)
