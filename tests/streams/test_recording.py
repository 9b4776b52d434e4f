"""What was recorded replays to the prices, seconds and outcomes that were told, byte for byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from cli.replaying import Wish, stretches_of
from rooms.catalogue import CATALOGUE
from rooms.feed_log import Decided
from rooms.recording import Segment
from rooms.refusal import Impossible
from rooms.units import UnixMs
from storage import crossings, feed_seconds, feeds, recordings
from storage.connections import transaction
from streams.recording import RecordingSettings, run_recording
from streams.replay import OfRoom, Outcome, Prices, Replay, Second, stored_text, text_of
from tests.kafka import Kafka
from tests.pricing import FEED, Stage, a_room, eventually, now_ms, stage

MINUTE_MS = 60_000


@pytest_asyncio.fixture
async def place(dsn: str, redis_url: str, kafka: Kafka) -> AsyncIterator[Stage]:
    async with stage(dsn, redis_url, kafka) as made:
        yield made


@asynccontextmanager
async def recorder(place: Stage, folder: Path, *, days: int = 0) -> AsyncIterator[None]:
    settings = RecordingSettings(folder=folder, partitions=place.partitions, days=days)
    ready = asyncio.Event()
    running = asyncio.create_task(
        run_recording(
            settings, connections=place.connections, bootstrap=place.bootstrap, clock=now_ms,
            ready=ready.set,
        )
    )  # fmt: skip
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        yield
        assert not running.done(), running.result()
    finally:
        waiting.cancel()
        running.cancel()
        await asyncio.wait([running])


async def recorded(place: Stage, offset: int) -> None:
    """Wait until everything up to ``offset`` lies in segments."""

    async def is_there() -> bool:
        last = await place.value("SELECT max(last_offset) FROM segments WHERE feed = $1", FEED)
        return last is not None and last >= offset

    await eventually(is_there)


def segments(folder: Path) -> list[Segment]:
    wish = Wish(files=[folder], feeds=frozenset(), speed=0, to=None, until=None, as_json=False)
    (stretch,) = stretches_of(wish)
    return stretch


def base() -> int:
    """Return the beginning of a minute, an hour ago."""
    return (now_ms() - 60 * MINUTE_MS) // MINUTE_MS * MINUTE_MS


async def three_minutes(place: Stage, start: int) -> int:
    """Tell a story with rooms that end YES and NO, a silence, and nonsense; return its end."""
    yes = a_room(start, 7)
    no = a_room(start, 8, move_bps=4_000, deadline_at=UnixMs(start + 100_000), gap_ms_max=50_000)
    for room in (yes, no):
        await place.room(room)
    await place.say(start - 500, 200)
    for room in (yes, no):
        await place.open(room)
    for step in range(1, 12):
        await place.say(start + step * 500, 200 + step / 100)
    await place.write(b"nonsense \xff")
    await place.say(start + 6_100, 203)
    await place.say(start + 20_000)  # Everything is stale: a silence.
    for step in range(40, 140):
        await place.say(start + step * 1_000, 200 + step % 7)
    return await place.say(start + 3 * MINUTE_MS, 200)


def replayed(stretch: list[Segment]) -> tuple[list[Outcome], Replay]:
    replay = Replay(stretch[0])
    return [each for segment in stretch for each in replay.play(segment)], replay


async def test_a_recording_replays_to_what_was_told_and_stored_byte_for_byte(
    place: Stage, tmp_path: Path
) -> None:
    start = base()
    # It is told by the second: with gaps between, that is no coverage.
    await place.value(
        "UPDATE feeds SET guards = guards || '{\"coverage_bps_min\": 0}' RETURNING name"
    )
    async with place.worker():
        last = await three_minutes(place, start)
        await place.stored(last - 1)
        async with recorder(place, tmp_path):
            await recorded(place, last - 1)

    stretch = segments(tmp_path)
    outcomes, replay = replayed(stretch)
    prices = [each for each in outcomes if isinstance(each, Prices)]
    told = [each async for each in place.told(FEED, await place.told_count())]
    assert [each.payload for each in prices] == told[: len(prices)]
    assert len(told) - len(prices) <= 1  # The last minute is still open.

    seconds = {e.closed.second_at: text_of(e) for e in outcomes if isinstance(e, Second)}
    async with place.connections.acquire() as connection:
        rows = await feed_seconds.between(
            connection, FEED, UnixMs(min(seconds)), UnixMs(max(seconds))
        )
        crossing = await crossings.of(connection, 7)
    assert [seconds[row["second_at"]] for row in rows] == [stored_text(row) for row in rows]
    assert len(rows) == len(seconds) > 60

    decided = {
        each.what.room: each.what
        for each in outcomes
        if isinstance(each, OfRoom) and isinstance(each.what, Decided)
    }
    assert {room: each.outcome.value for room, each in decided.items()} == {7: "YES", 8: "NO"}
    assert decided[7].crossing == crossing is not None
    for room, each in decided.items():
        row = await place.room_row(room)
        assert (row["outcome"], row["decided_at"]) == (each.outcome.value, each.at)
    assert (replay.digests.set_aside, replay.digests.differ) == (1, [])
    assert replay.digests.memories == len(stretch) - 1 == 3


async def test_a_replay_that_begins_in_the_middle_goes_on_from_the_worker_s_memory(
    place: Stage, tmp_path: Path
) -> None:
    async with place.worker():
        last = await three_minutes(place, base())
        await place.stored(last - 1)
        async with recorder(place, tmp_path):
            await recorded(place, last - 1)
    stretch = segments(tmp_path)
    whole, _ = replayed(stretch)
    later, replay = replayed(stretch[2:])
    told = [each.payload for each in whole if isinstance(each, Prices)]
    assert [e.payload for e in later if isinstance(e, Prices)] == told[-replay.digests.told :]
    assert replay.digests.told > 10


async def test_the_same_segments_give_the_same_hashes(place: Stage, tmp_path: Path) -> None:
    async with recorder(place, tmp_path):
        last = await three_minutes(place, base())
        await recorded(place, last - 1)
    stretch = segments(tmp_path)
    _, one = replayed(stretch)
    _, other = replayed(stretch)
    assert one.digests.hashes() == other.digests.hashes()
    assert len(set(one.digests.hashes().values())) == 3


async def test_a_memory_that_is_not_the_worker_s_is_found(place: Stage, tmp_path: Path) -> None:
    async with place.worker():
        last = await three_minutes(place, base())
        await place.stored(last - 1)
        async with recorder(place, tmp_path):
            await recorded(place, last - 1)
    stretch = segments(tmp_path)
    memory: dict[str, Any] = dict(stretch[1].memory or {})
    memory["sources"]["sources"][-1]["tick"]["value"] = 1
    stretch[1] = replace(stretch[1], memory=memory)
    _, replay = replayed(stretch)
    assert len(replay.digests.differ) == 1


async def test_a_recorder_that_is_started_again_goes_on_without_a_hole(
    place: Stage, tmp_path: Path
) -> None:
    start = base()
    async with recorder(place, tmp_path):
        await place.say(start + 1_000, 200)
        first = await place.say(start + 2_000, 200)
        second = await place.say(start + MINUTE_MS, 201)
        await recorded(place, first)
    await place.say(start + MINUTE_MS + 1_000, 202)
    async with recorder(place, tmp_path):
        last = await place.say(start + 2 * MINUTE_MS, 203)
        await recorded(place, last - 1)
    stretch = segments(tmp_path)
    assert [line.offset for each in stretch for line in each.lines] == list(range(last))
    assert [each.first_offset for each in stretch] == [0, second]
    assert [each.missed for each in stretch] == [None, None]


async def test_a_log_that_was_lost_is_said(place: Stage, kafka: Kafka, tmp_path: Path) -> None:
    start = base()
    async with recorder(place, tmp_path):
        first = await place.say(start, 200)
        await place.say(start + MINUTE_MS, 200)
        await recorded(place, first)
    kafka.broker.lose()
    async with recorder(place, tmp_path):
        await place.say(start + MINUTE_MS + 1_000, 200)
        await place.say(start + MINUTE_MS + 2_000, 200)
        await place.say(start + 2 * MINUTE_MS, 200)

        async def is_there() -> bool:
            return bool(await place.value("SELECT count(*) = 2 FROM segments"))

        await eventually(is_there)
    rows = await place.rows("SELECT missed, first_offset, last_offset FROM segments ORDER BY to_at")
    assert [tuple(row.values()) for row in rows] == [(None, 0, 0), ([1, 0], 0, 1)]
    with pytest.raises(Impossible, match="missing"):
        replayed([recordings.read(path) for path in recordings.found([tmp_path])])


async def a_new_feed_is_recorded(place: Stage, start: int, new: str) -> None:
    """Make a feed, tell of it at once, and see that nothing of it was passed over."""
    async with transaction(place.connections) as connection:
        await feeds.upsert(connection, CATALOGUE[new], standing=True)
    first = await place.say(start, 3_500, feed=new)
    await place.say(start + MINUTE_MS, 3_500, feed=new)

    async def found() -> int | None:
        offset: int | None = await place.value(
            "SELECT min(first_offset) + 1 FROM segments WHERE feed = $1", new
        )
        return offset

    assert await eventually(found) == first + 1


async def test_a_feed_that_is_new_is_recorded_from_its_first_message(
    place: Stage, tmp_path: Path
) -> None:
    start, new = base(), "ETH/USD"
    with capture_logs() as said:

        async def is_passed_over() -> bool:
            return any(each["event"] == "message_of_no_feed" for each in said)

        async with recorder(place, tmp_path):
            # Feeds have just been looked at for another name.
            await place.say(start, 200, feed="NOBODY")
            await eventually(is_passed_over)
            await a_new_feed_is_recorded(place, start, new)


async def test_old_days_are_deleted_with_their_rows(place: Stage, tmp_path: Path) -> None:
    start = base()
    async with recorder(place, tmp_path):
        first = await place.say(start - 3 * 86_400_000, 200)
        last = await place.say(start, 200)
        await place.say(start + MINUTE_MS, 200)
        await recorded(place, last)
        assert len(recordings.found([tmp_path])) == 2

    async def is_one() -> bool:
        return len(recordings.found([tmp_path])) == 1

    async with recorder(place, tmp_path, days=1):
        await eventually(is_one)

        async def is_forgotten() -> bool:
            return not await place.value(
                "SELECT count(*) FROM segments WHERE first_offset = $1", first
            )

        await eventually(is_forgotten)


async def test_a_file_that_is_not_what_its_name_says_is_refused(
    place: Stage, tmp_path: Path
) -> None:
    start = base()
    async with recorder(place, tmp_path):
        first = await place.say(start, 200)
        await place.say(start + MINUTE_MS, 200)
        await recorded(place, first)
    (path,) = recordings.found([tmp_path])
    changed = path.with_name(path.name.replace(path.name.rpartition("-")[2][:4], "0000"))
    path.rename(changed)
    with pytest.raises(Impossible, match="not what its name says"):
        recordings.read(changed)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(Impossible, match="cannot be read"):
        recordings.read(path)
