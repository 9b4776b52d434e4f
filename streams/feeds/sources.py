"""Sources: the venues whose trades we hear, each by its name.

Holds     one line a venue; adding a venue is its file and its line here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rooms.feed import Feed
from streams.feeds.binance import BINANCE
from streams.feeds.birdeye import BIRDEYE
from streams.feeds.bitstamp import BITSTAMP
from streams.feeds.bybit import BYBIT
from streams.feeds.coinbase import COINBASE
from streams.feeds.coingecko import COINGECKO
from streams.feeds.conversion import rate_of
from streams.feeds.dexscreener import DEXSCREENER
from streams.feeds.gemini import GEMINI
from streams.feeds.jupiter import JUPITER
from streams.feeds.kraken import KRAKEN
from streams.feeds.okx import OKX
from streams.feeds.poll import Poll
from streams.feeds.pumpfun import PUMPFUN
from streams.feeds.pumpportal import PUMPPORTAL
from streams.feeds.pyth import PYTH
from streams.feeds.solana import SOLANA
from streams.feeds.venue import DOLLAR, Venue

SOCKETS: Mapping[str, Venue] = MappingProxyType(
    {
        venue.name: venue
        for venue in (
            BINANCE,
            COINBASE,
            KRAKEN,
            OKX,
            BYBIT,
            BITSTAMP,
            GEMINI,
            PYTH,
            PUMPPORTAL,
            BIRDEYE,
        )
    }
)
"""Those that speak by themselves."""

POLLS: Mapping[str, Poll] = MappingProxyType(
    {poll.name: poll for poll in (JUPITER, DEXSCREENER, COINGECKO, SOLANA, PUMPFUN)}
)
"""Those that have to be asked."""

SOURCES: Mapping[str, Venue | Poll] = MappingProxyType({**SOCKETS, **POLLS})


def made_with(feed: Feed) -> list[str]:
    """Name the feeds that this one's values are made with: rates, a price, a supply."""
    quotes = {SOURCES[source].quote for source in feed.symbols if source in SOURCES}
    names = {rate_of(quote) for quote in quotes - {DOLLAR}} | {feed.price, feed.supply}
    return sorted(name for name in names if name is not None and name != feed.name)
