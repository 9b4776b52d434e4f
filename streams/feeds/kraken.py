"""Kraken: websocket v2 trades.

In        `trade` updates and snapshots, `heartbeat`, `status`, acks (one a symbol), pongs, errors.
Out       trades by trade id; snapshots are history.
Why       prices are JSON numbers: the digits are taken as they stand in the frame.
"""

from collections.abc import Sequence

import msgspec

from rooms.refusal import must
from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, History, Trade, Venue
from streams.feeds.wire import moment_from_rfc3339, read, sequence


class _Frame(msgspec.Struct, frozen=True):
    channel: str | None = None
    type: str | None = None
    method: str | None = None
    success: bool | None = None
    error: str | None = None
    problem: str | None = msgspec.field(name="Error", default=None)
    symbol: str | None = None
    req_id: int | None = None


class _Trade(msgspec.Struct, frozen=True):
    symbol: str
    price: msgspec.Raw
    trade_id: int
    timestamp: str


class _Trades(msgspec.Struct, frozen=True):
    data: list[_Trade]


_FRAME = msgspec.json.Decoder(_Frame)
_TRADES = msgspec.json.Decoder(_Trades)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    told = read(frame, _FRAME)
    problem = told.error or told.problem
    if problem is not None or told.success is False:
        return (Denied(problem or "refused", request=told.req_id, symbol=told.symbol),)
    if told.method is not None:
        return (Accepted(),) if told.method == "subscribe" else ALIVE
    if told.channel != "trade":
        return ALIVE
    must(told.type in ("update", "snapshot"), "a trade frame is an update or a snapshot")
    trades = read(frame, _TRADES).data
    if told.type == "snapshot":
        return (History(len(trades)),)
    return [
        Trade(
            trade.symbol,
            bytes(trade.price).decode(),
            sequence(trade.trade_id),
            moment_from_rfc3339(trade.timestamp),
        )
        for trade in trades
    ]


def _ask(method: str, symbols: Sequence[str], request: int) -> str:
    params: dict[str, object] = {"channel": "trade", "symbol": list(symbols)}
    if method == "subscribe":
        params["snapshot"] = False
    return msgspec.json.encode({"method": method, "params": params, "req_id": request}).decode()


KRAKEN = Venue(
    name="kraken",
    default_url="wss://ws.kraken.com/v2",
    subscribe=lambda symbols, request: _ask("subscribe", symbols, request),
    unsubscribe=lambda symbols, request: _ask("unsubscribe", symbols, request),
    parse=parse,
    symbol=lambda coin: f"{coin}/USD",
    attempts=Attempts(count=100, window_ms=600_000),
    beats=True,
)
