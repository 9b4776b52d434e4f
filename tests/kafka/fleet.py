"""Fleet: worker processes on a cluster, and all that they live on: prices, people, the chain.

Holds     the supervisor that keeps the workers alive as in the field; a market that writes each
          feed's log; people who open rooms and bet; a chain on which every transfer lands.
Why       who decides a room when a worker or a broker is lost shows only with real processes; what
          it must be decided as is read from the log itself, once all is over.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from cli.migrate import migrate_all
from cli.settings import Settings
from cli.supervisor import Child, Supervisor
from rooms import ledger
from rooms.catalogue import CATALOGUE
from rooms.feed_log import Decided, FeedLog, Told, WatchStarted
from rooms.pool import pool_of
from rooms.tick import Tick
from rooms.units import Address, Lamports, Signature, Slot, UnixMs, Value
from sandbox.kafka import Kafka
from storage import attempts, open_rooms, outbox, seals
from storage import ledger as accounts
from storage.connections import Connection, Connections, transaction
from streams import messages
from streams.producer import open_producer
from streams.ticks import SEND_LIMIT_S, Batcher, SteadyClock
from streams.topics import PRICES, TICKS, partition_of
from tests.broker.clients import administering, consuming, producing
from tests.place import SOL, TREASURY, Place

FEEDS = tuple(name for name, feed in CATALOGUE.items() if not feed.expression and feed.scale)
"""Those that hear ticks of a price; a supply has no decimals and stands still."""

SOURCES = ("binance", "coinbase", "kraken")
GROUP = "worker"
PARTITIONS = 8
PEOPLE = range(1, 13)
DEPOSIT = 1_000 * SOL
TICK_S = 0.1
LOOK_S = 0.2
OPEN_EVERY_S = 0.15
LIMIT_S = 60.0


@dataclass
class Fleet:
    """The workers and what they live on."""

    kafka: Kafka
    settings: Settings
    connections: Connections
    place: Place
    supervisor: Supervisor
    environment: dict[str, str]
    log: Path
    random: Random = field(default_factory=lambda: Random(1))
    rooms: int = 0
    asked: int = 0
    clock: SteadyClock = field(default_factory=SteadyClock)
    transactional: bool = False
    poison: set[tuple[int, int]] = field(default_factory=set)

    # ---- processes

    async def start(self, *names: str) -> None:
        """Start workers and wait until they are ready."""
        await self.supervisor.start([self._worker(name) for name in names])

    def _worker(self, name: str) -> Child:
        return Child(
            name=name,
            argv=(sys.executable, "-m", "tests.kafka.stallable", "worker"),
            environment=self.environment,
            log=self.log.with_name(f"{name}.log"),
        )

    def freeze(self, name: str) -> None:
        os.kill(self.supervisor.pid(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.kill(self.supervisor.pid(name), signal.SIGCONT)

    def stall(self, name: str) -> None:
        """Let a worker's event loop stand still for `STALL_S`; its other threads go on."""
        os.kill(self.supervisor.pid(name), signal.SIGUSR1)

    @asynccontextmanager
    async def crew(self, *names: str) -> AsyncIterator[None]:
        """Let workers join, and leave politely at the end."""
        async with Supervisor(lambda *_: None).running() as supervisor:
            await supervisor.start([self._worker(name) for name in names])
            yield

    async def members(self) -> int:
        """Return how many members the workers' group has while it is stable."""
        async with administering(self.kafka.bootstrap) as admin:
            described: list[Any] = await admin.describe_consumer_groups([GROUP])
        group = described[0].groups[0]
        return len(group[5]) if group[2] == "Stable" else 0

    # ---- the world

    async def market(self, feed: str) -> None:
        """Write a feed's log, as the feeds process does, until cancelled."""
        scale = CATALOGUE[feed].scale
        walk = Random(feed)
        value, sequence = 100 * 10**scale, 0
        async with (
            ReopenedProducer(self.kafka.bootstrap, transactional=self.transactional) as send,
            asyncio.TaskGroup() as tasks,
        ):
            batcher = Batcher(feed, send, self.clock)
            tasks.create_task(batcher.run())
            while True:
                await asyncio.sleep(TICK_S)
                value = value * walk.choice((9_990, 9_995, 10_000, 10_005, 10_010)) // 10_000
                sequence += 1
                at = self.clock()
                for source in SOURCES:
                    batcher.hear(Tick(source, sequence, Value(value), at, at))

    async def prepare(self) -> None:
        """Bring schema, topics and feeds up to date, and give everybody something to bet."""
        await migrate_all(self.settings)
        await self.place.do(
            "INSERT INTO addresses (address, kind) VALUES ($1, 'treasury')", TREASURY
        )
        for user in PEOPLE:
            await self.place.person(user, DEPOSIT)

    async def open_room(self, *, lead_ms: int, watched_ms: int) -> None:
        """Open a room on some feed, with a bet on each side."""
        room = self.rooms + 1
        feed = self.random.choice(FEEDS)
        await self.place.room(
            room, feed=feed, creator=self.random.choice(PEOPLE),
            scale=CATALOGUE[feed].scale,
            comparator=self.random.choice((1, -1)), move_bps=self.random.choice((10, 20, 40, 80)),
            opened_at=-1, lock_at=lead_ms, cut_at=lead_ms + 300, watch_at=lead_ms + 600,
            deadline_at=lead_ms + 600 + watched_ms, gap_ms_max=20_000,
        )  # fmt: skip
        async with transaction(self.connections) as connection:
            pages = [page async for page in open_rooms.singles(connection, feed, UnixMs(0))]
            [opened] = [each for page in pages for each, _ in page if each.id == room]
            await outbox.to_log(connection, feed, messages.opened(opened))
        self.rooms = room
        yes, no = self.random.sample(PEOPLE, 2)
        await self.bet(room, yes, "YES")
        await self.bet(room, no, "NO")

    async def bet(self, room: int, user: int, side: str) -> None:
        async with transaction(self.connections) as connection:
            self.asked += 1
            await connection.execute(
                "INSERT INTO bet_requests (key, user_id, room_id, side, lamports)"
                " VALUES ($1, $2, $3, $4, $5)",
                f"press{self.asked}", user, room, side, self.random.randrange(SOL // 10, SOL),
            )  # fmt: skip
            await outbox.wake(connection, "bets")

    async def crowd(self) -> None:
        """Bet on whatever is there, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self.rooms:
                room = self.random.randrange(max(1, self.rooms - 20), self.rooms + 1)
                await self.bet(room, self.random.choice(PEOPLE), self.random.choice(("YES", "NO")))

    async def chain(self) -> None:
        """Let every planned transfer land and every pool be sealed, until cancelled."""
        while True:
            for room in await self.place.column(
                "SELECT DISTINCT room_id FROM transfers"
                " WHERE state = 'PLANNED' AND room_id IS NOT NULL ORDER BY 1"
            ):
                async with transaction(self.connections) as connection:
                    await self._land(connection, room)
            for room in await self.place.column(
                "SELECT id FROM rooms WHERE sealed_at IS NULL AND cut_at + 100 < now_ms()"
            ):
                async with transaction(self.connections) as connection:
                    await self._seal(connection, room)
            await asyncio.sleep(LOOK_S)

    async def _land(self, connection: Connection, room: int) -> None:
        judged = await attempts.lock_room(connection, room)
        entries = []
        planned = await connection.fetch(
            "SELECT * FROM transfers WHERE room_id = $1 AND state = 'PLANNED' ORDER BY id", room
        )
        for each in planned:
            source, destination = Address(each["from_address"]), Address(each["to_address"])
            user, lamports = each["user_id"], Lamports(each["lamports"])
            match each["kind"]:
                case "stake":
                    # This chain's blocks are never late: what was taken in time lands in time.
                    assert not judged.sealed, "a seal waits for every stake's fate"
                    await attempts.land_stake(
                        connection,
                        each["subject_id"],
                        in_time=True,
                        landed_at=judged.cut_at,
                        slot=Slot(1),
                        signature=Signature(f"stake{each['subject_id']}"),
                    )
                    entries.append(
                        ledger.stake(
                            each["subject_id"], user, room, source, destination, lamports,
                            in_time=True,
                        )
                    )  # fmt: skip
                case "payout":
                    entries.append(ledger.payout(room, user, source, destination, lamports))
                case "refund":
                    entries.append(
                        ledger.refund(each["subject_id"], room, user, source, destination, lamports)
                    )
                case "shares":
                    settled = await connection.fetchrow(
                        "SELECT house, shares FROM settlements WHERE room_id = $1", room
                    )
                    assert settled is not None, "shares follow a settlement"
                    entries.append(
                        ledger.shares(
                            room, source, destination, settled["house"],
                            [(user, Lamports(part)) for user, part in settled["shares"]],
                        )
                    )  # fmt: skip
        await attempts.land(connection, [each["id"] for each in planned])
        await accounts.post(connection, entries)
        await outbox.wake(connection, "settlements")

    async def _seal(self, connection: Connection, room: int) -> None:
        locked = await seals.lock(connection, room, UnixMs(2**62))
        if locked is not None:
            pool = pool_of(await seals.stakes(connection, room))
            await seals.seal(connection, room, Slot(1), pool)
            await outbox.wake(connection, "settlements")

    @asynccontextmanager
    async def world(self) -> AsyncIterator[None]:
        """Let prices, people and the chain go on until all that was asked is answered and paid."""
        async with asyncio.TaskGroup() as tasks:
            forever = [tasks.create_task(self.market(feed)) for feed in FEEDS]
            forever.append(tasks.create_task(self.chain()))
            crowd = tasks.create_task(self.crowd())
            yield
            crowd.cancel()
            await self.until(self.all_answered)
            await self.until(self.all_paid)
            for task in forever:
                task.cancel()

    async def open_rooms(self, count: int, *, lead_ms: int) -> None:
        """Open rooms one after another, on which bets are taken for ``lead_ms``."""
        for _ in range(count):
            await self.open_room(lead_ms=lead_ms, watched_ms=self.random.randrange(2_000, 5_000))
            await asyncio.sleep(OPEN_EVERY_S)

    async def spoil(self, poison: Sequence[tuple[str, bytes | None, bytes | None]]) -> None:
        """Write what can never be applied into logs, each as a feed's name, a key and a value."""
        async with producing(self.kafka.bootstrap) as producer:
            for feed, key, value in poison:
                sent = await producer.send_and_wait(
                    TICKS, value, key=key, partition=partition_of(feed, PARTITIONS)
                )
                self.poison.add((sent.partition, sent.offset))

    async def repeat(self) -> int:
        """Write all that the logs hold once more behind their ends; return how much that was."""
        records = [record async for record in self._records(TICKS)]
        async with producing(self.kafka.bootstrap) as producer:
            for record in records:
                await producer.send(TICKS, record.value, key=record.key, partition=record.partition)
        return len(records)

    async def has_gaps(self) -> bool:
        """Say whether the logs have offsets that are no message."""
        last: dict[int, int] = {}
        count = 0
        async for record in self._records(TICKS):
            last[record.partition] = record.offset
            count += 1
        return sum(last.values()) + len(last) > count

    async def forget_offsets(self) -> None:
        """Set what the group has finished back to the first message of every log."""
        async with consuming(self.kafka.bootstrap, group_id=GROUP) as consumer:
            places = [TopicPartition(TICKS, number) for number in range(PARTITIONS)]
            consumer.assign(places)
            await consumer.commit(await consumer.beginning_offsets(places))

    # ---- what became of it

    async def until(self, done: Callable[[], Awaitable[object]], limit_s: float = LIMIT_S) -> None:
        async with asyncio.timeout(limit_s):
            while not await done():  # noqa: ASYNC110 - processes of others tell nobody
                await asyncio.sleep(LOOK_S)

    async def all_answered(self) -> bool:
        return not await self.place.value("SELECT count(*) FROM bet_requests WHERE done_at IS NULL")

    async def all_paid(self) -> bool:
        return not await self.place.value("SELECT count(*) FROM rooms WHERE state <> 'PAID'")

    async def log_of(self) -> "dict[str, list[tuple[int, messages.Heard]]]":
        """Read every feed's log from its first message to its last, but for what is poison."""
        heard: dict[str, list[tuple[int, messages.Heard]]] = {feed: [] for feed in FEEDS}
        async for record in self._records(TICKS):
            if (record.partition, record.offset) not in self.poison:
                heard[record.key.decode()].append(
                    (record.offset, messages.read_heard(record.value))
                )
        return heard

    async def told_of(self) -> dict[str, dict[int, messages.Prices]]:
        """Read every price told, by its position; what was told twice must be the same."""
        told: dict[str, dict[int, messages.Prices]] = {feed: {} for feed in FEEDS}
        async for record in self._records(PRICES):
            prices = messages.read_prices(record.value)
            assert told[prices.feed].setdefault(prices.position, prices) == prices
        return told

    async def _records(self, topic: str) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap)
        await consumer.start()
        try:
            async with asyncio.timeout(LIMIT_S):
                for number in range(PARTITIONS):
                    place = TopicPartition(topic, number)
                    consumer.assign([place])
                    consumer.seek(place, 0)
                    end = (await consumer.end_offsets([place]))[place]
                    # The last place may be a transaction's marker, which is no message.
                    while await consumer.position(place) < end:
                        pages = await consumer.getmany(place, timeout_ms=200)
                        for record in pages.get(place, ()):
                            yield record
        finally:
            await consumer.stop()


class ReopenedProducer:
    """A producer as the feeds process has it; when it fails it is opened anew, as that would be."""

    def __init__(self, bootstrap: str, *, transactional: bool = False) -> None:
        self._bootstrap = bootstrap
        self._transactional = transactional
        self._opened = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> "ReopenedProducer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def __call__(self, feed: str, payload: bytes) -> None:
        while True:
            try:
                async with asyncio.timeout(SEND_LIMIT_S):
                    await self._send(feed.encode(), payload)
            except (KafkaError, TimeoutError):
                self._producer = None
                await self._opened.aclose()
                await asyncio.sleep(LOOK_S)
            else:
                return

    async def _send(self, key: bytes, payload: bytes) -> None:
        if self._producer is None:
            self._producer = await self._opened.enter_async_context(
                producing(self._bootstrap, transactional_id=f"market-{token_hex(4)}")
                if self._transactional
                else open_producer(self._bootstrap, name="market")
            )
        if self._transactional:
            # Each transaction ends with a marker that takes an offset of the log.
            async with self._producer.transaction():
                await self._producer.send(TICKS, payload, key=key)
        else:
            await self._producer.send_and_wait(TICKS, payload, key=key)


@dataclass(frozen=True)
class Ending:
    """What a feed's log makes of a room."""

    outcome: str
    reason: str | None
    decided_at: int
    target: int | None
    base: int | None
    watched_at: int | None


@dataclass
class Played:
    """What a feed's log gives when it is played without any process.

    Attributes:
        late: rooms that the log was told of after their watch had begun. Whoever took the log over
            before knew them from their rows, so the log alone does not say how they end.
    """

    endings: dict[int, Ending] = field(default_factory=dict)
    told: dict[int, messages.Prices] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)


def play_log(feed: str, log: "list[tuple[int, messages.Heard]]") -> Played:
    """Play a log: how each room ends, and what each message tells."""
    known = CATALOGUE[feed]
    follower = FeedLog(known.guards)
    played = Played()
    fixed: dict[int, WatchStarted] = {}
    seen: set[int] = set()
    for offset, heard in log:
        match heard:
            case messages.Opened():
                if heard.room.id not in seen and follower.at >= heard.room.watch_at:
                    played.late.add(heard.room.id)
                seen.add(heard.room.id)
                follower.open(heard.room)
            case messages.Stopped():
                follower.stop(int(heard.room))
            case messages.Ticks():
                prices = []
                for effect in follower.hear(UnixMs(heard.at), heard.told()):
                    match effect:
                        case Told():
                            prices.append(effect.price)
                        case WatchStarted():
                            fixed.setdefault(effect.room, effect)
                        case Decided():
                            played.endings.setdefault(effect.room, _ending(effect, fixed))
                        case _:
                            pass
                if prices:
                    played.told[offset] = messages.prices(
                        feed, known.scale, offset, UnixMs(heard.at), prices
                    )
    return played


def _ending(decided: Decided, fixed: dict[int, WatchStarted]) -> Ending:
    started = fixed.get(decided.room)
    return Ending(
        decided.outcome.value,
        decided.reason.value if decided.reason else None,
        decided.at,
        started.target if started else None,
        started.price.value if started and started.price else None,
        started.at if started else None,
    )
