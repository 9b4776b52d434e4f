"""DexScreener: what a token costs in each of its pools on Solana, and what lies in them.

In        `tokens/v1/solana`: a list of pairs in no order that means anything.
Out       the price at which half of the liquidity lies, of pools deep enough; all they hold.
Why       the first pair of the list may be a pool of a few dollars, or have the token as its
          quote. No pair has a time: the moment of the answer stands in, less its age in a cache.
"""

from collections.abc import Iterable, Sequence

import msgspec

from rooms.decimal_text import text_from_whole, whole_from_text
from streams.feeds.poll import LIQUIDITY, Ask, Poll, plain
from streams.feeds.venue import Heard, Trade
from streams.feeds.wire import ABSENT, cut_to, is_told, plain_number, read

CHAIN = "solana"
CENTS = 2
LIQUIDITY_CENTS_MIN = 10_000_00
"""A pool with less than $10,000 in it says nothing: it costs too little to move."""


class _Token(msgspec.Struct, frozen=True):
    address: str


class _Liquidity(msgspec.Struct, frozen=True):
    usd: msgspec.Raw = ABSENT


class _Pair(msgspec.Struct, frozen=True):
    chain: str = msgspec.field(name="chainId")
    base: _Token = msgspec.field(name="baseToken")
    price: str | None = msgspec.field(name="priceUsd", default=None)
    liquidity: _Liquidity | None = None


_PAIRS = msgspec.json.Decoder(list[_Pair])


def parse(answer: str) -> Sequence[Heard]:
    """Say what one answer means."""
    pools: dict[str, list[tuple[str, int]]] = {}
    for pair in read(answer, _PAIRS):
        cents = _cents(pair.liquidity)
        if pair.chain == CHAIN and pair.price is not None and cents >= LIQUIDITY_CENTS_MIN:
            pools.setdefault(pair.base.address, []).append((pair.price, cents))
    heard: list[Heard] = []
    for mint, deep in pools.items():
        heard.append(Trade(mint, _weighted_median(deep)))
        whole = text_from_whole(sum(cents for _, cents in deep), CENTS)
        heard.append(Trade(mint + LIQUIDITY, whole))
    return heard


def _cents(liquidity: _Liquidity | None) -> int:
    if liquidity is None or not is_told(liquidity.usd):
        return 0
    return whole_from_text(cut_to(plain_number(liquidity.usd), CENTS), CENTS)


def _weighted_median(pools: Iterable[tuple[str, int]]) -> str:
    ordered = sorted((whole_from_text(price, 30), cents, price) for price, cents in pools)
    half, below = sum(cents for _, cents, _ in ordered), 0
    for _, cents, price in ordered:
        below += 2 * cents
        if below >= half:
            return price
    raise AssertionError("half of the liquidity lies at or below the highest price")


DEXSCREENER = Poll(
    name="dexscreener",
    default_url="https://api.dexscreener.com",
    ask=lambda symbols: Ask(f"/tokens/v1/{CHAIN}/{','.join(plain(symbols))}"),
    parse=parse,
    every_ms=1_000,  # 300 a minute.
    symbols_per_request=30,
)
