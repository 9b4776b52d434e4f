"""Start: how long from starting everything to the first index price.

Run       python -m benchmarks.start [--broker embedded|kafka] [--quick]
Out       P9: seconds from the start of `rooms up` to the first live price, on an empty folder and
          on the folder that it left.
Why       a person who tries it waits for exactly this; the price is read where the bot reads it.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog

from benchmarks.alone import Options, run_alone
from benchmarks.figure import Figure, Goal
from benchmarks.stand import REPOSITORY, Stand
from cli.embedded import Stack
from rooms.catalogue import CATALOGUE
from storage.live import open_live

LIMIT_S: Final = 120.0
STOP_LIMIT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.02


async def start_once(folder: Path) -> float:
    """Start everything, wait for a price, stop everything; return the seconds to the price."""
    (folder / "stack.json").unlink(missing_ok=True)
    base = 20_000 + os.getpid() % 20_000
    began = time.perf_counter()
    with (folder.parent / "up.log").open("ab") as out:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "up", "--venues", "sandbox", "--data", str(folder),
            "--ports", str(base), stdout=out, stderr=out, cwd=REPOSITORY,
        )  # fmt: skip
    try:
        async with asyncio.timeout(LIMIT_S):
            while (stack := Stack.last(folder)) is None:  # noqa: ASYNC110 - a file tells nothing
                await asyncio.sleep(LOOK_EVERY_S)
            async with open_live(stack.environment()["ROOMS_REDIS_URL"]) as live:
                while not any(price.value for price in (await live.prices_of(CATALOGUE)).values()):
                    assert child.returncode is None, "everything runs"
                    await asyncio.sleep(LOOK_EVERY_S)
        return time.perf_counter() - began
    finally:
        child.send_signal(signal.SIGINT)
        await asyncio.wait_for(child.wait(), STOP_LIMIT_S)


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Start twice in one folder."""
    # That Valkey is not up yet is what is waited for.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with TemporaryDirectory(prefix="rooms-start-") as place:
        took = [await start_once(Path(place) / "data") for _ in range(2)]
    options.say(f"start: {took[0]:.1f} s, again {took[1]:.1f} s")
    goal = Goal(most=8, of_ratio=False, unit="s")
    return [
        Figure(number="P9", what=f"start to first index price, {which}", ours=seconds, unit="s",
               goal=goal)
        for which, seconds in zip(("empty folder", "again"), took, strict=True)
    ]  # fmt: skip


if __name__ == "__main__":
    run_alone(measure, __doc__)
