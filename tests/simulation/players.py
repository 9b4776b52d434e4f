"""Players: processes that play seeds side by side, each with a server of its own.

In        seeds.
Out       what became of each, in the order of the seeds.
Promises  a player that hangs or dies is a fault of the seed that it played, and another takes over;
          nothing is left running at the end.
"""

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import msgspec

from tests.simulation.played import Played

ROOT = Path(__file__).parents[2]
SEED_LIMIT_S = 240.0
STOP_LIMIT_S = 30.0


class Player:
    """One process that plays the seeds it is told."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def play(self, seed: int) -> Played:
        """Have a seed played."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None, "a player is told by its standard input"
        assert process.stdout is not None, "a player answers by its standard output"
        alarm = threading.Timer(SEED_LIMIT_S, process.kill)
        alarm.start()
        try:
            process.stdin.write(f"{seed}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            alarm.cancel()
        if not answer:
            self.stop()
            return _lost(seed)
        return msgspec.json.decode(answer, type=Played)

    def stop(self) -> None:
        """End the process; it stops its own server."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None, "a player is told by its standard input"
        process.stdin.close()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.simulation", *self._options],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip


class Players:
    """Some of them."""

    def __init__(self, players: list[Player]) -> None:
        self._count = len(players)
        self._free: SimpleQueue[Player] = SimpleQueue()
        for player in players:
            self._free.put(player)

    def play(self, seeds: Iterable[int]) -> Iterator[Played]:
        """Have seeds played side by side; give what became of each, in their order."""
        with ThreadPoolExecutor(self._count) as threads:
            try:
                yield from threads.map(self._one, seeds)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, seed: int) -> Played:
        player = self._free.get()
        try:
            return player.play(seed)
        finally:
            self._free.put(player)


@contextmanager
def players(jobs: int, *options: str) -> Iterator[Players]:
    """Start so many players, and end them when the block ends."""
    every = [Player(*options) for _ in range(jobs)]
    try:
        yield Players(every)
    finally:
        for each in every:
            each.stop()


def _lost(seed: int) -> Played:
    return Played(
        seed=seed, faults=("its player hung or died",), digest="", struck={}, reached={},
        transactions=0, statements=0, turns=0, lock_waits=0, deaths=0, virtual_s=0.0, real_s=0.0,
    )  # fmt: skip
