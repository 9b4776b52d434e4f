"""Jupiter's price API v3: an object by mint; what it does not price is left out.

In        ``ids`` with at most 50 mints.
Out       prices as JSON numbers with the block of the last swap, and what lies in the pools.
"""

from sandbox.venues.asked import Answering, Question
from sandbox.venues.market import PRICE_SCALE, Market
from sandbox.venues.tokens import SLOT_MS, WRAPPED_SOL, mint, token

IDS_MAX = 50


def _answer(market: Market, question: Question) -> object:
    if question.path != "/price/v3":
        return None
    asked = question.query.get("ids", "").split(",")[:IDS_MAX]
    prices: dict[str, object] = {}
    for coin in market.coins:
        if mint(coin) not in asked:
            continue
        swapped_at = market.last_at("jupiter", coin, question.at)
        if mint(coin) == WRAPPED_SOL:
            swapped_at = question.at  # It is swapped in every block.
        if swapped_at is not None:
            prices[mint(coin)] = {
                "createdAt": "2024-06-05T08:55:25.527Z",
                "liquidity": token(coin).liquidity + 0.67,
                "usdPrice": market.price_e12(coin, swapped_at) / 10**PRICE_SCALE,
                "blockId": swapped_at // SLOT_MS,
                "decimals": token(coin).decimals,
                "priceChange24h": 1.29,
            }
    return prices


JUPITER = Answering(name="jupiter", symbol=mint, answer=_answer)
