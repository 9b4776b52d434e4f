"""Whatever order pools come in, the price is that at which half of what lies in them lies."""

from itertools import permutations

import msgspec

from streams.feeds.dexscreener import parse
from streams.feeds.venue import Trade

POOLS = [("0.0031", 45_000), ("0.0029", 10_000), ("0.0030", 45_000), ("0.0009", 9_999.99)]


def test_the_order_of_pools_means_nothing() -> None:
    for pools in permutations(POOLS):
        pairs = [
            {
                "chainId": "solana",
                "baseToken": {"address": "M"},
                "priceUsd": price,
                "liquidity": {"usd": usd},
            }
            for price, usd in pools
        ]
        heard = parse(msgspec.json.encode(pairs).decode())
        assert heard == [Trade("M", "0.0030"), Trade("M#liquidity", "100000")]
