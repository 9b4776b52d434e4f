"""Token: the feeds of a coin that the operator adds: its price, its liquidity, its supply, its cap.

In        what each source calls the token; where its liquidity and its supply are read.
Out       up to four feeds, each before those that are made with it.
Promises  a token that few sources tell of independently has a feed of its liquidity, by which its
          rooms are capped; a market cap says what it is.
Why       what reads the same pools says the same thing however often it is asked: five of those
          are one witness.
"""

import re
from collections.abc import Mapping
from typing import Final

from rooms.feed import SOURCES_MIN, Feed, Guards
from rooms.refusal import must
from rooms.units import Bps

POOL_READERS: Final = frozenset(
    {"jupiter", "dexscreener", "birdeye", "coingecko", "pumpfun", "pumpportal"}
)
"""Sources that read a token's pools and curves, or what others read there."""

CAP_PREFIX: Final = "mcap:"
PRICE_SCALE: Final = 12
DOLLAR_SCALE: Final = 2
SUPPLY_AGE_MS: Final = 600_000
LIQUIDITY_AGE_MS: Final = 60_000
SPREAD_BPS: Final = Bps(300)
VOLATILITY_BPS: Final = Bps(100)

_NAME: Final = re.compile(r"[A-Z0-9]{1,16}")


def token_feeds(
    *,
    token: str,
    symbols: Mapping[str, str],
    liquidity: Mapping[str, str],
    supply: str | None,
    quorum: int,
    age_ms_max: int,
    volatility_bps: Bps,
) -> list[Feed]:
    """Draw up the feeds of a token.

    Args:
        token: its name, in capitals.
        symbols: source to the name it has there.
        liquidity: source to the name under which it tells what lies in the market.
        supply: what the source ``solana`` counts: a mint, and accounts to take off; None: no cap.
        quorum: how many sources must agree.
        age_ms_max: an older price does not count.
        volatility_bps: a year's standard deviation of the logarithm.

    Raises:
        Impossible: when they cannot be feeds.
    """
    must(_NAME.fullmatch(token) is not None, "a token is up to 16 capitals and digits")
    must(bool(symbols), "a token has a source")
    readers = len(POOL_READERS & set(symbols))
    independent = len(set(symbols) - POOL_READERS) + bool(readers)
    must(quorum <= len(symbols), "a quorum is at most all sources")
    must(
        bool(liquidity) or (independent >= SOURCES_MIN and quorum >= SOURCES_MIN),
        f"{independent} of its sources are independent: say where its liquidity is read",
    )
    deep = f"liquidity:{token}" if liquidity else None
    guards = Guards(
        quorum=quorum,
        tick_age_ms_max=age_ms_max,
        tick_lag_ms_max=age_ms_max,
        dead_ms=max(age_ms_max, Guards().dead_ms),
        return_ticks=1,
        outlier_bps_max=SPREAD_BPS,
        dispersion_bps_max=SPREAD_BPS,
        scatter_bps=Bps(2 * SPREAD_BPS),
    )
    made: list[Feed] = []
    if deep is not None:
        made.append(_beside(deep, "USD", DOLLAR_SCALE, liquidity, LIQUIDITY_AGE_MS))
    price = Feed(
        name=f"{token}/USD",
        unit="USD",
        scale=PRICE_SCALE,
        symbols=dict(symbols),
        volatility_bps=volatility_bps,
        guards=guards,
        liquidity=deep,
    )
    made.append(price)
    if supply is not None:
        made.append(_beside(f"supply:{token}", token, 0, {"solana": supply}, SUPPLY_AGE_MS))
        apart = supply.count("-")
        kept = f"what {apart} named account{'s keep' if apart > 1 else ' keeps'}"
        counted = (
            f"the circulating supply: all {token} on the chain now but {kept}"
            if apart
            else f"the total supply: all {token} on the chain now, locked ones too"
        )
        made.append(
            Feed(
                name=f"{CAP_PREFIX}{token}",
                unit="USD",
                scale=DOLLAR_SCALE,
                symbols={},
                volatility_bps=volatility_bps,
                guards=guards,
                price=price.name,
                supply=f"supply:{token}",
                liquidity=deep,
                meaning=f"its price times {counted}",
            )
        )
    return made


def _beside(name: str, unit: str, scale: int, symbols: Mapping[str, str], age_ms_max: int) -> Feed:
    return Feed(
        name=name,
        unit=unit,
        scale=scale,
        symbols=dict(symbols),
        volatility_bps=VOLATILITY_BPS,
        guards=Guards(
            quorum=1,
            tick_age_ms_max=age_ms_max,
            tick_lag_ms_max=age_ms_max,
            dead_ms=age_ms_max,
            return_ticks=1,
            outlier_bps_max=SPREAD_BPS,
            dispersion_bps_max=Bps(2_000),
            scatter_bps=Bps(4_000),
            jump_bps=Bps(5_000),
            jump_bps_max=Bps(9_000),
        ),
        offered=False,
    )
