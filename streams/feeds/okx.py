"""OKX: v5 public trades.

In        `trades` pushes, acks (one an argument), errors, notices, and the bare text ``pong``.
Out       trades by trade id, in decimal text.
Why       a line whose subscription was refused still answers ``ping``: refusals are never skipped.
"""

from collections.abc import Sequence

import msgspec

from rooms.refusal import must
from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, Leave, Trade, Venue
from streams.feeds.wire import moment, read, request_number, sequence

CLOSING_SOON = "64008"


class _Arg(msgspec.Struct, frozen=True):
    channel: str = ""
    symbol: str = msgspec.field(name="instId", default="")


class _Frame(msgspec.Struct, frozen=True):
    event: str | None = None
    code: str = ""
    msg: str = ""
    id: str | None = None
    arg: _Arg | None = None


class _Trade(msgspec.Struct, frozen=True):
    symbol: str = msgspec.field(name="instId")
    trade_id: str = msgspec.field(name="tradeId")
    price: str = msgspec.field(name="px")
    matched_at: str = msgspec.field(name="ts")


class _Trades(msgspec.Struct, frozen=True):
    data: list[_Trade]


_FRAME = msgspec.json.Decoder(_Frame)
_TRADES = msgspec.json.Decoder(_Trades)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    if frame == "pong":
        return ALIVE
    told = read(frame, _FRAME)
    match told.event:
        case "subscribe":
            return (Accepted(),)
        case "error":
            return (Denied(f"{told.code} {told.msg}", request=request_number(told.id)),)
        case "notice" if told.code == CLOSING_SOON:
            return (Leave(f"{told.code} {told.msg}"),)
        case None if told.arg is not None and told.arg.channel == "trades":
            return [_heard(trade, told.arg) for trade in read(frame, _TRADES).data]
        case _:
            return ALIVE


def _heard(trade: _Trade, arg: _Arg) -> Trade:
    must(trade.symbol == arg.symbol, "a trade belongs to its subscription")
    return Trade(trade.symbol, trade.price, sequence(trade.trade_id), moment(trade.matched_at))


def _ask(op: str, symbols: Sequence[str], request: int) -> str:
    args = [{"channel": "trades", "instId": symbol} for symbol in symbols]
    return msgspec.json.encode({"id": str(request), "op": op, "args": args}).decode()


OKX = Venue(
    name="okx",
    default_url="wss://ws.okx.com:8443/ws/v5/public",
    subscribe=lambda symbols, request: _ask("subscribe", symbols, request),
    unsubscribe=lambda symbols, request: _ask("unsubscribe", symbols, request),
    parse=parse,
    quote="USDT",
    symbol=lambda coin: f"{coin}-USDT",
    attempts=Attempts(count=2, window_ms=1_000),
    probe=lambda _request: "ping",
    sends_max=400,  # 480 an hour a connection: a new line begins a new count.
)
