"""Bitstamp: live trades, one channel a pair.

In        `trade` events, acks (one a channel), errors, heartbeats, requests to reconnect.
Out       trades by id at match time (``microtimestamp``), in decimal text (``price_str``).
Why       `price` is a JSON number beside its own text: the text is what Bitstamp quotes.
"""

from collections.abc import Sequence

import msgspec

from rooms.refusal import must
from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, Leave, Trade, Venue
from streams.feeds.wire import moment_from_us, read, sequence

_CHANNEL = "live_trades_"


class _Frame(msgspec.Struct, frozen=True):
    event: str
    channel: str = ""


class _Told(msgspec.Struct, frozen=True):
    message: str = ""


class _Error(msgspec.Struct, frozen=True):
    data: _Told


class _Trade(msgspec.Struct, frozen=True):
    trade_id: int = msgspec.field(name="id")
    price: str = msgspec.field(name="price_str")
    matched_at: str = msgspec.field(name="microtimestamp")


class _TradeFrame(msgspec.Struct, frozen=True):
    data: _Trade


_FRAME = msgspec.json.Decoder(_Frame)
_ERROR = msgspec.json.Decoder(_Error)
_TRADE = msgspec.json.Decoder(_TradeFrame)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    told = read(frame, _FRAME)
    match told.event:
        case "trade":
            must(told.channel.startswith(_CHANNEL), "a trade belongs to its channel")
            symbol, trade = told.channel.removeprefix(_CHANNEL), read(frame, _TRADE).data
            at = moment_from_us(trade.matched_at)
            return (Trade(symbol, trade.price, sequence(trade.trade_id), at),)
        case "bts:subscription_succeeded":
            return (Accepted(),)
        case "bts:error":
            symbol = told.channel.removeprefix(_CHANNEL)
            return (Denied(read(frame, _ERROR).data.message or "refused", symbol=symbol or None),)
        case "bts:request_reconnect":
            return (Leave("asked to reconnect"),)
        case _:
            return ALIVE


def _ask(event: str, symbols: Sequence[str]) -> str:
    asked = {"event": event, "data": {"channel": _CHANNEL + symbols[0]}}
    return msgspec.json.encode(asked).decode()


BITSTAMP = Venue(
    name="bitstamp",
    default_url="wss://ws.bitstamp.net",
    subscribe=lambda symbols, _request: _ask("bts:subscribe", symbols),
    unsubscribe=lambda symbols, _request: _ask("bts:unsubscribe", symbols),
    parse=parse,
    symbol=lambda coin: f"{coin.lower()}usd",
    attempts=Attempts(count=10, window_ms=60_000),
    probe=lambda _request: '{"event":"bts:heartbeat"}',
    send_gap_ms=50,
    symbols_per_request=1,
)
