"""CoinGecko's markets: a list of coins with prices, caps and supplies; from a cache.

In        ``ids`` and the currency; a key.
Out       prices as JSON numbers, the time of the last update, supplies of each kind.
"""

from sandbox.venues.asked import Answering, Question
from sandbox.venues.market import PRICE_SCALE, Market
from sandbox.venues.session import rfc3339
from sandbox.venues.tokens import token

CACHE_MS = 1_000
CIRCULATING_PERCENT = 88


def _answer(market: Market, question: Question) -> object:
    if question.path != "/api/v3/coins/markets":
        return None
    asked = question.query.get("ids", "").split(",")
    coins: list[object] = []
    for coin in market.coins:
        at = market.last_at("coingecko", coin, question.at)
        if _symbol(coin) not in asked or at is None:
            continue
        supply, price = token(coin).supply, market.price_e12(coin, at) / 10**PRICE_SCALE
        coins.append(
            {
                "id": _symbol(coin),
                "symbol": coin.lower(),
                "name": coin,
                "current_price": price,
                "market_cap": price * supply * CIRCULATING_PERCENT / 100,
                "fully_diluted_valuation": price * supply,
                "circulating_supply": supply * CIRCULATING_PERCENT / 100,
                "total_supply": float(supply),
                "max_supply": None,
                "last_updated": rfc3339(at)[:-4] + "Z",
            }
        )
    return coins


def _symbol(coin: str) -> str:
    return coin.lower()


COINGECKO = Answering(
    name="coingecko",
    symbol=_symbol,
    answer=_answer,
    cache_ms=CACHE_MS,
    key_header="x-cg-demo-api-key",
)
