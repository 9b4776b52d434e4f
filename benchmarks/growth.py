"""Growth: what becomes of a figure when there is ten, a hundred, a thousand times as much.

Run       python -m benchmarks.growth [--broker embedded|kafka] [--quick] [--folder FOLDER]
Out       pictures, each over three orders of magnitude: ticks a message, feeds, open rooms, bets a
          room; the same points as JSON.
"""

import argparse
import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.alone import Options
from benchmarks.open_rooms import ready, tick_us
from benchmarks.settling import settle_once
from benchmarks.stand import BROKERS, Stand, stand
from benchmarks.ticks import track
from cli.logs import set_up_logs

TICKS: Final = 60_000
SMALL_TICKS: Final = 2_000
FOLDER: Final = Path("benchmarks/measured")


@dataclass(frozen=True, slots=True)
class Line:
    """One picture: a figure over what grows."""

    name: str
    over: str
    figure: str
    points: tuple[tuple[float, float], ...]


async def _ticks_s(stand: Stand, options: Options, feeds: int, together: int) -> float:
    ticks = max(options.pick(TICKS, SMALL_TICKS), feeds * together * 2)
    async with track(
        stand, options.broker, feeds=feeds, ticks=ticks, together=together
    ) as course:  # fmt: skip
        result = await course.run("ours", rooms=10)
        return course.ticks_s(result, "ours") if result else 0.0


async def by_message(stand: Stand, options: Options, size: int) -> float:
    """Return ticks/s with so many ticks a message."""
    return await _ticks_s(stand, options, 6, size)


async def by_feeds(stand: Stand, options: Options, size: int) -> float:
    """Return ticks/s with so many feeds, ten ticks a message."""
    return await _ticks_s(stand, options, size, 10)


async def by_rooms(stand: Stand, options: Options, size: int) -> float:
    """Return the microseconds of a tick with so many open rooms."""
    first_at = time.time_ns() // 10**6 - 10**6
    whole = await ready(stand, size, first_at)
    return tick_us(whole.log, options.pick(20_000, SMALL_TICKS), first_at, 1)


async def by_bets(stand: Stand, _: Options, size: int) -> float:
    """Return the seconds to settle a room of so many bets."""
    return await settle_once(stand.database(), size)


Question = tuple[str, str, str, Callable[[Stand, Options, int], Awaitable[float]], Sequence[int]]
QUESTIONS: Final[tuple[Question, ...]] = (
    ("messages", "ticks a message", "ticks/s", by_message, (1, 10, 100, 1_000)),
    ("feeds", "feeds", "ticks/s", by_feeds, (1, 10, 100, 1_000)),
    ("rooms", "open rooms", "µs a tick", by_rooms, (1_000, 10_000, 100_000, 1_000_000)),
    ("bets", "bets a room", "s to settle", by_bets, (100, 1_000, 10_000, 100_000)),
)


async def grow(stand: Stand, options: Options) -> list[Line]:
    """Answer each question at each size."""
    lines = []
    for name, over, figure, ask, sizes in QUESTIONS:
        points = []
        for size in sizes[: options.pick(len(sizes), 2)]:
            points.append((size, await ask(stand, options, size)))
            options.say(f"growth: {size:,} {over}: {points[-1][1]:,.4g} {figure}")
        lines.append(Line(name, over, figure, tuple(points)))
    return lines


def draw(lines: Sequence[Line], folder: Path) -> None:
    """Write a picture of each line, as PNG and as SVG, and all points as JSON."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for line in lines:
        picture, axes = pyplot.subplots(figsize=(6, 4))
        axes.plot(*zip(*line.points, strict=True), marker="o")
        axes.set(xscale="log", yscale="log", xlabel=line.over, ylabel=line.figure)
        axes.grid(visible=True, which="both", alpha=0.3)
        for form in ("png", "svg"):
            picture.savefig(folder / f"growth-{line.name}.{form}", bbox_inches="tight")
        pyplot.close(picture)
    points = {line.name: {"over": line.over, "figure": line.figure, "points": line.points}
              for line in lines}  # fmt: skip
    (folder / "growth.json").write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line, measure and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--broker", choices=BROKERS, default="embedded")
    parser.add_argument("--quick", action="store_true", help="two small sizes of each")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    set_up_logs("bench", "people", level=logging.WARNING)

    async def run() -> list[Line]:
        async with stand() as running:
            return await grow(running, Options(given.broker, given.quick))

    draw(asyncio.run(run()), given.folder)


if __name__ == "__main__":
    main()
