"""Prices: the stage that turns each feed's log into prices and decisions.

In        `ticks`, which also carries the rooms of each feed, in one order.
Out       `prices`; the live price; a row a feed a second; targets, outcomes and crossings.
Holds     for each partition that is ours, the feed logs in it; nothing that cannot be read again.
Promises  a message is acknowledged when all that followed from it is answered and stored; whoever
          takes a partition over goes on exactly there; whoever keeps it over a rebalance reads
          nothing anew; a price that was told is not told again.
Why       locks and outcomes of one message are written together: nothing that the feed log does
          next depends on them. A target is committed first, as the next price is compared with it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from rooms.derived_log import DerivedLog, derivation_of, log_of
from rooms.feed import Feed
from rooms.feed_log import (
    Decided,
    Effect,
    FeedLog,
    Locked,
    Memory,
    SecondClosed,
    Strayed,
    Told,
    WatchStarted,
)
from rooms.index_price import IndexPrice, Reason, Silence
from rooms.look_back import step_ms_of
from rooms.refusal import Impossible, must
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from storage import decisions, derivations, feed_seconds, feeds, open_rooms
from storage.again import again
from storage.connections import Connections, transaction
from storage.feed_seconds import Stored
from storage.live import Live, LivePrice
from storage.open_rooms import OverdueRoom
from storage.set_aside import set_aside
from streams import messages
from streams.app import App, attach
from streams.giving import Giver
from streams.log_ends import LogEnds
from streams.topics import PRICES, TICKS, partition_of

AHEAD_MS_MAX: Final = 250
"""How far a message's own time may lie after the broker's."""

QUIET_MS: Final = 5_000
"""A feed that says nothing for so long, while others speak, has its open second stored."""

ENDED_MS: Final = 60_000
"""A log that ended so long ago decides nothing any more."""

GIVE_EVERY_S: Final = 1.0
SWEEP_EVERY_S: Final = 5.0
LIVE_PAUSE_S: Final = 0.05
LIVE_PAUSE_AFTER_TROUBLE_S: Final = 1.0
SEND_LIMIT_S: Final = 20.0
WRITTEN_TOGETHER_MAX: Final = 5_000
PENDING_MAX: Final = 10_000
SHOWN_MAX: Final = 10_000
_LOG_APPEND_TIME: Final = 1
_NEVER: Final = -1

log = structlog.get_logger()


class NoAppendTimeError(Exception):
    """The broker does not stamp its own time on `ticks`: nothing can be judged by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceDeps:
    """What the stage works with.

    Attributes:
        partitions: of `ticks` and `prices`.
        clock: the time now; only a log that ended is judged by it.
        note_progress: called while something long is done for one message.
    """

    connections: Connections
    live: Live
    producer: AIOKafkaProducer
    ends: LogEnds
    partitions: int
    clock: Callable[[], UnixMs]
    note_progress: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Follower:
    """One feed's log as we follow it.

    Attributes:
        handled: the offset of its last message that was handled, by us or before us.
        stored: the same, as its newest row says.
        told: the offset of the last message whose prices the broker has; ``told_at`` its time.
        appended_at: the broker's time of its last message.
        now: the index price or the silence that holds.
        answers: of the broker, for prices that were sent since the last second was stored.
        second: which second its newest row is of.
        giver: gives to derived feeds; None of a feed that is one.
    """

    feed: Feed
    log: FeedLog
    handled: int
    stored: int
    told: int
    told_at: UnixMs
    now: IndexPrice | Silence | None
    appended_at: int = 0
    answers: list["asyncio.Future[Any]"] = field(default_factory=list)
    second: int = _NEVER
    giver: Giver | None = None

    def begin_anew(self) -> None:
        """Forget all positions: they are of another log."""
        self.handled = self.stored = self.told = _NEVER

    def live(self) -> LivePrice | None:
        """Return what is known now."""
        value: Value | None
        silence: Reason | None
        match self.now:
            case None:
                return None
            case IndexPrice():
                value, silence = self.now.value, None
                agreeing, known = len(self.now.sources), self.now.known
            case Silence():
                value, silence = None, self.now.reason
                agreeing, known = self.now.agreeing, self.now.known
        return LivePrice(
            feed=self.feed.name,
            value=value,
            at=self.now.at,
            seen_at=self.log.at,
            silence=silence,
            agreeing=agreeing,
            known=known,
            quorum=self.feed.guards.quorum,
            position=self.told,
            told_at=self.told_at,
        )


@dataclass(slots=True)
class _Partition:
    """A partition that is ours.

    Attributes:
        pending: messages that came before it was taken up, which takes long with many rooms.
        waiting: messages in their order, each with the follower that must store it first.
        handled: the offset of the last message handled.
        appended_at: the broker's time of it; ``looked_at`` of the last look for quiet feeds.
    """

    number: int
    followers: dict[str, _Follower] = field(default_factory=dict)
    taken_up: asyncio.Event = field(default_factory=asyncio.Event)
    taking_up: "asyncio.Task[None] | None" = None
    pending: deque[Any] = field(default_factory=deque)
    waiting: deque[tuple[int, _Follower | None, Any]] = field(default_factory=deque)
    handled: int = _NEVER
    appended_at: int = 0
    looked_at: int = 0

    def acknowledge(self) -> None:
        """Acknowledge what is stored, in order, up to the first that is not."""
        while self.waiting:
            offset, follower, event = self.waiting[0]
            if follower is not None and follower.stored < offset:
                return
            self.waiting.popleft()
            event.ack()


Write = Locked | WatchStarted | Decided


class Pricing:
    """The agent of the stage, and what runs beside it."""

    def __init__(self, app: App, deps: PriceDeps) -> None:
        self._app = app
        self._deps = deps
        self._generation: int | None = None
        self._partitions: dict[int, _Partition] = {}
        self._changed: dict[str, _Follower] = {}
        self._has_changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._takes_up = asyncio.Lock()

    async def follow(self, stream: Any) -> None:  # noqa: ANN401 - a Faust stream
        """Hear every message of the partitions that are ours, one after another.

        A partition is taken up beside this, so that those that we have stand still for no other.
        """
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._keep_live()),
                tasks.create_task(self._void_where_logs_ended()),
                tasks.create_task(self._keep_giving()),
            ]
            async for event in stream.noack().events():
                await self._hear(event, tasks)
            for task in beside:
                task.cancel()

    async def _hear(self, event: Any, tasks: asyncio.TaskGroup) -> None:  # noqa: ANN401 - a Faust event
        message = event.message
        if message.generation_id != self._generation:
            self._begin_generation(message.generation_id)
        if message.timestamp_type != _LOG_APPEND_TIME:
            raise NoAppendTimeError("set message.timestamp.type of ticks to LogAppendTime")
        place = self._partitions.get(message.partition)
        if place is None:
            place = self._partitions[message.partition] = _Partition(message.partition)
            place.taking_up = tasks.create_task(self._take_up(place))
        if place.taken_up.is_set():
            async with self._turn:
                await self._hear_in(place, event)
            return
        place.pending.append(event)
        if len(place.pending) >= PENDING_MAX:
            await place.taken_up.wait()

    async def _take_up(self, place: _Partition) -> None:
        """Read all about a partition, then hear what has come meanwhile."""
        async with self._takes_up:
            # One after another: the first goes on sooner, and the last no later.
            place.followers = await again(partial(self._load, place.number, None))
        log.info(
            "partition_taken",
            partition=place.number,
            feeds=len(place.followers),
            rooms=sum(follower.log.open_count for follower in place.followers.values()),
        )
        while place.pending:
            async with self._turn:
                event = place.pending.popleft() if place.pending else None
                if event and event.message.generation_id == self._app.consumer_generation_id:
                    await self._hear_in(place, event)
        place.taken_up.set()

    async def _hear_in(self, place: _Partition, event: Any) -> None:  # noqa: ANN401 - a Faust event
        message = event.message
        appended_at = round(message.timestamp * 1000)
        follower: _Follower | None = None
        try:
            name, heard, ticks = read_message(message.key, event.value, appended_at)
            follower = await self._follower(place, name)
            await self._handle(place, follower, message.offset, appended_at, heard, ticks)
        except Impossible as reason:
            follower = None
            await self._set_aside(message, event.value, reason)
        place.waiting.append((message.offset, follower, event))
        place.handled, place.appended_at = message.offset, appended_at
        await self._store_quiet(place)
        place.acknowledge()

    def _begin_generation(self, generation: int) -> None:
        """Keep what stayed ours: between two generations in a row nobody else had it."""
        assigned = {tp.partition for tp in self._app.consumer.assignment() if tp.topic == TICKS}
        in_a_row = self._generation is not None and generation == self._generation + 1
        self._generation = generation
        for number, place in list(self._partitions.items()):
            if in_a_row and number in assigned:
                continue
            del self._partitions[number]
            if place.taking_up is not None:
                place.taking_up.cancel()
        for place in self._partitions.values():
            # What waits comes again; what of it was handled is passed over.
            place.pending.clear()
            place.waiting.clear()
        kept = {name for place in self._partitions.values() for name in place.followers}
        self._changed = {name: each for name, each in self._changed.items() if name in kept}

    async def _handle(
        self,
        place: _Partition,
        follower: _Follower,
        offset: int,
        appended_at: int,
        heard: messages.Heard,
        ticks: Sequence[Tick],
    ) -> None:
        if offset <= follower.handled:
            if not _is_later(follower.log, heard):
                return
            log.warning("log_began_anew", feed=follower.feed.name, offset=offset)
            follower.begin_anew()
        match heard:
            case messages.Opened():
                follower.log.open(heard.room)
            case messages.Stopped():
                follower.log.stop(int(heard.room))
            case messages.Ticks():
                must(not isinstance(follower.log, DerivedLog), "a derived feed hears its inputs")
                at = UnixMs(heard.at)
                await self._pass(place, follower, offset, at, follower.log.hear(at, ticks))
            case messages.Inputs():
                effects = given(follower.log, heard)
                await self._pass(place, follower, offset, None, effects)
        follower.handled, follower.appended_at = offset, appended_at

    async def _pass(
        self,
        place: _Partition,
        follower: _Follower,
        offset: int,
        at: UnixMs | None,
        effects: Iterable[Effect],
    ) -> None:
        """Handle what follows from a message of this time, or of the log's own."""
        giver = follower.giver
        told: list[IndexPrice | Silence] = []
        writes: list[Write] = []
        for effect in effects:
            match effect:
                case Told():
                    follower.now = effect.price
                    told.append(effect.price)
                    if giver is not None:
                        giver.note(effect.price)
                case SecondClosed():
                    if giver is not None:
                        giver.close(effect)
                    await self._store(place, follower, effect)
                case WatchStarted() if effect.price is not None:
                    await self._write(writes)
                    if not await again(partial(self._fix_target, effect)):
                        # The log says twice that it opens, the second time after its end.
                        follower.log.stop(effect.room)
                case Strayed():
                    log.error("source_strays", feed=follower.feed.name, source=effect.source)
                case _:
                    writes.append(effect)
            if len(writes) >= WRITTEN_TOGETHER_MAX:
                await self._write(writes)
                self._deps.note_progress()
        await self._write(writes)
        if at is None:
            at = follower.log.at
        if giver is not None:
            for message in giver.messages(offset, follower.log.at):
                await self._send(follower, TICKS, message.feed, message)
        if told and not (offset <= follower.told and at <= follower.told_at):
            await self._tell(follower, offset, at, told)
        self._mark_changed(follower)

    def _mark_changed(self, follower: _Follower) -> None:
        self._changed[follower.feed.name] = follower
        self._has_changed.set()

    async def _tell(
        self,
        follower: _Follower,
        offset: int,
        at: UnixMs,
        told: Sequence[IndexPrice | Silence],
    ) -> None:
        feed = follower.feed
        message = messages.prices(feed.name, feed.scale, offset, at, told)
        answer = await self._send(follower, PRICES, feed.name, message)

        def answered(answer: "asyncio.Future[Any]") -> None:
            if not answer.cancelled() and answer.exception() is None and offset > follower.told:
                follower.told, follower.told_at = offset, at
                self._mark_changed(follower)

        answer.add_done_callback(answered)

    async def _send(
        self, follower: _Follower, topic: str, key: str, message: messages.Message
    ) -> "asyncio.Future[Any]":
        """Send; what it follows from is acknowledged when the broker has answered."""
        async with asyncio.timeout(SEND_LIMIT_S):
            answer: asyncio.Future[Any] = await self._deps.producer.send(
                topic, messages.write(message), key=key.encode()
            )
        follower.answers.append(answer)
        return answer

    async def _store(self, place: _Partition, follower: _Follower, second: SecondClosed) -> None:
        """Store a second and acknowledge what it covers, once its prices have been answered."""
        if follower.handled == follower.stored and second.second_at <= follower.second:
            return  # Its row is there: the log was taken up just after it.
        answers, follower.answers = follower.answers, []
        async with asyncio.timeout(SEND_LIMIT_S):
            await asyncio.gather(*answers)
        await again(partial(self._store_row, follower, second))
        follower.stored, follower.second = follower.handled, second.second_at
        place.acknowledge()

    async def _store_row(self, follower: _Follower, second: SecondClosed) -> None:
        async with self._deps.connections.acquire() as connection:
            await feed_seconds.store(
                connection, follower.feed.name, second, log_position=follower.handled
            )

    async def _store_quiet(self, place: _Partition) -> None:
        """Store feeds that say nothing more, so that they hold up no one else's messages."""
        if place.appended_at - place.looked_at < QUIET_MS:
            return
        place.looked_at = place.appended_at
        for follower in place.followers.values():
            quiet = place.appended_at - follower.appended_at >= QUIET_MS
            if quiet and follower.handled > follower.stored:
                if follower.log.at:
                    await self._store(place, follower, follower.log.closed_second())
                else:
                    follower.stored = follower.handled  # Rooms only, and those are in their table.

    async def _write(self, writes: list[Write]) -> None:
        if writes:
            await again(partial(self._write_together, tuple(writes)))
            for each in writes:
                if isinstance(each, Decided):
                    log.info("room_decided", room=each.room, outcome=each.outcome.value, at=each.at)
            writes.clear()

    async def _write_together(self, writes: Sequence[Write]) -> None:
        async with transaction(self._deps.connections) as connection:
            await decisions.lock(connection, [each for each in writes if isinstance(each, Locked)])
            await decisions.watch(
                connection, [each for each in writes if isinstance(each, WatchStarted)]
            )
            await decisions.decide(
                connection, [each for each in writes if isinstance(each, Decided)]
            )

    async def _fix_target(self, started: WatchStarted) -> bool:
        async with transaction(self._deps.connections) as connection:
            return await decisions.fix_target(connection, started)

    async def _set_aside(self, message: Any, payload: bytes | None, reason: Impossible) -> None:  # noqa: ANN401 - Faust's own
        origin = f"{message.topic}/{message.partition}/{message.offset}"
        shown = (
            (payload or b"")[:SHOWN_MAX]
            .decode(errors="replace")
            .replace("\0", "\N{REPLACEMENT CHARACTER}")
        )
        log.warning("message_set_aside", origin=origin, reason=str(reason))
        await again(partial(self._set_aside_row, origin, shown, str(reason)))

    async def _set_aside_row(self, origin: str, payload: str, reason: str) -> None:
        async with transaction(self._deps.connections) as connection:
            await set_aside(connection, origin, payload, reason)

    async def _follower(self, place: _Partition, feed: str) -> _Follower:
        """Return a feed's follower.

        Raises:
            Impossible: when there is no such feed, or its log does not lie here.
        """
        follower = place.followers.get(feed)
        if follower is None:
            must(
                partition_of(feed, self._deps.partitions) == place.number,
                "a feed's log lies in the partition of its name",
            )
            place.followers |= await again(partial(self._load, place.number, feed))
            follower = place.followers.get(feed)
        if follower is None:
            raise Impossible(f"there is no feed {feed!r}")
        return follower

    async def _load(self, number: int, only: str | None) -> dict[str, _Follower]:
        """Read where the logs of a partition were left, and their open rooms, set-wise."""
        async with self._deps.connections.acquire() as connection:
            if only is None:
                known = await feeds.every(connection)
            else:
                known = await feeds.named(connection, [only])
            found = {
                name: feed
                for name, feed in known.items()
                if partition_of(name, self._deps.partitions) == number
            }
            left = await feed_seconds.newest(connection, found)
            uses = _uses(await derivations.wanted(connection))
        told = await self._deps.live.prices_of(found)
        end = await self._end(number)
        followers: dict[str, _Follower] = {}
        for name, feed in found.items():
            try:
                followers[name] = _taken_up(feed, left.get(name), told.get(name), end)
            except Impossible as reason:
                log.error("feed_unreadable", feed=name, why=str(reason))
        for name, follower in followers.items():
            await self._open_rooms(follower)
            await self._give(follower, uses.get(name, {}))
        return followers

    async def _give(self, follower: _Follower, spans: Mapping[str, tuple[int, ...]]) -> None:
        """Let a follower give to these derived feeds, and read the past that they look back at."""
        giver = follower.giver
        if giver is None:
            return
        giver.want(spans)
        for span in giver.unread:
            step_ms = step_ms_of(span)
            since = UnixMs(follower.log.at - span - 2 * step_ms)
            async with self._deps.connections.acquire() as connection:
                giver.read(
                    span, await derivations.steps(connection, follower.feed.name, step_ms, since)
                )

    async def _keep_giving(self) -> None:
        """Learn which derived feeds are wanted."""
        while True:
            await asyncio.sleep(GIVE_EVERY_S)
            uses = await again(self._wanted)
            for place in list(self._partitions.values()):
                for name, follower in list(place.followers.items()):
                    await again(partial(self._give, follower, uses.get(name, {})))

    async def _wanted(self) -> dict[str, dict[str, tuple[int, ...]]]:
        async with self._deps.connections.acquire() as connection:
            return _uses(await derivations.wanted(connection))

    async def _open_rooms(self, follower: _Follower) -> None:
        """Let a follower follow its rooms; others of this process do their work in between."""
        feed, at = follower.feed.name, follower.log.at
        async with self._deps.connections.acquire() as connection:
            async for page in open_rooms.singles(connection, feed, at):
                for room, locked in page:
                    follower.log.open(room, locked=locked)
                self._deps.note_progress()
            follower.log.open_packed(await open_rooms.packed(connection, feed, at))
        self._deps.note_progress()

    async def _end(self, number: int) -> int | None:
        """Return where the partition ends, or None when the broker does not say."""
        try:
            return (await self._deps.ends.ends([(TICKS, number)])).get((TICKS, number))
        except (KafkaError, TimeoutError, OSError) as trouble:
            log.warning("log_end_unknown", partition=number, why=type(trouble).__name__)
            return None

    async def _keep_live(self) -> None:
        """Write live prices, the newest of each feed, as fast as the server takes them."""
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            changed, self._changed = self._changed, {}
            prices = [price for each in changed.values() if (price := each.live()) is not None]
            taken = not prices or await self._deps.live.set_prices(prices)
            await asyncio.sleep(LIVE_PAUSE_S if taken else LIVE_PAUSE_AFTER_TROUBLE_S)

    async def _void_where_logs_ended(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            await self.void_where_logs_ended()

    async def void_where_logs_ended(self) -> int:
        """Void rooms that no log will decide; return how many.

        That is one whose deadline is long over, on a feed whose own log ended long ago and has
        been read to that end.
        """
        by_feed: dict[str, list[OverdueRoom]] = {}
        for room in await again(self._overdue):
            by_feed.setdefault(room.feed, []).append(room)
        count = 0
        for feed, overdue in by_feed.items():
            if await self._log_ended(feed):
                writes: list[Write] = [
                    decisions.log_ended(room.id, room.deadline_at) for room in overdue
                ]
                log.warning("log_ended", feed=feed, rooms=len(writes))
                await self._write(writes)
                count += len(overdue)
        return count

    async def _overdue(self) -> list[OverdueRoom]:
        async with self._deps.connections.acquire() as connection:
            return await open_rooms.overdue(connection, ENDED_MS)

    async def _log_ended(self, feed: str) -> bool:
        number = partition_of(feed, self._deps.partitions)
        assigned = {(tp.topic, tp.partition) for tp in self._app.consumer.assignment()}
        end = await self._end(number)
        if (TICKS, number) not in assigned or end is None:
            return False
        now = self._deps.clock()
        place = None
        if self._generation == self._app.consumer_generation_id:
            place = self._partitions.get(number)
        if place is not None:
            follower = place.followers.get(feed)
            is_read = await self._is_end(number, place.handled + 1, end)
            read_until = now if is_read else place.appended_at
            heard_at = max(follower.appended_at, follower.log.at) if follower else 0
            return read_until - heard_at > ENDED_MS
        try:
            finished = await self._deps.ends.committed(self._app.conf.id, [(TICKS, number)])
        except (KafkaError, TimeoutError, OSError):
            return False
        if not await self._is_end(number, finished.get((TICKS, number), 0), end):
            return False  # There is more to read, and whoever reads it decides.
        return now - await again(partial(self._left_at, feed)) > ENDED_MS

    async def _is_end(self, number: int, offset: int, end: int) -> bool:
        """Say whether there is no message from ``offset`` on, though there may be a marker."""
        if offset >= end:
            return True
        try:
            return not await self._deps.ends.has_message(TICKS, number, offset)
        except (KafkaError, TimeoutError, OSError):
            return False

    async def _left_at(self, feed: str) -> int:
        """Return the log's time at which a feed was left; 0 when it was never heard."""
        async with self._deps.connections.acquire() as connection:
            left = await feed_seconds.newest(connection, [feed])
        return left[feed].memory.at if feed in left else 0


def attach_prices(app: App, deps: PriceDeps) -> Pricing:
    """Let ``app`` decide prices and rooms."""
    pricing = Pricing(app, deps)
    attach(app, TICKS, pricing.follow, name="prices")
    return pricing


def read_message(
    key: bytes | None, payload: bytes | None, appended_at: int
) -> tuple[str, messages.Heard, Sequence[Tick]]:
    """Read a message of `ticks` whole before anything of it is applied.

    Raises:
        Impossible: when it can never be applied.
    """
    must(key, "a message of a feed's log has the feed as its key")
    assert key is not None
    try:
        feed = key.decode()
    except UnicodeDecodeError as error:
        raise Impossible("a feed's name is text") from error
    heard = messages.read_heard(payload)
    if isinstance(heard, messages.Opened):
        room = heard.room
        must(room.move_bps is not None or room.target, "a room has a move or a fixed value")
    if not isinstance(heard, messages.Ticks | messages.Inputs):
        return feed, heard, ()
    must(heard.feed == feed, "a message lies in the log of its feed")
    must(
        heard.at <= appended_at + AHEAD_MS_MAX,
        f"its time is {heard.at - appended_at} ms ahead of the broker's",
    )
    if isinstance(heard, messages.Inputs):
        must(all(at <= heard.at for at, *_ in heard.words), "a word is of a time that was read")
        return feed, heard, ()
    ticks = heard.told()
    must(
        all(tick.at <= heard.at for tick in ticks),
        "a tick is received before the message that carries it",
    )
    return feed, heard, ticks


def given(log: FeedLog, heard: messages.Inputs) -> Iterator[Effect]:
    """Apply what an input gave to a derived feed's log.

    Raises:
        Impossible: when it is the log of a plain feed, or of one that is made of others.
    """
    told = heard.told()
    if not isinstance(log, DerivedLog):
        raise Impossible("a plain feed has no inputs")
    must(told.feed in log.feeds, "it is not made of this feed")
    return log.hear_given(told)


def _is_later(log: FeedLog, heard: messages.Heard) -> bool:
    """Say whether a message tells of a time that the log does not know yet."""
    match heard:
        case messages.Ticks():
            return heard.at > log.at
        case messages.Inputs():
            return isinstance(log, DerivedLog) and log.is_later(heard.told())
        case _:
            return False


def _uses(wanted: Mapping[str, Feed]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return for every input the derived feeds that use it, with the spans they look back over."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, feed in wanted.items():
        try:
            spans = derivation_of(feed).spans
        except Impossible as reason:
            log.error("derivation_unreadable", feed=name, why=str(reason))
            continue
        for each, over in spans.items():
            found.setdefault(each, {})[name] = over
    return found


def _taken_up(
    feed: Feed,
    left: Stored | None,
    live: LivePrice | None,
    end: int | None,
) -> _Follower:
    memory: Memory | None = left.memory if left else None
    now = (memory.silence or memory.price) if memory else None
    follower = _Follower(
        feed=feed,
        log=log_of(feed, memory=memory),
        handled=left.log_position if left else _NEVER,
        stored=left.log_position if left else _NEVER,
        told=live.position if live else _NEVER,
        told_at=live.told_at if live else UnixMs(0),
        now=now,
        second=memory.at // 1000 * 1000 if memory else _NEVER,
        giver=None if feed.expression is not None else Giver(feed.name, now),
    )
    if end is not None and max(follower.stored, follower.told) >= end:
        log.warning("log_began_anew", feed=feed.name, end=end, stored=follower.stored)
        follower.begin_anew()
    return follower
