"""Spoken: the venues whose protocols are served here, each by its name.

Holds     one line a venue.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sandbox.venues.binance import BINANCE
from sandbox.venues.bitstamp import BITSTAMP
from sandbox.venues.bybit import BYBIT
from sandbox.venues.coinbase import COINBASE
from sandbox.venues.gemini import GEMINI
from sandbox.venues.kraken import KRAKEN
from sandbox.venues.okx import OKX
from sandbox.venues.pyth import PYTH
from sandbox.venues.session import Spoken

SPOKEN: Mapping[str, Spoken] = MappingProxyType(
    {
        spoken.name: spoken
        for spoken in (BINANCE, COINBASE, KRAKEN, OKX, BYBIT, BITSTAMP, GEMINI, PYTH)
    }
)
