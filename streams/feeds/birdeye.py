"""Birdeye: a token's price on Solana's exchanges, in candles that change while they last.

In        `PRICE_DATA` candles, the greeting, errors.
Out       a candle's closing price so far. A candle has only its beginning: its price is of the
          moment of its receipt, or of its end when that is past.
Why       a subscription replaces the one before it, so all symbols are asked for at once.
"""

from collections.abc import Sequence

import msgspec

from rooms.refusal import must
from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, Key, Trade, Venue
from streams.feeds.wire import moment, plain_number, read

GREETING = "WELCOME"
CANDLE = "1m"
CANDLE_S = 60


class _Frame(msgspec.Struct, frozen=True):
    type: str = ""
    message: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _Candle(msgspec.Struct, frozen=True):
    address: str
    close: msgspec.Raw = msgspec.field(name="c")
    begun_s: int = msgspec.field(name="unixTime")
    length: str = msgspec.field(name="type")


_FRAME = msgspec.json.Decoder(_Frame)
_CANDLE = msgspec.json.Decoder(_Candle)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    if frame == GREETING:
        return ALIVE
    told = read(frame, _FRAME)
    match told.type:
        case "PRICE_DATA":
            candle = read(told.data, _CANDLE)
            must(candle.length == CANDLE, "a candle is of the length that was asked for")
            ends_at = moment((candle.begun_s + CANDLE_S) * 1000)
            price = plain_number(candle.close)
            return (Accepted(), Trade(candle.address, price, latest_at=ends_at))
        case "ERROR":
            return (Denied(told.message or bytes(told.data).decode() or "refused"),)
        case _:
            return ALIVE


def _subscribe(symbols: Sequence[str], request: int) -> str:
    del request
    rest = f"AND chartType = {CANDLE} AND currency = usd)"
    query = " OR ".join(f"(address = {symbol} {rest}" for symbol in symbols)
    asked = {"type": "SUBSCRIBE_PRICE", "data": {"queryType": "complex", "query": query}}
    return msgspec.json.encode(asked).decode()


BIRDEYE = Venue(
    name="birdeye",
    default_url="wss://public-api.birdeye.so/socket/solana",
    subscribe=_subscribe,
    unsubscribe=lambda _symbols, _request: '{"type":"UNSUBSCRIBE_PRICE"}',
    parse=parse,
    attempts=Attempts(count=20, window_ms=60_000),
    stream_silence_ms=120_000,
    symbols_per_request=100,
    symbols_max=100,
    asks_for_all=True,
    computes=True,
    key=Key(query="x-api-key"),
    headers={"Origin": "ws://public-api.birdeye.so"},
    subprotocol="echo-protocol",
)
