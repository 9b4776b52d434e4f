"""Catalogue: the feeds that every installation starts with.

Holds     name, scale, volatility and the symbol each source uses, as data; nothing decides here.
Why       a coin's scale leaves room for the finest price that a source gives, with two places more.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rooms.feed import Feed, Guards
from rooms.units import Bps

_PYTH: Mapping[str, str] = MappingProxyType(
    {
        "BTC": "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43",
        "ETH": "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace",
        "SOL": "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d",
        "XRP": "ec5d399846a9209f3fe5881d70aae9268c94339ff9817e8d18ff19fa05eea1c8",
        "DOGE": "dcef50dd0a4cd2dcc17e45df1676dcb336a11a61c69df7a0299b0150c672d25c",
        "BONK": "72b021217ca3fe68922a19aaf990109cb9d84e9ad004b4d2025ad6f529314419",
    }
)
"""A Pyth feed has a number instead of a name; it is compared digit by digit when it is added."""


def _dollars(coin: str, *, scale: int, volatility_bps: int, without: tuple[str, ...] = ()) -> Feed:
    symbols = {
        "binance": f"{coin}USDT",
        "coinbase": f"{coin}-USD",
        "kraken": f"{coin}/USD",
        "okx": f"{coin}-USDT",
        "bybit": f"{coin}USDT",
        "bitstamp": f"{coin.lower()}usd",
        "gemini": f"{coin}USD",
        "pyth": _PYTH[coin],
    }
    return Feed(
        name=f"{coin}/USD",
        unit="USD",
        scale=scale,
        symbols={source: symbol for source, symbol in symbols.items() if source not in without},
        volatility_bps=Bps(volatility_bps),
    )


USDT = Feed(
    name="USDT/USD",
    unit="USD",
    scale=8,
    symbols={
        "coinbase": "USDT-USD",
        "kraken": "USDT/USD",
        "bitstamp": "usdtusd",
        "gemini": "USDTUSD",
        "pyth": "2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b",
    },
    volatility_bps=Bps(200),
    guards=Guards(quorum=2, tick_age_ms_max=60_000, dead_ms=600_000, return_ticks=1),
    offered=False,
)
"""What a dollar coin is in dollars: it trades seldom and moves little."""

BONK_SUPPLY = Feed(
    name="supply:BONK",
    unit="BONK",
    scale=0,
    symbols={"solana": "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"},
    volatility_bps=Bps(100),
    guards=Guards(quorum=1, tick_age_ms_max=600_000, dead_ms=600_000, return_ticks=1),
    offered=False,
)
BONK_CAP = Feed(
    name="mcap:BONK",
    unit="USD",
    scale=2,
    symbols={},
    volatility_bps=Bps(14_000),
    price="BONK/USD",
    supply=BONK_SUPPLY.name,
    meaning="its price times the total supply: all BONK on the chain now, locked ones too",
)

CATALOGUE: Mapping[str, Feed] = MappingProxyType(
    {
        feed.name: feed
        for feed in (
            USDT,
            BONK_SUPPLY,
            BONK_CAP,
            _dollars("SOL", scale=8, volatility_bps=9_000),
            _dollars("BTC", scale=8, volatility_bps=5_000),
            _dollars("ETH", scale=8, volatility_bps=7_000),
            _dollars("DOGE", scale=8, volatility_bps=10_000),
            _dollars("XRP", scale=8, volatility_bps=9_000),
            _dollars("BONK", scale=12, volatility_bps=14_000, without=("bitstamp", "gemini")),
        )
    }
)
"""By name. A feed with fewer than three independent sources does not belong here."""
