"""Benchmarks: every question, one after another, and one table of the answers.

Run       python -m benchmarks [--quick] [--broker embedded|kafka|both] [--only ticks,settling]
Out       the table; the same rows as JSON; growth as pictures; all in a folder.
"""

import argparse
import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import (
    betting,
    crossing_latency,
    growth,
    network_fee,
    open_rooms,
    settling,
    start,
    takeover,
    telegram_update,
    ticks,
)
from benchmarks.alone import Measure, Options
from benchmarks.figure import Figure, show, write
from benchmarks.stand import BROKERS, Broker, stand
from cli.logs import set_up_logs
from sandbox.kafka import missing

ON_A_BROKER: Final[dict[str, Measure]] = {
    "crossing_latency": crossing_latency.measure,
    "ticks": ticks.measure,
    "takeover": takeover.measure,
}
WITHOUT: Final[dict[str, Measure]] = {
    "open_rooms": open_rooms.measure,
    "settling": settling.measure,
    "betting": betting.measure,
    "network_fee": network_fee.measure,
    "telegram_update": telegram_update.measure,
    "start": start.measure,
}
FOLDER: Final = Path("benchmarks/measured")


async def measure_all(
    brokers: Sequence[Broker],
    only: Sequence[str],
    *,
    quick: bool,
    pictures: Path | None = None,
) -> list[Figure]:
    """Answer the questions: those without a broker once, the others on each; draw what grows."""
    figures: list[Figure] = []
    for broker in brokers:
        asked = dict(ON_A_BROKER) | (WITHOUT if broker == brokers[0] else {})
        options = Options(broker, quick)
        async with stand(broker) as running:
            for name, measure in asked.items():
                if not only or name in only:
                    options.say(f"{name} ({broker})")
                    figures += await measure(running, options)
            if broker == brokers[0] and (not only or "growth" in only) and pictures:
                growth.draw(await growth.grow(running, options), pictures)
    return sorted(figures, key=lambda each: (each.number, each.on))


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="small sizes: only shows that it runs")
    parser.add_argument("--broker", choices=(*BROKERS, "both"), default="both")
    parser.add_argument("--only", default="", help="names of scripts, with commas between")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where rows and pictures go")
    given = parser.parse_args()
    set_up_logs("bench", "people", level=logging.WARNING)
    brokers: Sequence[Broker] = BROKERS if given.broker == "both" else (given.broker,)
    options = Options()
    if "kafka" in brokers and (lacks := missing()) is not None:
        options.say(f"not on Apache Kafka: {lacks}")
        brokers = [broker for broker in brokers if broker != "kafka"]
    only = [name for name in given.only.split(",") if name]
    figures = asyncio.run(measure_all(brokers, only, quick=given.quick, pictures=given.folder))
    given.folder.mkdir(parents=True, exist_ok=True)
    write(figures, given.folder / "figures.json")
    show(figures)


if __name__ == "__main__":
    main()
