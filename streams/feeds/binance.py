"""Binance: spot aggregate trades over the combined stream.

In        `aggTrade` frames, wrapped in ``{"stream", "data"}`` or bare; acks; `serverShutdown`.
Out       trades by aggregate id at match time (``T``), in decimal text.
Why       `bookTicker` has neither event type nor time; an unknown stream is accepted and silent.
"""

from collections.abc import Sequence

import msgspec

from rooms.refusal import must
from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, Leave, Trade, Venue
from streams.feeds.wire import moment, read, sequence

_ABSENT = msgspec.Raw()


class _Frame(msgspec.Struct, frozen=True):
    stream: str | None = None
    data: msgspec.Raw = _ABSENT
    event: str | None = msgspec.field(name="e", default=None)
    id: int | str | None = None
    code: int | None = None
    msg: str = ""
    result: msgspec.Raw = _ABSENT


class _Event(msgspec.Struct, frozen=True):
    event: str | None = msgspec.field(name="e", default=None)


class _AggTrade(msgspec.Struct, frozen=True):
    symbol: str = msgspec.field(name="s")
    trade_id: int = msgspec.field(name="a")
    price: str = msgspec.field(name="p")
    matched_at: int = msgspec.field(name="T")


_FRAME = msgspec.json.Decoder(_Frame)
_EVENT = msgspec.json.Decoder(_Event)
_AGG_TRADE = msgspec.json.Decoder(_AggTrade)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    told = read(frame, _FRAME)
    if told.code is not None:
        request = told.id if isinstance(told.id, int) else None
        return (Denied(f"{told.code} {told.msg}", request=request),)
    if told.id is not None and bytes(told.result):
        return (Accepted(),)
    is_wrapped = bool(bytes(told.data))
    kind = read(told.data, _EVENT).event if is_wrapped else told.event
    if kind == "serverShutdown":
        return (Leave("server shutdown"),)
    if kind != "aggTrade":
        return ALIVE
    trade = read(told.data if is_wrapped else frame, _AGG_TRADE)
    if is_wrapped:
        must(told.stream == _stream(trade.symbol), "a wrapped trade belongs to its stream")
    return (Trade(trade.symbol, trade.price, sequence(trade.trade_id), moment(trade.matched_at)),)


def _stream(symbol: str) -> str:
    return f"{symbol.lower()}@aggTrade"


def _ask(method: str, symbols: Sequence[str], request: int) -> str:
    streams = [_stream(symbol) for symbol in symbols]
    return msgspec.json.encode({"method": method, "params": streams, "id": request}).decode()


BINANCE = Venue(
    name="binance",
    default_url="wss://stream.binance.com:9443/stream",
    subscribe=lambda symbols, request: _ask("SUBSCRIBE", symbols, request),
    unsubscribe=lambda symbols, request: _ask("UNSUBSCRIBE", symbols, request),
    parse=parse,
    quote="USDT",
    symbol=lambda coin: f"{coin}USDT",
    # 300 in 5 min an address, and 5 messages/s a connection, our pings and pongs included.
    attempts=Attempts(count=100, window_ms=300_000),
    send_gap_ms=334,
    symbols_max=1_024,
)
