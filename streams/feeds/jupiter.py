"""Jupiter: the price of a token's last swap, and what lies in its pools.

In        `price/v3`: an object by mint; what is unpriced is left out, not null.
Out       prices at the block of their swap; liquidity as of now.
Why       an answer has no time, but every price has a block: wrapped SOL is swapped in every block
          and asked for in every request, so the distance to its block is a price's age.
"""

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from rooms.refusal import Impossible
from streams.feeds.poll import LIQUIDITY, Ask, Poll, plain
from streams.feeds.venue import Heard, Key, Trade
from streams.feeds.wire import ABSENT, is_told, plain_number, read, sequence

YARDSTICK = "So11111111111111111111111111111111111111112"
BLOCK_MS = 400
BLOCKS_MAX = 2_000_000


class _Price(msgspec.Struct, frozen=True):
    price: msgspec.Raw = msgspec.field(name="usdPrice")
    block: int | None = msgspec.field(name="blockId", default=None)
    liquidity: msgspec.Raw = ABSENT


_PRICES = msgspec.json.Decoder(dict[str, _Price])


def parse(answer: str) -> Sequence[Heard]:
    """Say what one answer means."""
    prices = read(answer, _PRICES)
    yardstick = prices.get(YARDSTICK)
    if yardstick is None or yardstick.block is None:
        raise Impossible("wrapped SOL has a block")
    now = sequence(yardstick.block)
    heard: list[Heard] = []
    for mint, told in prices.items():
        if told.block is None:
            continue  # Of unknown age.
        age_ms = min(max(0, now - sequence(told.block)), BLOCKS_MAX) * BLOCK_MS
        heard.append(Trade(mint, plain_number(told.price), told.block, age_ms=age_ms))
        if is_told(told.liquidity):
            heard.append(Trade(mint + LIQUIDITY, plain_number(told.liquidity), now))
    return heard


def _ask(symbols: Sequence[str]) -> Ask:
    mints = dict.fromkeys([YARDSTICK, *plain(symbols)])
    return Ask("/price/v3?" + urlencode({"ids": ",".join(mints)}, safe=","))


JUPITER = Poll(
    name="jupiter",
    default_url="https://api.jup.ag",
    ask=_ask,
    parse=parse,
    every_ms=1_000,
    every_ms_keyless=2_000,
    symbols_per_request=49,  # 50, of which one is wrapped SOL.
    key=Key(header="x-api-key"),
)
