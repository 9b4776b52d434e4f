"""CoinGecko: a coin's price over many exchanges, and how many of it circulate.

In        `coins/markets`: a list of coins.
Out       prices at the time of their last update; the circulating supply.
Why       its market cap is left out, and so are total and fully diluted figures: a market cap
          here is always a price times one known supply.
"""

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from streams.feeds.poll import CIRCULATING, Ask, Poll, plain
from streams.feeds.venue import Heard, Key, Trade
from streams.feeds.wire import (
    ABSENT,
    is_told,
    moment_from_rfc3339,
    plain_number,
    read,
    sequence,
)


class _Coin(msgspec.Struct, frozen=True):
    id: str
    last_updated: str | None = None
    price: msgspec.Raw = msgspec.field(name="current_price", default=ABSENT)
    circulating: msgspec.Raw = msgspec.field(name="circulating_supply", default=ABSENT)


_COINS = msgspec.json.Decoder(list[_Coin])


def parse(answer: str) -> Sequence[Heard]:
    """Say what one answer means."""
    heard: list[Heard] = []
    for coin in read(answer, _COINS):
        if coin.last_updated is None:
            continue  # Of unknown age.
        at = moment_from_rfc3339(coin.last_updated)
        for behind, told in (("", coin.price), (CIRCULATING, coin.circulating)):
            if is_told(told):
                heard.append(Trade(coin.id + behind, plain_number(told), sequence(at), at))
    return heard


def _ask(symbols: Sequence[str]) -> Ask:
    wanted = {"vs_currency": "usd", "ids": ",".join(plain(symbols)), "precision": "full"}
    return Ask("/api/v3/coins/markets?" + urlencode(wanted, safe=","))


COINGECKO = Poll(
    name="coingecko",
    default_url="https://api.coingecko.com",
    ask=_ask,
    parse=parse,
    every_ms=20_000,  # 30 a minute and 10,000 a month of the free key; answers are cached for 60 s.
    symbols_per_request=100,
    key=Key(header="x-cg-demo-api-key", elsewhere={"pro-api.coingecko.com": "x-cg-pro-api-key"}),
)
