"""Alone: one benchmark by itself, from the command line.

In        its function; what the person asked for.
Out       the rows of the table, printed; progress on the standard error.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from benchmarks.figure import Figure, show
from benchmarks.stand import BROKERS, Broker, Stand, stand
from cli.logs import set_up_logs

Item = TypeVar("Item")


def say(what: str) -> None:
    """Tell whoever waits what is being done."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked a benchmark for.

    Attributes:
        broker: which one the stand has.
        quick: small sizes, which show that it runs and say nothing about speed.
        say: tells the person how far it is.
    """

    broker: Broker = "embedded"
    quick: bool = False
    say: Callable[[str], None] = field(default=say)

    def pick(self, whole: Item, quick: Item) -> Item:
        """Choose a size."""
        return quick if self.quick else whole


Measure = Callable[[Stand, Options], Awaitable[Sequence[Figure]]]


def run_alone(measure: Measure, what: str | None, *, needs_broker: bool = False) -> None:
    """Read the command line, measure, and print the rows."""
    parser = argparse.ArgumentParser(description=what.partition("\n")[0] if what else None)
    if needs_broker:
        parser.add_argument("--broker", choices=BROKERS, default="embedded")
    parser.add_argument("--quick", action="store_true", help="small sizes: only shows that it runs")
    given = parser.parse_args()
    set_up_logs("bench", "people", level=logging.WARNING)
    broker: Broker = given.broker if needs_broker else "embedded"

    async def run() -> Sequence[Figure]:
        async with stand(broker if needs_broker else None) as running:
            return await measure(running, Options(broker, given.quick))

    show(asyncio.run(run()))
