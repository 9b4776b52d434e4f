"""The supervisor starts in order, starts again, gives up with one line, and leaves nothing."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cli.supervisor import Child, ChildLost, Supervisor

READY = "import os; os.write(int(os.environ['ROOMS_READY_FD']), b'ready\\n');"
STAYS = READY + "import signal; signal.sigwait([signal.SIGTERM])"
DIES = READY + "raise SystemExit(3)"


class Heard:
    """What children said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))


def child(name: str, code: str, *needs: str) -> Child:
    return Child(name=name, argv=(sys.executable, "-c", code), needs=needs)


async def test_children_start_after_what_they_need() -> None:
    heard = Heard()
    async with Supervisor(heard).running() as supervisor:
        await supervisor.start(
            [
                child("second", "print('second', flush=True);" + STAYS, "first"),
                child("first", "print('first', flush=True);" + STAYS),
            ]
        )
        pids = [supervisor.pid("first"), supervisor.pid("second")]

    assert heard.lines == [("first", "first"), ("second", "second")]
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_child_that_is_killed_is_started_again_and_its_dependants_go_on() -> None:
    heard = Heard()
    async with Supervisor(heard).running() as supervisor:
        await supervisor.start([child("only", STAYS)])
        before = supervisor.pid("only")
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(10):
            while not supervisor.is_ready("only") or supervisor.pid("only") == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert ("only", "ended with signal SIGKILL") in heard.lines


async def test_a_child_that_dies_three_times_in_a_minute_ends_everything_with_one_line() -> None:
    heard = Heard()
    with pytest.raises(ChildLost, match="bad died 3 times in a minute"):
        async with Supervisor(heard).running() as supervisor:
            await supervisor.start([child("good", STAYS), child("bad", DIES)])
            good = supervisor.pid("good")
            await asyncio.Event().wait()

    assert not psutil.pid_exists(good)
    assert heard.lines.count(("bad", "ended with exit code 3")) == 3


async def test_what_is_not_ready_in_time_is_killed_and_counts_as_a_death() -> None:
    heard = Heard()
    late = Child(
        name="late",
        argv=(sys.executable, "-c", "import time; time.sleep(60)"),
        ready_limit_s=0.2,
    )
    with pytest.raises(ChildLost, match="late"):
        async with Supervisor(heard).running() as supervisor:
            await supervisor.start([late])

    assert ("late", "ended with signal SIGKILL") in heard.lines


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_a_supervisor_that_is_killed(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "supervise.py"
    script.write_text(
        f"""
import asyncio, sys
from cli.supervisor import Child, Supervisor

async def main():
    async with Supervisor(lambda name, line: None).running() as supervisor:
        await supervisor.start([Child(name="x", argv=(sys.executable, "-c", {STAYS!r}))])
        print(supervisor.pid("x"), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    grandchild = psutil.Process(pid)

    process.send_signal(how)
    process.wait(timeout=10)
    process.stdout.close()

    assert gone(lambda: grandchild.status() == psutil.STATUS_ZOMBIE or not grandchild.is_running())


def gone(check: Callable[[], bool]) -> bool:
    """Wait until the kernel has taken the process away."""
    for _ in range(500):
        try:
            if check():
                return True
        except psutil.NoSuchProcess:
            return True
        signal.sigtimedwait([], 0.01)
    return False
