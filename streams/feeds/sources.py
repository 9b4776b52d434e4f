"""Sources: the venues whose trades we hear, each by its name.

Holds     one line a venue; adding a venue is its file and its line here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from streams.feeds.binance import BINANCE
from streams.feeds.bitstamp import BITSTAMP
from streams.feeds.bybit import BYBIT
from streams.feeds.coinbase import COINBASE
from streams.feeds.gemini import GEMINI
from streams.feeds.kraken import KRAKEN
from streams.feeds.okx import OKX
from streams.feeds.pyth import PYTH
from streams.feeds.venue import Venue

SOURCES: Mapping[str, Venue] = MappingProxyType(
    {venue.name: venue for venue in (BINANCE, COINBASE, KRAKEN, OKX, BYBIT, BITSTAMP, GEMINI, PYTH)}
)
