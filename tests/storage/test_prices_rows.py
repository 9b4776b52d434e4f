"""The rows of the prices stage: what is written comes back, and a second time writes nothing."""

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio

from rooms.catalogue import CATALOGUE
from rooms.coverage import Coverage
from rooms.crossing import Crossing
from rooms.event import PUBLIC, Kind
from rooms.feed import Guards
from rooms.feed_log import Decided, Locked, Memory, SecondClosed, WatchStarted
from rooms.index_price import IndexPrice, LeftOut, Reason, Silence
from rooms.refusal import Impossible
from rooms.room import Comparator, Outcome, VoidReason
from rooms.sources import Source, SourcesMemory
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from storage import crossings, decisions, events, feed_seconds, feeds, open_rooms
from storage.connections import Connection, Connections, transaction
from storage.decisions import TargetsDiffer
from storage.live import Live, LivePrice, open_live
from tests.postgres import free_port

FEED = "SOL/USD"
BIG = 2**62
TICK = Tick("bybit", 2**63 - 1, Value(BIG), UnixMs(BIG), UnixMs(BIG + 1))
PRICE = IndexPrice(
    Value(BIG), UnixMs(BIG + 2), (TICK,), ((replace(TICK, source="okx"), LeftOut.STALE),)
)
MEMORY = Memory(
    at=UnixMs(BIG),
    sources=SourcesMemory(sources=(Source(TICK, UnixMs(BIG), Value(BIG)),), mean=Value(BIG)),
    price=PRICE,
    silence=Silence(Reason.TOO_WIDE, UnixMs(1), 1, 2, 3),
    priced_at=UnixMs(7),
    gaps=((UnixMs(1), UnixMs(2)),),
)


@pytest_asyncio.fixture
async def place(connections: Connections) -> Connections:
    async with connections.acquire() as connection:
        await feeds.upsert(connection, CATALOGUE[FEED], standing=True)
        await connection.execute("INSERT INTO users (id, chat_id, name) VALUES (1, 1, 'p')")
    return connections


async def room(connections: Connections, number: int, *, state: str = "OPEN") -> None:
    await connections.execute(
        """
        INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, opened_at, lock_at,
            cut_at, watch_at, deadline_at, target_wait_ms, gap_ms_max, protocol_fee_bps,
            host_fee_bps, stake_lamports_min, stake_lamports_max, volatility_bps, guards, state)
        VALUES ($1, 1, 'SOL/USD', 8, 1, 100, 1000, 2000, 3000, 4000, 9000, 1, 1, 1, 1, 1, 1, 1,
            '{}', $2)
        """,
        number,
        state,
    )


def second(at: int, *, last: int | None = 5) -> SecondClosed:
    value = None if last is None else Value(last)
    silence = Silence(Reason.TOO_FEW, UnixMs(at), 0, 0, 3) if last is None else None
    return SecondClosed(
        second_at=UnixMs(at),
        low=value,
        high=value,
        last=value,
        changes=1,
        silence=silence,
        memory=MEMORY,
    )


async def told(connections: Connections) -> list[str]:
    rows = await connections.fetch("SELECT topic, payload FROM outbox ORDER BY id")
    return [row["payload"].get("kind", row["topic"]) for row in rows]


async def test_a_feed_comes_back_as_it_was_and_never_changes_its_scale(
    connections: Connections,
) -> None:
    feed = replace(CATALOGUE[FEED], guards=Guards(quorum=2))
    async with connections.acquire() as connection:
        await feeds.upsert(connection, CATALOGUE[FEED], standing=True)
        await feeds.upsert(connection, feed, standing=False)
        assert await feeds.every(connection) == {FEED: feed}
        assert await feeds.named(connection, ["NO/FEED"]) == {}
        with pytest.raises(Impossible, match="another scale"):
            await feeds.upsert(connection, replace(feed, scale=6), standing=True)
        assert await feeds.every(connection) == {FEED: feed}


async def test_guards_stay_as_they_are_while_a_room_is_open_that_was_opened_by_them(
    place: Connections,
) -> None:
    stricter = replace(CATALOGUE[FEED], guards=Guards(quorum=4))
    await room(place, 1)
    async with transaction(place) as connection:
        kept = await feeds.upsert(connection, stricter, standing=True)
        void = Decided(1, Outcome.VOID, VoidReason.GAP, UnixMs(9_000), None)
        await decisions.decide(connection, [void])
        changed = await feeds.upsert(connection, stricter, standing=True)

    assert (kept.quorum, changed.quorum) == (3, 4)


async def test_a_feed_is_wanted_when_it_stands_or_somebody_begins_a_room_on_it(
    connections: Connections,
) -> None:
    async with connections.acquire() as connection:
        await feeds.upsert(connection, CATALOGUE[FEED], standing=True)
        await feeds.upsert(connection, CATALOGUE["BTC/USD"], standing=False)
        assert [feed.name for feed in await feeds.wanted(connection)] == [FEED]
        await feeds.draft(connection, "BTC/USD")
        wanted = {feed.name: feed for feed in await feeds.wanted(connection)}
    assert set(wanted) == {FEED, "BTC/USD"}
    assert wanted["BTC/USD"].symbols["kraken"] == "BTC/USD"


async def test_the_newest_second_of_each_feed_brings_back_position_and_memory(
    place: Connections,
) -> None:
    async with place.acquire() as connection:
        assert await feed_seconds.newest(connection, [FEED]) == {}
        await feed_seconds.store(connection, FEED, second(2_000), log_position=8)
        await feed_seconds.store(connection, FEED, second(1_000), log_position=4)
        await feed_seconds.store(connection, FEED, second(2_000), log_position=9)
        found = await feed_seconds.newest(connection, [FEED, "BTC/USD"])
    assert found == {FEED: feed_seconds.Stored(9, MEMORY)}
    assert await place.fetchval("SELECT count(*) FROM feed_seconds") == 2


@pytest.mark.parametrize(
    ("seconds_ago", "silent_ago", "warm"),
    [
        pytest.param(range(1, 7), None, True, id="priced all the time"),
        pytest.param(range(2, 7), None, True, id="the last second is on its way"),
        pytest.param(range(1, 4), None, False, id="not for so long"),
        pytest.param(range(1, 7), 3, False, id="silent in between"),
        pytest.param(range(30, 60), None, False, id="long ago"),
    ],
)
async def test_a_feed_is_warm_when_it_had_a_price_for_so_long(
    place: Connections, seconds_ago: range, silent_ago: int | None, warm: bool
) -> None:
    async with place.acquire() as connection:
        now = await connection.fetchval("SELECT now_ms() / 1000 * 1000")
        for ago in seconds_ago:
            last = None if ago == silent_ago else 5
            row = second(now - ago * 1_000, last=last)
            await feed_seconds.store(connection, FEED, row, log_position=1)
        assert await feed_seconds.warm(connection, FEED, 4_000) is warm


async def test_open_rooms_are_read_by_feed_and_overdue_ones_by_deadline(
    place: Connections,
) -> None:
    for number, state in ((1, "OPEN"), (2, "LOCKED"), (3, "DRAFT")):
        await room(place, number, state=state)
    async with place.acquire() as connection:
        found = [page async for page in open_rooms.singles(connection, FEED, UnixMs(9_000))]
        late = await open_rooms.overdue(connection, 60_000)
        none = [page async for page in open_rooms.singles(connection, "BTC/USD", UnixMs(9_000))]
    assert [(each.id, locked) for page in found for each, locked in page] == [(1, False), (2, True)]
    assert none == []
    assert found[0][0][0].comparator is Comparator.UP
    assert [(each.id, each.deadline_at) for each in late] == [(1, 9_000), (2, 9_000)]


@pytest.mark.parametrize(("at", "packed"), [(3_999, []), (4_000, [2, 3])])
async def test_a_room_is_packed_once_its_log_has_passed_its_watch_and_its_target_is_fixed(
    place: Connections, at: int, packed: list[int]
) -> None:
    for number in (1, 2, 3, 4):
        await room(place, number, state="LOCKED")
    fixed = "UPDATE rooms SET watched_at = 4000, target = $2, comparator = $3 WHERE id = $1"
    await place.execute(fixed, 2, 50, 1)
    await place.execute(fixed, 3, 40, -1)
    await place.execute("UPDATE rooms SET watched_at = 4000 WHERE id = 4")
    async with place.acquire() as connection:
        waiting = [page async for page in open_rooms.singles(connection, FEED, UnixMs(at))]
        watched = await open_rooms.packed(connection, FEED, UnixMs(at))
    assert [number for number in range(5) if number in watched] == packed
    assert [each.id for page in waiting for each, _ in page] == sorted({1, 2, 3, 4} - set(packed))
    if packed:
        found = watched.get(3)
        assert found is not None
        assert (found.comparator, found.target, found.deadline_at) == (Comparator.DOWN, 40, 9_000)


async def test_a_lock_is_told_once(place: Connections) -> None:
    await room(place, 1)
    for _ in range(2):
        async with transaction(place) as connection:
            await decisions.lock(connection, [Locked(1, UnixMs(2_000))])
    assert await told(place) == ["room.locked", "custody"]
    assert await place.fetchval("SELECT state FROM rooms") == "LOCKED"


async def test_a_target_is_fixed_once_and_another_value_is_loud(place: Connections) -> None:
    await room(place, 1, state="LOCKED")
    price = replace(PRICE, value=Value(100))
    started = WatchStarted(1, UnixMs(4_000), Value(101), price)
    for _ in range(2):
        async with transaction(place) as connection:
            await decisions.fix_target(connection, started)
    with pytest.raises(TargetsDiffer):
        async with transaction(place) as connection:
            await decisions.fix_target(connection, replace(started, target=Value(102)))
    assert await told(place) == ["watch.started"]
    row = await place.fetchrow("SELECT target, base, watched_at FROM rooms")
    assert row is not None
    assert tuple(row) == (101, 100, 4_000)


async def test_the_target_of_a_room_that_was_decided_meanwhile_is_left_alone(
    place: Connections,
) -> None:
    await room(place, 1)
    async with transaction(place) as connection:
        void = Decided(1, Outcome.VOID, VoidReason.ONE_SIDED, UnixMs(3_500), None)
        await decisions.decide(connection, [void])
        await decisions.fix_target(connection, WatchStarted(1, UnixMs(4_000), Value(101), PRICE))
    assert await place.fetchval("SELECT target FROM rooms") is None
    assert "watch.started" not in await told(place)


async def test_the_watch_of_a_fixed_value_is_told_once(place: Connections) -> None:
    await room(place, 1, state="LOCKED")
    for _ in range(2):
        async with transaction(place) as connection:
            await decisions.watch(connection, [WatchStarted(1, UnixMs(4_000), Value(101), None)])
    assert await told(place) == ["watch.started"]


async def test_many_rooms_are_decided_at_once_and_each_only_once(place: Connections) -> None:
    for number in (1, 2, 3):
        await room(place, number, state="LOCKED")
    crossing = Crossing(
        room=2, comparator=Comparator.UP, target=Value(BIG), before=None, price=PRICE
    )
    decided = [
        Decided(1, Outcome.NO, None, UnixMs(9_000), None),
        Decided(2, Outcome.YES, None, UnixMs(8_000), crossing),
        Decided(3, Outcome.VOID, VoidReason.GAP, UnixMs(9_000), None),
    ]
    async with transaction(place) as connection:
        assert await decisions.decide(connection, decided) == [1, 2, 3]
    async with transaction(place) as connection:
        assert await decisions.decide(connection, decided) == []
        assert await crossings.of(connection, 2) == crossing
        assert await crossings.of(connection, 1) is None
    assert await told(place) == [*["room.decided"] * 3, "settlements", "custody"]


SECOND = SecondClosed(
    second_at=UnixMs(0), low=Value(90), high=Value(100), last=Value(95), changes=2,
    silence=None, memory=MEMORY,
)  # fmt: skip


async def store(connection: Connection, seconds: dict[int, tuple[int, int]]) -> None:
    for at, (low, high) in seconds.items():
        moment = UnixMs(1_000 * at)
        closed = replace(SECOND, second_at=moment, low=Value(low), high=Value(high))
        await feed_seconds.store(connection, FEED, closed, log_position=at)


@pytest.mark.parametrize(
    ("reached_in", "outcome"),
    [
        pytest.param(4, "NO", id="before the target was fixed"),
        pytest.param(5, "NO", id="in the second in which it was fixed"),
        pytest.param(6, "VOID", id="after it"),
    ],
)
async def test_a_move_is_watched_from_the_price_that_fixed_its_target(
    place: Connections, reached_in: int, outcome: str
) -> None:
    await room(place, 1, state="LOCKED")
    async with transaction(place) as connection:
        price = IndexPrice(Value(100), UnixMs(5_900), PRICE.ticks, ())
        assert await decisions.fix_target(
            connection, WatchStarted(1, UnixMs(5_900), Value(101), price)
        )
        await store(connection, {4: (99, 100), 5: (99, 100), 6: (99, 100), reached_in: (99, 101)})
        await decisions.decide(connection, [Decided(1, Outcome.NO, None, UnixMs(9_000), None)])
    assert await place.fetchval("SELECT outcome FROM rooms") == outcome


@pytest.mark.parametrize(
    ("held_ms", "seconds", "outcome"),
    [
        pytest.param(0, {5: (99, 100)}, "NO", id="short of it"),
        pytest.param(0, {5: (90, 101)}, "VOID", id="reached"),
        pytest.param(0, {3: (101, 102), 9: (101, 102)}, "NO", id="reached outside of the watch"),
        pytest.param(2_000, {5: (90, 101), 6: (101, 101), 7: (101, 101)}, "NO", id="not held"),
        pytest.param(
            2_000, {5: (101, 102), 6: (101, 101), 7: (102, 103)}, "VOID", id="held and missed"
        ),
    ],
)
async def test_no_is_not_said_against_the_stored_seconds(
    place: Connections, held_ms: int, seconds: dict[int, tuple[int, int]], outcome: str
) -> None:
    await room(place, 1, state="LOCKED")
    await place.execute("UPDATE rooms SET target = 101, held_ms = $1", held_ms)
    async with transaction(place) as connection:
        await store(connection, seconds)
        covered = Coverage(UnixMs(4_000), UnixMs(9_000), 700, 600)
        no = Decided(1, Outcome.NO, None, UnixMs(9_000), None, covered)
        await decisions.decide(connection, [no])
    row = await place.fetchrow("SELECT outcome, void_reason FROM rooms")
    assert row is not None
    reason = "touch_missed" if outcome == "VOID" else None
    assert tuple(row) == (outcome, reason)
    kept = await place.fetchrow("SELECT * FROM coverage")
    assert kept is not None
    assert tuple(kept) == (1, 4_000, 9_000, 700, 600)


@pytest.mark.parametrize(
    ("at", "lock_at", "cut_at", "locked_by_it"),
    [
        pytest.param(1_500, 1_500, 1_501, True, id="while bets are open"),
        pytest.param(900, 1_001, 1_002, True, id="before it opened"),
        pytest.param(2_500, 2_000, 2_500, False, id="between lock and cut"),
        pytest.param(3_500, 2_000, 3_000, False, id="after the cut"),
    ],
)
async def test_a_room_that_ends_before_its_cut_is_cut_where_it_ends(
    place: Connections, at: int, lock_at: int, cut_at: int, locked_by_it: bool
) -> None:
    await room(place, 1, state="OPEN" if locked_by_it else "LOCKED")
    void = Decided(1, Outcome.VOID, VoidReason.REACHED_BEFORE_WATCH, UnixMs(at), None)
    async with transaction(place) as connection:
        await decisions.decide(connection, [void])
    row = await place.fetchrow("SELECT lock_at, cut_at, watch_at, deadline_at FROM rooms")
    assert row is not None
    assert tuple(row) == (lock_at, cut_at, 4_000, 9_000)
    assert ("room.locked" in await told(place)) is locked_by_it


async def test_events_are_read_by_number_and_the_bell_rings(place: Connections) -> None:
    async with place.acquire() as connection, events.bell(place) as bell:
        assert await events.last_number(connection) == 0
        for number, kind in enumerate((Kind.ROOM_LOCKED, Kind.BET_WON, Kind.ROOM_DECIDED), 1):
            await connection.execute(
                "INSERT INTO outbox (topic, key, payload, number) VALUES ('events', '1', $1, $2)",
                {"kind": kind.value},
                number,
            )
        await connection.execute("SELECT pg_notify('events', '')")
        async with asyncio.timeout(5):
            await bell.wait(5)
        bell.clear()
        every = await events.after(connection, 0, 10)
        public = await events.after(connection, 1, 10, kinds=PUBLIC)
        assert await events.last_number(connection) == 3
    assert [each.number for each in every] == [1, 2, 3]
    assert [(each.number, each.payload["kind"]) for each in public] == [(3, "room.decided")]


async def test_a_bell_whose_connection_is_lost_says_so(place: Connections) -> None:
    async with events.bell(place) as bell:
        await place.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'test' AND pid <> pg_backend_pid()"
        )
        async with asyncio.timeout(5):
            while not bell.is_lost:
                await bell.wait(5)


def live_price(seen_at: int, value: int | None = 5) -> LivePrice:
    return LivePrice(
        feed=FEED,
        value=None if value is None else Value(value),
        at=UnixMs(seen_at - 1),
        seen_at=UnixMs(seen_at),
        silence=Reason.TOO_FEW if value is None else None,
        agreeing=3,
        known=4,
        quorum=3,
        position=7,
        told_at=UnixMs(seen_at),
    )


async def test_a_live_price_comes_back_and_an_older_word_never_replaces_it(
    redis_url: str,
) -> None:
    async with open_live(redis_url) as live:
        assert await live.price_of(FEED) is None
        await live.set_prices([live_price(100, BIG)])
        assert await live.price_of(FEED) == live_price(100, BIG)
        await live.set_prices([live_price(99)])
        assert await live.price_of(FEED) == live_price(100, BIG)
        await live.set_prices([live_price(101, None)])
        assert await live.price_of(FEED) == live_price(101, None)


async def test_a_live_price_counts_only_while_its_log_goes_on() -> None:
    assert live_price(10_000).value_at(UnixMs(12_000)) == 5
    assert live_price(10_000).value_at(UnixMs(13_001)) is None
    assert live_price(10_000, None).value_at(UnixMs(10_000)) is None


async def test_a_server_that_is_away_looks_like_a_price_that_is_not_known() -> None:
    async with open_live(f"redis://127.0.0.1:{free_port()}/0") as live:
        assert await _away(live)


async def _away(live: Live) -> bool:
    return (
        not await live.set_prices([live_price(1)])
        and await live.price_of(FEED) is None
        and not await live.ping()
    )
