"""App: a Faust application built from settings, and its life from start to stop.

In        where the broker is; the group's name; agents, attached by name, never at import.
Out       an app to run beside other tasks of the same loop; how far its agents have come.
Promises  an agent that raises ends the process; a stop takes a bounded time; an app never makes a
          topic or a folder; a log that is shorter than what the group finished is read anew.
Why       Faust is started in our own loop with `app.start()`, not by its Worker: the Worker takes
          the loop, the signals and the logging for itself, and nothing could run beside it.
          `wait_until_stopped` leaves two tasks behind when it is cancelled; `wait_first` does not.
          Faust's consumer drops messages below the committed offset, so a log that begins anew
          would be ignored up to there; ours seeks to what is there. `noack` without a crashing
          supervisor handles later messages and loses the one that raised; acks out of order can
          commit past a message that is not done (0.15.3 allows a distance of one), so whoever
          acks here does it in the order of the partition.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import faust
import structlog
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import CrashingSupervisor
from mode.services import WaitResults

from streams.begun import Begun, begin

SESSION_TIMEOUT_S: Final = 3.0
HEARTBEAT_S: Final = 1.0
REBALANCE_TIMEOUT_S: Final = 2.0
REQUEST_TIMEOUT_S: Final = 20.0
COMMIT_INTERVAL_S: Final = 1.0
TOPICS_KNOWN_FOR_MS: Final = 5_000
"""A group that is given nothing, as the topics were gone, asks for nothing: it must look again."""

START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 8.0
STOPPED_BY_FORCE: Final = 70

Agent = Callable[[Any], Awaitable[None]]
"""An async function that takes the stream of a topic."""

log = structlog.get_logger()


class AppCrashed(Exception):
    """The app ended by itself; the cause says why."""


class Positions(faust.Sensor):
    """Remember how far the agents have taken each partition.

    Attributes:
        progress: grows while an agent is at work on something long before its next message.
    """

    def __init__(self) -> None:
        super().__init__()
        self.next_offset: dict[tuple[str, int], int] = {}
        self.progress = 0

    def note_progress(self) -> None:
        """Note that an agent is alive, though it takes no message just now."""
        self.progress += 1

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> None:  # noqa: ANN401 - Faust's own
        """Note that an agent takes a message."""
        self.next_offset[tp.topic, tp.partition] = offset + 1


class _Consumer(driver.Consumer):
    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ANN401 - as mode's own
        """Wait for the first of several; what does not wait at all is done at once.

        Each message is handed on beside a wait for the end of the flow, which makes four tasks.
        Handing on hardly ever waits, and then needs none.
        """
        first, *others = coros
        if timeout is not None or not asyncio.iscoroutine(first) or self.suspend_flow.is_set():
            return await super().wait_first(*coros, timeout=timeout)
        begun = begin(first)
        if isinstance(begun, Begun):
            return await super().wait_first(begun, *others)
        for other in others:
            other.close()
        return WaitResults([first], [begun.value], self.should_stop)

    async def perform_seek(self) -> None:
        await super().perform_seek()
        finished = {tp: offset for tp, offset in self._read_offset.items() if offset}
        ends = await self._thread.highwaters(*finished)
        beyond = [tp for tp, offset in finished.items() if offset > ends[tp]]
        if not beyond:
            return
        starts = await self._thread.earliest_offsets(*beyond)
        log.warning("log_began_anew", partitions=[str(tp) for tp in beyond])
        for tp in beyond:
            self._committed_offset[tp] = None
        await self._thread.seek_wait({tp: starts[tp] for tp in beyond})


class _Transport(driver.Transport):
    Consumer = _Consumer


class _NoTables(TableManager):
    async def on_start(self) -> None:
        """Start at once: the second that is waited otherwise is for tables, and there are none."""
        await self._update_channels()
        await self.recovery.start()


class App(faust.App):
    """A Faust app that stores nothing on disk and survives a log that began anew."""

    def _new_transport(self) -> driver.Transport:
        return _Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Make none: there are no tables."""


def build_app(name: str, bootstrap: str) -> App:
    """Build an app whose group is ``name`` on the broker at ``bootstrap``, with no agents yet."""
    return App(
        name,
        broker=f"kafka://{bootstrap.replace(',', ';')}",
        store="memory://",
        TableManager=_NoTables,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        agent_supervisor=CrashingSupervisor,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_request_timeout=REQUEST_TIMEOUT_S,
        broker_commit_interval=COMMIT_INTERVAL_S,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=TOPICS_KNOWN_FOR_MS,
        producer_acks=-1,
    )


def attach(app: App, topic: str, agent: Agent, *, name: str) -> None:
    """Let ``agent`` hear ``topic`` as raw bytes, one message after another."""
    app.agent(
        app.topic(topic, key_serializer="raw", value_serializer="raw"),
        name=name,
        concurrency=1,
        supervisor_strategy=CrashingSupervisor,
    )(agent)


def positions(app: App) -> Positions:
    """Begin to remember how far the agents of ``app`` have come."""
    sensor = Positions()
    app.sensors.add(sensor)
    return sensor


async def run_app(
    app: App,
    companions: Iterable[Callable[[], Awaitable[None]]] = (),
    *,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run ``app``, and companions beside it, until cancelled or until one of them fails.

    Raises:
        ExceptionGroup: with `AppCrashed` or what a companion raised.
    """
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_follow(app, ready))
        for companion in companions:
            tasks.create_task(_run(companion))


async def _run(companion: Callable[[], Awaitable[None]]) -> None:
    await companion()


async def _follow(app: App, ready: Callable[[], None]) -> None:
    try:
        async with asyncio.timeout(START_LIMIT_S):
            await app.start()
        if not app.should_stop:
            ready()
            await app.wait_first(asyncio.Event().wait())
        raise AppCrashed(f"{app.conf.id} ended by itself") from app.crash_reason
    finally:
        await _stop(app)


async def _stop(app: App) -> None:
    """Stop the app; one that cannot stop is ended with its process, as its threads would stay."""
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await app.stop()
    except TimeoutError:
        log.critical("app_cannot_stop", app=app.conf.id, limit_s=STOP_LIMIT_S)
        os._exit(STOPPED_BY_FORCE)
