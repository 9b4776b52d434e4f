"""Running: one coroutine from start to end, as a process that people and supervisors can stop.

In        the work.
Out       exit code 0 when it was told to stop; one clear line and another code when it cannot.
Promises  Ctrl-C and SIGTERM let the work clean up; our own mistakes keep their traceback.
"""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from rooms.refusal import CannotGoOn

PLAIN = (CannotGoOn, OSError)
"""What a person can do something about, told in one line."""


def run_until_told(work: Coroutine[Any, Any, None]) -> None:
    """Run until the work ends or somebody stops it."""
    try:
        asyncio.run(_until_told(work))
    except PLAIN as trouble:
        sys.exit(_one_line(trouble))
    except BaseExceptionGroup as group:
        plain, others = group.split(PLAIN)
        if others is None and plain is not None:
            sys.exit("; ".join(_one_line(each) for each in _leaves(plain)))
        raise


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


def _one_line(trouble: BaseException) -> str:
    return " ".join(str(trouble).split()) or type(trouble).__name__
