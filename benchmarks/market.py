"""Market: a seeded log of ticks for benchmarks, the same for everybody who reads it.

In        feeds, sources, how many ticks and how many in a message.
Out       messages of the feeds' logs, in order; rooms with targets that some of them reach.
Promises  prices walk as venues' do: sources follow one value with a little noise, so that about
          every second tick changes the index price; the same seed gives the same bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from rooms.tick import Tick
from rooms.units import UnixMs, Value
from streams import messages

SOURCES: Final = ("binance", "bybit", "coinbase", "kraken", "okx")
SCALE: Final = 8
START: Final = 100 * 10**SCALE
STEP: Final = 10**SCALE // 1_000
NOISE: Final = 10**SCALE // 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Say what a log holds.

    Attributes:
        per_s: ticks a second of the log's own time, a feed.
        first_at: the log's first moment; it must end before the broker's now.
    """

    feeds: int
    ticks: int
    per_s: int
    first_at: int
    seed: int = 1

    @property
    def last_at(self) -> int:
        """Return the log's last moment."""
        return self._at(self.ticks // self.feeds - 1)

    def names(self) -> list[str]:
        """Name the feeds."""
        return [f"BENCH{number}/USD" for number in range(self.feeds)]

    def ticks_of(self, feed: int) -> Iterator[Tick]:
        """Give a feed's ticks in their order."""
        random = Random(self.seed * 1_000_003 + feed)
        value = START
        for number in range(self.ticks // self.feeds):
            value += random.randrange(-STEP, STEP + 1)
            at = self._at(number)
            said = Value(value + random.randrange(-NOISE, NOISE + 1))
            yield Tick(SOURCES[number % len(SOURCES)], number, said, at, at)

    def messages(self, together: int) -> Iterator[tuple[str, bytes]]:
        """Give feed and payload of messages of ``together`` ticks, feeds taking turns."""
        logs = [self.ticks_of(feed) for feed in range(self.feeds)]
        names = self.names()
        for _ in range(self.ticks // self.feeds // together):
            for name, log in zip(names, logs, strict=True):
                held: Sequence[Tick] = [next(log) for _ in range(together)]
                yield name, messages.write(messages.ticks(name, held[-1].at, held))

    def _at(self, number: int) -> UnixMs:
        return UnixMs(self.first_at + number * 1000 // self.per_s)
