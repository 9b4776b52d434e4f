"""Spoken: the venues whose protocols are served here, each by its name.

Holds     one line a venue.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sandbox.venues.asked import Answering
from sandbox.venues.binance import BINANCE
from sandbox.venues.birdeye import BIRDEYE
from sandbox.venues.bitstamp import BITSTAMP
from sandbox.venues.bybit import BYBIT
from sandbox.venues.coinbase import COINBASE
from sandbox.venues.coingecko import COINGECKO
from sandbox.venues.dexscreener import DEXSCREENER
from sandbox.venues.gemini import GEMINI
from sandbox.venues.jupiter import JUPITER
from sandbox.venues.kraken import KRAKEN
from sandbox.venues.okx import OKX
from sandbox.venues.pumpportal import PUMPPORTAL
from sandbox.venues.pyth import PYTH
from sandbox.venues.session import Spoken
from sandbox.venues.solana import PUMPFUN, SOLANA

SPOKEN: Mapping[str, Spoken] = MappingProxyType(
    {
        spoken.name: spoken
        for spoken in (
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

ANSWERED: Mapping[str, Answering] = MappingProxyType(
    {each.name: each for each in (JUPITER, DEXSCREENER, COINGECKO, SOLANA, PUMPFUN)}
)


def symbol_at(name: str, coin: str) -> str:
    """Return what a source calls a coin."""
    return SPOKEN[name].symbol(coin) if name in SPOKEN else ANSWERED[name].symbol(coin)
