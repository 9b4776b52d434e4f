"""Supply: where what venues publish comes from.

In        a venue, the channels and symbols somebody subscribed, a stretch of time.
Out       what that venue publishes in it, in order.
"""

from collections.abc import Iterable
from typing import Protocol

from sandbox.venues.market import Market, Trade
from sandbox.venues.session import Told
from sandbox.venues.spoken import SPOKEN


class Supply(Protocol):
    """Where what venues publish comes from."""

    def knows(self, venue: str, symbol: str) -> bool:
        """Say whether the venue lists this symbol."""

    def recent(self, venue: str, symbol: str, at: int, count: int) -> list[Trade]:
        """Return the last trades up to a moment, oldest first."""

    def due(
        self, venue: str, wanted: set[tuple[str, str]], after_at: int, until_at: int
    ) -> Iterable[Told]:
        """Return what the venue publishes in a stretch of time, in order."""


class MarketSupply:
    """The market's trades as each venue tells them."""

    def __init__(self, market: Market, trade_ms: int, only: frozenset[str] | None = None) -> None:
        """Tell of every coin of the market, or of some ``only``."""
        self._market = market
        self._trade_ms = trade_ms
        self._coins = {
            name: {
                spoken.symbol(coin): coin for coin in market.coins if only is None or coin in only
            }
            for name, spoken in SPOKEN.items()
        }

    def knows(self, venue: str, symbol: str) -> bool:
        """Say whether the market has this coin."""
        return symbol in self._coins[venue]

    def recent(self, venue: str, symbol: str, at: int, count: int) -> list[Trade]:
        """Return the last trades up to a moment, oldest first."""
        after_at = at - (count + 1) * self._trade_ms
        return self._market.trades(venue, self._coins[venue][symbol], after_at, at)[-count:]

    def due(
        self, venue: str, wanted: set[tuple[str, str]], after_at: int, until_at: int
    ) -> Iterable[Told]:
        """Return the trades of the coins that are wanted, in order."""
        symbols = {symbol for _, symbol in wanted}
        coins = [self._coins[venue][symbol] for symbol in symbols if self.knows(venue, symbol)]
        trades = [
            trade
            for coin in coins
            for trade in self._market.trades(venue, coin, after_at, until_at)
            if trade.number % (SPOKEN[venue].one_in * self._market.coins[coin].one_in) == 0
        ]
        trades.sort(key=lambda trade: (trade.at, trade.coin))
        return [SPOKEN[venue].publish(trade, until_at) for trade in trades]


class WithTether:
    """A recording, and beside it the market's price of the dollar coin that it may be told in.

    What is recorded in USDT is worth nothing in dollars without that price, and no recording of one
    venue has it. What the recording has itself is told by it alone.
    """

    def __init__(self, recording: Supply, tether: Supply) -> None:
        self._recording = recording
        self._tether = tether

    def knows(self, venue: str, symbol: str) -> bool:
        """Say whether either has it."""
        return self._of(venue, symbol).knows(venue, symbol)

    def recent(self, venue: str, symbol: str, at: int, count: int) -> list[Trade]:
        """Return the last trades up to a moment, oldest first."""
        return self._of(venue, symbol).recent(venue, symbol, at, count)

    def due(
        self, venue: str, wanted: set[tuple[str, str]], after_at: int, until_at: int
    ) -> Iterable[Told]:
        """Return what the recording has, then the price of the dollar coin."""
        others = {
            (channel, symbol)
            for channel, symbol in wanted
            if not self._recording.knows(venue, symbol) and self._tether.knows(venue, symbol)
        }
        yield from self._recording.due(venue, wanted - others, after_at, until_at)
        yield from self._tether.due(venue, others, after_at, until_at)

    def _of(self, venue: str, symbol: str) -> Supply:
        known = self._recording.knows(venue, symbol)
        return self._recording if known or not self._tether.knows(venue, symbol) else self._tether
