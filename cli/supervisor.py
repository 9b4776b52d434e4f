"""Supervisor: starts processes in order, watches them, starts them again, stops them all.

In        children: how each is started, what it needs first, how it says that it is ready.
Out       lines for a person to follow; an exception when a child cannot be kept alive.
Promises  a child that dies is started again with back-off, once what it needs is ready again;
          one that dies three times in a minute ends everything with one clear line;
          no process is left behind, not even when the supervisor itself is killed.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cli.ready import VARIABLE
from rooms.refusal import CannotGoOn

DEATHS_MAX: Final = 3
DEATHS_WITHIN_S: Final = 60.0
BACK_OFF_S: Final = (0.2, 1.0, 3.0)
STOP_LIMIT_S: Final = 10.0
LINE_BYTES_MAX: Final = 2**20
_PR_SET_PDEATHSIG: Final = 1


class ChildLost(CannotGoOn):
    """A child cannot be kept alive; the message is the one line for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """Say how one process is started and when it counts as ready.

    Attributes:
        needs: names of children that must be ready first, also when it is started again.
        ready: asked until it answers True; None means that the process tells us through its pipe.
        stop_signal: what asks it politely to end.
        log: where its output goes; None shows it to the person.
    """

    name: str
    argv: tuple[str, ...]
    needs: tuple[str, ...] = ()
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_limit_s: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    folder: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    log: Path | None = None


class Supervisor:
    """Keep children alive while its block runs."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        """Take ``say(name, line)``, which shows a child's line to the person."""
        self._say = say
        self._ready: dict[str, asyncio.Event] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._batches: list[tuple[Child, ...]] = []
        self._stopping = asyncio.Event()
        self._deaths: dict[str, deque[float]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Supervisor"]:
        """Watch children until the block ends, then stop them, the last started first."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    yield self
                finally:
                    self._stopping.set()
                    await self._stop_all()
        except* ChildLost as lost:
            raise lost.exceptions[0] from None

    async def start(self, children: Iterable[Child]) -> None:
        """Start children and wait until all are ready.

        Raises:
            ChildLost: when one does not become ready in time or dies too often.
        """
        assert self._tasks is not None, "start children inside running()"
        children = tuple(children)
        self._batches.append(children)
        for child in children:
            self._ready[child.name] = asyncio.Event()
            self._deaths[child.name] = deque(maxlen=DEATHS_MAX)
        for child in children:
            self._tasks.create_task(self._keep(child), name=child.name)
        for child in children:
            await self._ready[child.name].wait()

    def pid(self, name: str) -> int:
        """Return the process id of a child that runs now."""
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """End a child at once, as a crash would; it is started again like any that dies."""
        self._processes[name].kill()

    def is_ready(self, name: str) -> bool:
        """Say whether a child is ready now."""
        return self._ready[name].is_set()

    async def wait_ready(self, name: str) -> None:
        """Wait until a child is ready, again if need be."""
        await self._ready[name].wait()

    async def _keep(self, child: Child) -> None:
        """Start a child, and start it again whenever it dies."""
        while not self._stopping.is_set():
            for need in child.needs:
                await self._ready[need].wait()
            if self._stopping.is_set():
                return
            await self._live_once(child)
            if self._stopping.is_set():
                return
            now = time.monotonic()
            deaths = self._deaths[child.name]
            deaths.append(now)
            if len(deaths) == DEATHS_MAX and now - deaths[0] < DEATHS_WITHIN_S:
                raise ChildLost(
                    f"{child.name} died {DEATHS_MAX} times in a minute and is not started again: "
                    + (f"read {child.log}" if child.log else "read its last lines above")
                )
            await asyncio.sleep(BACK_OFF_S[min(len(deaths), len(BACK_OFF_S)) - 1])

    async def _live_once(self, child: Child) -> None:
        reader, writer = os.pipe()
        process: asyncio.subprocess.Process | None = None
        try:
            process = await asyncio.create_subprocess_exec(
                *child.argv,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=LINE_BYTES_MAX,
                env={**os.environ, **child.environment, VARIABLE: str(writer)},
                pass_fds=(writer,),
                user=child.user,
                cwd=child.folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
            os.close(writer)
            writer = -1
            self._processes[child.name] = process
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._show(child, process))
                waiting = tasks.create_task(self._await_ready(child, process, reader))
                code = await process.wait()
                waiting.cancel()
            if not self._stopping.is_set():
                self._ready[child.name].clear()
                self._say(child.name, f"ended with {_ending(code)}")
        finally:
            self._ready[child.name].clear()
            os.close(reader)
            if writer >= 0:
                os.close(writer)

    async def _await_ready(
        self, child: Child, process: asyncio.subprocess.Process, reader: int
    ) -> None:
        try:
            async with asyncio.timeout(child.ready_limit_s):
                if child.ready is None:
                    await _line(reader)
                else:
                    while not await child.ready():  # noqa: ASYNC110 - a port tells nothing
                        await asyncio.sleep(0.05)
        except TimeoutError:
            self._say(child.name, f"was not ready within {child.ready_limit_s:.0f} s: killed")
            process.kill()
            return
        if process.returncode is None:
            self._ready[child.name].set()

    async def _show(self, child: Child, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "its output is ours"
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(child.log.open("ab")) if child.log else None
            while line := await process.stdout.readline():
                if log is not None:
                    log.write(line)
                    log.flush()
                else:
                    self._say(child.name, line.decode(errors="replace").rstrip())

    async def _stop_all(self) -> None:
        """Stop what was started together at once, the last started first."""
        for event in self._ready.values():
            event.set()
        for batch in reversed(self._batches):
            await asyncio.gather(*(self._stop(child) for child in batch))

    async def _stop(self, child: Child) -> None:
        process = self._processes.get(child.name)
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(child.stop_signal)
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()
        except TimeoutError:
            self._say(child.name, f"did not stop within {STOP_LIMIT_S:.0f} s: killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _line(reader: int) -> None:
    """Wait until the child has written into its pipe."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_reader(reader, told.set)
    try:
        await told.wait()
    finally:
        loop.remove_reader(reader)


def _die_with_parent() -> None:
    """Have the kernel end the child when the supervisor ends in any way at all."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {signal.Signals(-code).name}"
