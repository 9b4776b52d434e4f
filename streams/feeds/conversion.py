"""Conversion: ticks in other coins made dollars, and prices made market caps.

In        ticks as sources told them; the feeds that are heard, with what they are made with.
Out       ticks at their feed's scale and in its unit; of each price, the ticks of its caps.
Holds     the newest ticks of the feeds that others are multiplied with.
Promises  a rate or a supply is an index price by its own feed's guards, or there is no tick.
Why       it is done here, before the log: a feed's log then holds the values that decide, in one
          order, and whoever replays it needs no other log. Rates and supplies are feeds of their
          own and stand in theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rooms.conversion import PEGGED, READ_SCALE, holds_peg, product_at
from rooms.index_price import IndexPrice, index_price
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from storage.feeds import WantedFeed
from streams.feeds.admission import VALUE_MAX, Reason, Unfit
from streams.feeds.venue import DOLLAR, SymbolOf

LOOK_EVERY_MS = 250
"""So long a rate is used without looking whether its ticks have become too old."""

DOUBT_BPS_MAX = 100


class Conversion:
    """What is heard now, and what it is converted with."""

    def __init__(self) -> None:
        self._feeds: Mapping[str, WantedFeed] = {}
        self._caps: dict[str, list[WantedFeed]] = {}
        self._newest: dict[str, dict[str, Tick]] = {}
        self._factors: dict[str, tuple[UnixMs, int | None]] = {}

    def want(self, wanted: Sequence[WantedFeed], quotes: set[str]) -> None:
        """Take what is heard from now on, and in which coins sources may tell it."""
        self._feeds = {feed.name: feed for feed in wanted}
        self._caps = {}
        for feed in wanted:
            if feed.price is not None:
                self._caps.setdefault(feed.price, []).append(feed)
        used = {rate_of(quote) for quote in quotes - {DOLLAR}}
        used |= {feed.supply for feed in wanted if feed.supply is not None}
        self._newest = {name: self._newest.get(name, {}) for name in used & set(self._feeds)}
        self._factors.clear()

    def in_dollars(self, quote: str, feed: str, tick: Tick) -> Tick:
        """Return a tick of a source that tells prices in another coin, in dollars.

        Raises:
            Unfit: when there is no rate, or the coin has lost its peg.
        """
        rate = rate_of(quote)
        if feed == rate:
            return tick
        factor = self._factor(rate, tick.at)
        if factor is None:
            raise Unfit(Reason.NO_RATE, f"{feed} is told in {quote}, and {rate} is silent")
        scale = self._feeds[rate].scale
        if quote in PEGGED and not holds_peg(factor, scale):
            raise Unfit(Reason.DEPEG, f"{feed} is told in {quote}, which lost its peg")
        return self._made(self._feeds[feed], tick, (tick.value, READ_SCALE), (factor, scale))

    def note(self, feed: str, tick: Tick) -> None:
        """Remember a tick that others may be multiplied with."""
        newest = self._newest.get(feed)
        if newest is not None:
            newest[tick.source] = tick
            self._factors.pop(feed, None)

    def caps(self, feed: str, tick: Tick) -> Iterator[tuple[str, Tick]]:
        """Return what this price says of each market cap that is wanted; nothing of a supply."""
        for cap in self._caps.get(feed, ()):
            supply = self._factor(cap.supply, tick.at) if cap.supply is not None else None
            if supply is not None and cap.supply is not None:
                price = (tick.value, self._feeds[feed].scale)
                scaled = (supply, self._feeds[cap.supply].scale)
                try:
                    yield cap.name, self._made(cap, tick, price, scaled)
                except Unfit:
                    continue  # Too small or too big for the cap's feed: it stays silent.

    def _factor(self, name: str, at: UnixMs) -> int | None:
        known = self._factors.get(name)
        if known is not None and at - known[0] < LOOK_EVERY_MS:
            return known[1]
        newest, feed = self._newest.get(name), self._feeds.get(name)
        told = index_price(newest.values(), at, feed.guards) if newest and feed else None
        value = told.value if isinstance(told, IndexPrice) else None
        self._factors[name] = (at, value)
        return value

    def _made(self, feed: WantedFeed, tick: Tick, *factors: tuple[int, int]) -> Tick:
        value = product_at(feed.scale, factors)
        if value <= 0:
            raise Unfit(Reason.NOT_POSITIVE, f"{feed.name} has no place for so little")
        if value > VALUE_MAX:
            raise Unfit(Reason.TOO_BIG, f"{feed.name} has no place for so much")
        return replace(tick, value=Value(value))


def rate_of(quote: str) -> str:
    """Name the feed that says what a coin is in dollars."""
    return f"{quote}/{DOLLAR}"


def symbol_of(feed: WantedFeed, quote: str, *, is_cut: bool = False) -> SymbolOf:
    """Say how a source's symbol is read for a feed: what will be converted, digit by digit.

    ``is_cut``: the source computes its values, so that finer digits are no mistake.
    """
    is_converted = quote != DOLLAR and feed.name != rate_of(quote)
    return SymbolOf(
        feed=feed.name,
        scale=READ_SCALE if is_converted else feed.scale,
        doubt_bps_max=min(feed.guards.outlier_bps_max, DOUBT_BPS_MAX),
        value_max=10**40 if is_converted else VALUE_MAX,
        is_cut=is_cut,
    )
