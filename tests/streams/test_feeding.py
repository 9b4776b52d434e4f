"""All sources together, against sandbox venues: what reaches each feed's log."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from rooms.catalogue import CATALOGUE
from rooms.index_price import IndexPrice, index_price
from rooms.tick import Tick
from sandbox.venues.serve import Venues, running_venues
from storage.feeds import WantedFeed
from streams import messages
from streams.feeds.sources import SOURCES
from streams.messages import Ticks
from streams.ticks import Feeding, FeedsSettings, SteadyClock
from tests.feeds.hearing import BRISK

LIMIT_S = 20
IN_DOLLARS = {"coinbase", "kraken", "bitstamp", "gemini", "pyth"}
IN_TETHER = {"binance", "okx", "bybit"}


def wanted(*names: str) -> list[WantedFeed]:
    """Give feeds of the catalogue as the process reads them."""
    return [
        WantedFeed(feed.name, feed.scale, feed.symbols, feed.guards, feed.price, feed.supply)
        for feed in (CATALOGUE[name] for name in names)
    ]


class Log:
    """The ticks of every feed, as they were sent."""

    def __init__(self) -> None:
        self.ticks: dict[str, list[Tick]] = {}
        self._news = asyncio.Event()

    async def send(self, feed: str, payload: bytes) -> None:
        """Take a message."""
        heard = messages.read_heard(payload)
        assert isinstance(heard, Ticks)
        self.ticks.setdefault(feed, []).extend(heard.told())
        self._news.set()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until the condition holds, looking again at every message."""
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    def sources(self, feed: str, since: int = 0) -> set[str]:
        """Name who has said something of a feed since then."""
        return {tick.source for tick in self.ticks.get(feed, ()) if tick.at > since}

    def price(self, feed: str) -> IndexPrice:
        """Return the index price at the end of a feed's log."""
        newest = {tick.source: tick for tick in self.ticks[feed]}
        at = max(tick.at for tick in newest.values())
        price = index_price(newest.values(), at, CATALOGUE[feed].guards)
        assert isinstance(price, IndexPrice), price
        return price


@asynccontextmanager
async def feeding(venues: Venues, *names: str) -> AsyncIterator[tuple[Feeding, Log]]:
    """Hear feeds of the catalogue at the sandbox venues while the block runs."""
    log = Log()
    settings = FeedsSettings(
        urls={name: venues.url(name) for name in SOURCES},
        keys={name: "sandbox" for name, source in SOURCES.items() if source.key is not None},
    )
    process = Feeding(settings, log.send, clock=SteadyClock(), random=Random(1))
    async with asyncio.TaskGroup() as tasks:
        process.want(wanted(*names), tasks)
        running = [tasks.create_task(each.listen()) for each in process.listeners.values()]
        try:
            yield process, log
        finally:
            process.want([], tasks)
            for task in running:
                task.cancel()


async def test_a_dollar_coin_that_loses_its_peg_takes_its_venues_with_it() -> None:
    async with running_venues(BRISK) as venues, feeding(venues, "SOL/USD", "USDT/USD") as running:
        process, log = running
        venues.hold("SOL")
        await log.until(lambda: log.sources("SOL/USD") == IN_DOLLARS | IN_TETHER)
        truth = venues.market.price_e12("SOL", venues.now()) // 10**4

        venues.jump("USDT", -20)  # Their prices are a little higher now; what we make of them not.
        await log.until(
            lambda: (
                process.listeners["binance"].status().ticks > 0
                and log.price("USDT/USD").value < 99_850_000
            )
        )
        since = venues.now()
        await log.until(lambda: log.sources("SOL/USD", since) == IN_DOLLARS | IN_TETHER)
        told = [tick for tick in log.ticks["SOL/USD"] if tick.at > since]
        assert all(
            abs(tick.value - truth) * 1_000 < truth for tick in told if tick.source != "pyth"
        )

        venues.jump("USDT", -300)
        await log.until(lambda: process.listeners["okx"].status().refused.get("depeg"))
        await log.until(lambda: log.price("USDT/USD").value < 97_500_000)
        since = venues.now() + 100
        await log.until(lambda: log.sources("SOL/USD", since) == IN_DOLLARS)
        counts = {name: process.listeners[name].status().ticks for name in IN_TETHER}
        await log.until(lambda: len([t for t in log.ticks["SOL/USD"] if t.at > since]) > 60)
        assert {name: process.listeners[name].status().ticks for name in IN_TETHER} == counts
        price = log.price("SOL/USD")
        assert abs(price.value - truth) * 1_000 < truth
        assert {tick.source for tick in price.ticks} <= IN_DOLLARS
