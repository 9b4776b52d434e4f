"""Market: prices of one feed as a seeded walk, written into its log like the feeds process does.

In        the seed; silences that the weather asks for.
Out       messages of the feed's log: the same price from each source, or a beat.
"""

import asyncio
from dataclasses import dataclass
from random import Random

from rooms.catalogue import CATALOGUE
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from streams import messages
from tests.simulation.bus import Bus, moment
from tests.simulation.turns import Turns

FEED = CATALOGUE["SOL/USD"]
SOURCES = ("binance", "coinbase", "kraken")
START = 200 * 10**FEED.scale
STEP_BPS = 6
EVERY_S = 0.5


@dataclass
class Market:
    """One feed's sources."""

    turns: Turns
    bus: Bus
    random: Random
    silent_chance: float = 0.0
    value: int = START

    async def run(self) -> None:
        """Say a price every half second, and nothing while it is silent."""
        sequence = 0
        silent_until_s = 0.0
        while True:
            sequence += 1
            self.value += self.value * self.random.randint(-STEP_BPS, STEP_BPS) // 10_000
            if self.random.random() < self.silent_chance:
                silent_until_s = self.turns.now_s + self.random.uniform(1.0, 25.0)
            at = moment(self.turns)
            silent = self.turns.now_s < silent_until_s
            ticks = [] if silent else self._ticks(sequence, at)
            said = messages.ticks(FEED.name, at, ticks)
            self.bus.append(FEED.name.encode(), messages.write(said))
            await asyncio.sleep(EVERY_S)

    def _ticks(self, sequence: int, at: UnixMs) -> list[Tick]:
        return [
            Tick(source, sequence, Value(self.value + place), at, at)
            for place, source in enumerate(SOURCES)
        ]
