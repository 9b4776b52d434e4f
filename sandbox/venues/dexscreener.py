"""DexScreener's tokens by address: their pairs, in an order that means nothing.

In        a path with at most 30 addresses.
Out       first a pool of a few dollars at half the price, then one whose quote the token is, then
          the real ones; from a cache of a second.
"""

from sandbox.venues.asked import Answering, Question
from sandbox.venues.market import BPS, PRICE_SCALE, Market
from sandbox.venues.tokens import WRAPPED_SOL, mint, token

PATH = "/tokens/v1/solana/"
ADDRESSES_MAX = 30
POOLS = (("raydium", 60, -5), ("orca", 30, 0), ("meteora", 10, 20))
"""Where, its part of the liquidity in percent, how far off it is in basis points."""


def _answer(market: Market, question: Question) -> object:
    if not question.path.startswith(PATH):
        return None
    asked = question.path.removeprefix(PATH).split(",")[:ADDRESSES_MAX]
    pairs: list[object] = []
    for coin in market.coins:
        if mint(coin) in asked:
            at = market.last_at("dexscreener", coin, question.at)
            if at is not None:
                pairs += _pairs(coin, market.price_e12(coin, at))
    return pairs


def _pairs(coin: str, price_e12: int) -> list[object]:
    there = token(coin)
    pairs: list[object] = [
        _pair("dust", mint(coin), WRAPPED_SOL, price_e12 // 2, 57.5),
        _pair("orca", "other" + "1" * 39, mint(coin), price_e12 * 3, 9_000_000.0),
        _pair("curve", mint(coin), WRAPPED_SOL, price_e12 * 2, None),
    ]
    return pairs + [
        _pair(
            place,
            mint(coin),
            WRAPPED_SOL,
            price_e12 * (BPS + off) // BPS,
            there.liquidity * part / 100,
        )
        for place, part, off in POOLS
    ]


def _pair(
    place: str, base: str, quote: str, price_e12: int, liquidity: float | None
) -> dict[str, object]:
    whole, fraction = divmod(price_e12, 10**PRICE_SCALE)
    pair: dict[str, object] = {
        "chainId": "solana",
        "dexId": place,
        "pairAddress": f"{place}{base}"[:44],
        "baseToken": {"address": base, "name": base[:8], "symbol": base[:4]},
        "quoteToken": {"address": quote, "name": quote[:8], "symbol": quote[:4]},
        "priceNative": "0.00001655",
        "priceUsd": f"{whole}.{fraction:0{PRICE_SCALE}d}".rstrip("0").rstrip("."),
        "fdv": 3_005_987,
        "pairCreatedAt": 1_702_999_629_000,
    }
    if liquidity is not None:
        pair["liquidity"] = {"usd": liquidity, "base": 33_245_137, "quote": 549.1104}
    return pair


DEXSCREENER = Answering(name="dexscreener", symbol=mint, answer=_answer, cache_ms=1_000)
