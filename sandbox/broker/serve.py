"""Serve: a broker that runs, in a test or as a process.

In        `BrokerSettings`.
Out       a listening broker; `Broker` also brings about the faults a test asks for.
Promises  when it says ready it answers; a port in use, or a data directory in use, is one clear
          OSError; after cancelling, nothing is left behind but the data.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sandbox.broker.connection import Connection
from sandbox.broker.control import BadControl, serve_control
from sandbox.broker.faults import Faults
from sandbox.broker.groups import Groups
from sandbox.broker.offsets import Offsets
from sandbox.broker.parts import Parts
from sandbox.broker.topics import Topics

log = structlog.get_logger()

_LOOPBACK = "127.0.0.1"
_DELAY_MS_MAX = 600_000
_DUPLICATES_MAX = 1_000_000


def wall_clock_ms() -> int:
    """Read the machine's clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """How a broker is set up.

    Attributes:
        port: 0 takes any free one.
        control_port: where faults can be asked for over HTTP; None: nowhere, 0: any free one.
        fsync: wait for the disk, not only for the operating system, before every answer.
    """

    data_dir: Path
    host: str = _LOOPBACK
    port: int = 0
    control_port: int | None = None
    session_timeout_ms_min: int = 3_000
    session_timeout_ms_max: int = 1_800_000
    retention_check_seconds: float = 10.0
    fsync: bool = False


class Broker:
    """A running broker, and what can be done to it."""

    def __init__(self, settings: BrokerSettings, clock_ms: Callable[[], int]) -> None:
        self.port = 0
        self.control_port: int | None = None
        self.tending: asyncio.Task[None]
        self.faults = Faults()
        self._clock_ms = clock_ms
        self._connections: set[Connection] = set()
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(settings.data_dir)
        self.parts = Parts(
            topics=Topics(settings.data_dir, fsync=settings.fsync),
            offsets=Offsets(settings.data_dir, clock_ms(), fsync=settings.fsync),
            groups=Groups(lambda: self.faults.frozen),
            faults=self.faults,
            clock_ms=clock_ms,
            session_timeout_ms_range=range(
                settings.session_timeout_ms_min, settings.session_timeout_ms_max + 1
            ),
        )

    def connect(self) -> Connection:
        """Make the server's side of a new connection."""
        return Connection(self.parts, self._connections)

    def cut(self) -> None:
        """Close every connection at once."""
        for connection in tuple(self._connections):
            connection.cut()

    def lose(self) -> None:
        """Lose every record and every committed offset; the topics stay, empty, from offset 0."""
        self.parts.topics.lose()
        self.parts.offsets.forget_all()

    def rebalance(self, group: str | None = None) -> None:
        """Make the members of one group, or of all, join again."""
        for each in self.parts.groups.all():
            if group is None or each.name == group:
                each.rebalance_now()

    def retain(self) -> None:
        """Apply retention now rather than at the next check."""
        self.parts.topics.retain(self._clock_ms())

    def apply(self, name: str, value: object) -> None:
        """Bring about one fault by its name on the control port.

        Raises:
            BadControl: when there is no such fault, or it does not go with the value.
        """
        match name, value:
            case "slow_ms", int(delay) if 0 <= delay <= _DELAY_MS_MAX:
                self.faults.slow(delay)
            case "frozen", True:
                self.faults.freeze()
            case "frozen", False:
                self.faults.thaw()
            case "duplicate", int(batches) if 0 <= batches <= _DUPLICATES_MAX:
                self.faults.duplicate(batches)
            case "cut", True:
                self.cut()
            case "lose", True:
                self.lose()
            case "rebalance", True:
                self.rebalance()
            case "rebalance", str(group):
                self.rebalance(group)
            case "retain", True:
                self.retain()
            case _:
                raise BadControl(
                    "faults are slow_ms (0 to 600000), frozen (true, false), duplicate (a number), "
                    f"cut, lose, retain (true), rebalance (true or a group); not {name}: {value!r}"
                )

    def state(self) -> dict[str, Any]:
        """Describe topics, groups and faults in plain values."""
        return {
            "connections": len(self._connections),
            "faults": {
                "slow_ms": self.faults.delay_ms,
                "frozen": self.faults.frozen,
                "duplicate": self.faults.duplicates_left,
            },
            "topics": {
                topic.name: [
                    {"start": each.start_offset, "end": each.end_offset, "bytes": each.size}
                    for each in topic.logs
                ]
                for topic in self.parts.topics.all()
            },
            "groups": {
                group.name: {
                    "state": group.state.value,
                    "generation": group.generation,
                    "members": list(group.members),
                }
                for group in self.parts.groups.all()
            },
        }

    def close(self) -> None:
        """Cut every connection and close every file."""
        self.parts.groups.close()
        self.cut()
        self.parts.topics.close()
        self.parts.offsets.close()
        os.close(self._lock)


@contextlib.asynccontextmanager
async def running_broker(
    settings: BrokerSettings, clock_ms: Callable[[], int] = wall_clock_ms
) -> AsyncIterator[Broker]:
    """Run a broker for as long as the block lasts.

    Raises:
        OSError: when a port or the data directory is in use.
    """
    broker = Broker(settings, clock_ms)
    async with contextlib.AsyncExitStack() as running:
        running.push_async_callback(_close, broker)
        loop = asyncio.get_running_loop()
        with _named_port(settings.host, settings.port):
            server = await loop.create_server(broker.connect, settings.host, settings.port)
        running.callback(server.close)
        broker.port = server.sockets[0].getsockname()[1]
        if settings.control_port is not None:
            with _named_port(_LOOPBACK, settings.control_port):
                control = await serve_control(broker, _LOOPBACK, settings.control_port)
            running.callback(control.close)
            broker.control_port = control.sockets[0].getsockname()[1]
        broker.tending = asyncio.create_task(_tend(broker, settings.retention_check_seconds))
        running.push_async_callback(_end, broker.tending)
        log.info("broker_ready", host=settings.host, port=broker.port)
        yield broker


async def serve(settings: BrokerSettings, ready: Callable[[int], None]) -> None:
    """Run a broker until cancelled; tell the port when it answers.

    Raises:
        OSError: when a port or the data directory is in use.
    """
    async with running_broker(settings) as broker:
        ready(broker.port)
        # It ends only by failing: a disk that is never cleaned must not go unnoticed.
        await broker.tending


async def _tend(broker: Broker, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        broker.retain()


async def _close(broker: Broker) -> None:
    broker.close()
    # The sockets are closed in the loop's next turn.
    await asyncio.sleep(0)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _lock(data_dir: Path) -> int:
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise OSError(
            error.errno, f"another broker is using {data_dir}: stop it, or choose another directory"
        ) from error
    return lock


@contextlib.contextmanager
def _named_port(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(
            errno.EADDRINUSE,
            f"port {port} of {host} is in use: stop what uses it, or choose another port",
        ) from error
