"""Bybit: v5 spot public trades.

In        `publicTrade` pushes, acks (one a request), refusals, and pongs.
Out       trades by trade id, in decimal text; block trades (``BT``) are left out.
Why       a block trade is agreed off the book, so it says nothing about the market's price.
"""

from collections.abc import Sequence

import msgspec

from rooms.refusal import must
from streams.feeds.venue import ALIVE, Accepted, Alive, Attempts, Denied, Heard, Trade, Venue
from streams.feeds.wire import moment, read, request_number, sequence

_TOPIC = "publicTrade."


class _Frame(msgspec.Struct, frozen=True):
    topic: str | None = None
    success: bool | None = None
    op: str | None = None
    ret_msg: str = ""
    req_id: str = ""


class _Trade(msgspec.Struct, frozen=True):
    symbol: str = msgspec.field(name="s")
    trade_id: str = msgspec.field(name="i")
    price: str = msgspec.field(name="p")
    matched_at: int = msgspec.field(name="T")
    off_book: bool = msgspec.field(name="BT", default=False)


class _Trades(msgspec.Struct, frozen=True):
    data: list[_Trade]


_FRAME = msgspec.json.Decoder(_Frame)
_TRADES = msgspec.json.Decoder(_Trades)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    told = read(frame, _FRAME)
    if told.success is False:
        return (Denied(told.ret_msg, request=request_number(told.req_id)),)
    if told.op is not None:
        return (Accepted(),) if told.op == "subscribe" else ALIVE
    if told.topic is None or not told.topic.startswith(_TOPIC):
        return ALIVE
    return [_heard(trade, told.topic) for trade in read(frame, _TRADES).data]


def _heard(trade: _Trade, topic: str) -> Heard:
    must(topic == _TOPIC + trade.symbol, "a trade belongs to its topic")
    if trade.off_book:
        return Alive()
    return Trade(trade.symbol, trade.price, sequence(trade.trade_id), moment(trade.matched_at))


def _ask(op: str, symbols: Sequence[str], request: int) -> str:
    args = [_TOPIC + symbol for symbol in symbols]
    return msgspec.json.encode({"req_id": str(request), "op": op, "args": args}).decode()


BYBIT = Venue(
    name="bybit",
    default_url="wss://stream.bybit.com/v5/public/spot",
    subscribe=lambda symbols, request: _ask("subscribe", symbols, request),
    unsubscribe=lambda symbols, request: _ask("unsubscribe", symbols, request),
    parse=parse,
    quote="USDT",
    symbol=lambda coin: f"{coin}USDT",
    attempts=Attempts(count=100, window_ms=300_000),
    probe=lambda request: msgspec.json.encode({"req_id": str(request), "op": "ping"}).decode(),
    probe_always_ms=20_000,
    symbols_per_request=10,
    symbols_max=700,  # All arguments of a connection together: 21,000 characters.
)
