"""Catalogue: the feeds that every installation starts with.

Holds     name, scale, volatility and the symbol each source uses, as data; nothing decides here.
Why       a coin's scale leaves room for the finest price that a source gives, with two places more.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rooms.feed import Feed
from rooms.units import Bps


def _dollars(coin: str, *, scale: int, volatility_bps: int, without: tuple[str, ...] = ()) -> Feed:
    symbols = {
        "binance": f"{coin}USDT",
        "coinbase": f"{coin}-USD",
        "kraken": f"{coin}/USD",
        "okx": f"{coin}-USDT",
        "bybit": f"{coin}USDT",
    }
    return Feed(
        name=f"{coin}/USD",
        unit="USD",
        scale=scale,
        symbols={source: symbol for source, symbol in symbols.items() if source not in without},
        volatility_bps=Bps(volatility_bps),
    )


CATALOGUE: Mapping[str, Feed] = MappingProxyType(
    {
        feed.name: feed
        for feed in (
            _dollars("SOL", scale=8, volatility_bps=9_000),
            _dollars("BTC", scale=8, volatility_bps=5_000),
            _dollars("ETH", scale=8, volatility_bps=7_000),
            _dollars("DOGE", scale=8, volatility_bps=10_000),
            _dollars("XRP", scale=8, volatility_bps=9_000),
            _dollars("BONK", scale=12, volatility_bps=14_000),
        )
    }
)
"""By name. A feed with fewer than three independent sources does not belong here."""
