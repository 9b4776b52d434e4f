"""Recording: keeps everything that `ticks` carried, a feed a minute.

In        `ticks`, every partition of it, as a plain reader that remembers how far it came.
Out       segments on the disk; a row for each, which says where it lies and what it is.
Promises  a segment's row is there only when its file is whole; a segment that a settlement waits
          for is closed early; after a restart it goes on without a
          hole, and says so in the next segment when the log itself had one; what is older than the
          retention is deleted by the day.
Why       it decides nothing and nobody waits for it: what it wrote is what anyone can replay.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rooms.recorder import Place, Recorder, Stretch
from rooms.recording import Line, Segment
from rooms.refusal import Impossible
from rooms.units import UnixMs
from storage import feed_seconds, feeds, recordings, segments
from storage.again import again
from storage.connections import Connections, transaction
from streams import messages
from streams.topics import TICKS

GROUP: Final = "rooms-recorder"
AHEAD_MS_MAX: Final = 250
"""A message's own time further after the broker's says nothing about the log's."""

DAY_MS: Final = 86_400_000
POLL_MS: Final = 200
RULES_EVERY_MS: Final = 1_000
"""How often a feed that is not known is looked for among those that are."""

ASKED_MAX: Final = 20
"""So many names that are not known are looked for in that time, however many are told."""

BATCH_MAX: Final = 2_000
FORGET_EVERY_S: Final = 3_600.0
REQUEST_LIMIT_MS: Final = 10_000
_SECOND_MS: Final = 1_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """Say where recordings are kept and for how long.

    Attributes:
        partitions: of `ticks`.
        days: older days are deleted; 0 keeps all.
    """

    folder: Path
    partitions: int
    days: int = 30


class Recording:
    """Writes down what a reader of `ticks` hears."""

    def __init__(
        self,
        settings: RecordingSettings,
        connections: Connections,
        consumer: AIOKafkaConsumer,
        clock: Callable[[], UnixMs],
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._consumer = consumer
        self._clock = clock
        self._recorder = Recorder({})
        self._rules: Mapping[str, Any] = {}
        self._asked: set[str] = set()
        self._asked_since = UnixMs(0)
        self._looked_at = UnixMs(0)

    async def begin(self) -> None:
        """Go on from where the last recorder had everything on the disk."""
        await again(self._read_places)
        partitions = [TopicPartition(TICKS, each) for each in range(self._settings.partitions)]
        self._consumer.assign(partitions)
        starts = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        for each in partitions:
            # Where nobody knows any more how far it came, what was kept says at least that much.
            kept = self._recorder.heard_until(each.partition)
            expected = await self._consumer.committed(each)
            if expected is None:
                expected = starts[each] if kept is None else min(kept, starts[each])
            self._recorder.begin(each.partition, expected)
            is_there = starts[each] <= expected <= ends[each]
            self._consumer.seek(each, expected if is_there else starts[each])

    async def follow(self) -> None:
        """Write down what comes until cancelled."""
        while True:
            heard = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_MAX)
            done = 0
            for place, batch in heard.items():
                for message in batch:
                    for stretch in await self._hear(place.partition, message):
                        await self._keep(stretch)
                        done += 1
            if not heard:
                for stretch in list(self._recorder.quiet(self._clock())):
                    await self._keep(stretch)
                    done += 1
            done += await self._cut()
            if done:
                await self._commit()

    async def _cut(self) -> int:
        """Close at once what the settlement of a decided room waits for."""
        now = self._clock()
        if now - self._looked_at < POLL_MS:
            return 0
        self._looked_at = now
        done = 0
        for feed, until_at in (await again(self._awaited)).items():
            for stretch in list(self._recorder.cut(feed, until_at)):
                await self._keep(stretch)
                done += 1
        return done

    async def _awaited(self) -> dict[str, UnixMs]:
        async with self._connections.acquire() as connection:
            return await segments.awaited(connection)

    async def forget(self) -> None:
        """Delete days that are older than the retention, now and every hour."""
        while self._settings.days:
            before = UnixMs(self._clock() // DAY_MS * DAY_MS - self._settings.days * DAY_MS)
            gone = await asyncio.to_thread(recordings.forget, self._settings.folder, before)
            await again(partial(self._forget_rows, before))
            for day in gone:
                log.info("recording_forgotten", day=day)
            await asyncio.sleep(FORGET_EVERY_S)

    async def _hear(self, partition: int, message: Any) -> list[Stretch]:  # noqa: ANN401 - aiokafka's own
        line = Line(message.offset, UnixMs(message.timestamp), message.value)
        feed = await self._feed_of(message.key)
        return list(self._recorder.hear(partition, line, feed, _time_of(line)))

    async def _feed_of(self, key: bytes | None) -> str | None:
        """Return the feed that a message is of; None when there is no such feed."""
        try:
            name = (key or b"").decode()
        except UnicodeDecodeError:
            return None
        if name not in self._rules and self._may_ask(name):
            await again(self._read_rules)
        if name not in self._rules:
            # The worker sets such a message aside, whole, with its reason.
            log.warning("message_of_no_feed", feed=name[:64])
            return None
        return name

    def _may_ask(self, name: str) -> bool:
        """Say whether to look for a feed now: each at once, but none again and again."""
        now = self._clock()
        if now - self._asked_since >= RULES_EVERY_MS:
            self._asked_since = now
            self._asked.clear()
        if name in self._asked or len(self._asked) >= ASKED_MAX:
            return False
        self._asked.add(name)
        return True

    async def _keep(self, stretch: Stretch) -> None:
        segment, name, file = await again(partial(self._write, stretch))
        log.info(
            "segment_closed", feed=segment.feed, minute=segment.minute_at,
            messages=len(segment.lines), hash=name[:12],
            size=(self._settings.folder / file).stat().st_size,
        )  # fmt: skip
        if segment.missed is not None:
            log.warning("log_had_a_hole", feed=segment.feed, missed=segment.missed)

    async def _write(self, stretch: Stretch) -> tuple[Segment, str, str]:
        memory = None
        async with transaction(self._connections) as connection:
            self._rules = _plain_rules(await feeds.every(connection))
            if stretch.after is not None:
                second_at = UnixMs(stretch.from_at // _SECOND_MS * _SECOND_MS)
                memory = await feed_seconds.memory_at(
                    connection, stretch.feed, stretch.after, second_at
                )
            segment = Segment(
                feed=stretch.feed,
                partition=stretch.partition,
                rule=self._rules[stretch.feed],
                minute_at=stretch.minute_at,
                from_at=stretch.from_at,
                to_at=stretch.to_at,
                after=stretch.after,
                missed=stretch.missed,
                memory=memory,
                lines=tuple(stretch.lines),
            )
            name, file = await asyncio.to_thread(recordings.write, self._settings.folder, segment)
            await segments.insert(connection, segment, name, file)
        return segment, name, file

    async def _commit(self) -> None:
        safe = {
            each: self._recorder.safe_offset(each.partition) for each in self._consumer.assignment()
        }
        try:
            await self._consumer.commit(safe)
        except KafkaError as trouble:
            # What was kept is known by its rows: to go on from further back changes nothing.
            log.warning("position_not_kept", why=type(trouble).__name__)

    async def _read_places(self) -> None:
        async with self._connections.acquire() as connection:
            known = await segments.newest(connection)
            self._rules = _plain_rules(await feeds.every(connection))
        self._recorder = Recorder(
            {
                name: Place(each.partition, each.to_at, each.last_offset)
                for name, each in known.items()
            }
        )

    async def _read_rules(self) -> None:
        async with self._connections.acquire() as connection:
            self._rules = _plain_rules(await feeds.every(connection))

    async def _forget_rows(self, before: UnixMs) -> None:
        async with self._connections.acquire() as connection:
            await segments.forget(connection, before)


async def run_recording(
    settings: RecordingSettings,
    *,
    connections: Connections,
    bootstrap: str,
    clock: Callable[[], UnixMs],
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Record until cancelled; ``ready`` is called once it goes on where it was."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=REQUEST_LIMIT_MS,
    )
    await consumer.start()
    try:
        recording = Recording(settings, connections, consumer, clock)
        await recording.begin()
        ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(recording.follow())
            tasks.create_task(recording.forget())
    finally:
        await consumer.stop()


def _time_of(line: Line) -> UnixMs | None:
    """Return the log's time that a message says, or None when it says none that counts."""
    try:
        heard = messages.read_heard(line.payload)
    except Impossible:
        return None
    if (
        not isinstance(heard, messages.Ticks | messages.Inputs)
        or heard.at > line.appended_at + AHEAD_MS_MAX
    ):
        return None
    return UnixMs(heard.at)


def _plain_rules(known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: msgspec.to_builtins(feed) for name, feed in known.items()}
