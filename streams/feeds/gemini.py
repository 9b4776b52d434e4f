"""Gemini: market data v2, of which the trades are read.

In        `l2_updates` (the first one of a symbol answers the subscription and carries older
          trades), `trade`, `heartbeat` every 5 s, errors.
Out       trades by event id, in decimal text; what came with the book is history.
Why       there is no channel of trades alone: they come beside the book's changes.
"""

import re
from collections.abc import Sequence

import msgspec

from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, History, Trade, Venue
from streams.feeds.wire import moment, read, sequence

_QUOTED = re.compile(r"'([A-Z0-9]{3,20})'", re.ASCII)


class _Frame(msgspec.Struct, frozen=True):
    type: str | None = None
    result: str | None = None
    reason: str = ""
    message: str = ""


class _Trade(msgspec.Struct, frozen=True):
    symbol: str
    event_id: int
    price: str
    timestamp: int


class _Book(msgspec.Struct, frozen=True):
    trades: list[_Trade] | None = None


_FRAME = msgspec.json.Decoder(_Frame)
_TRADE = msgspec.json.Decoder(_Trade)
_BOOK = msgspec.json.Decoder(_Book)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    told = read(frame, _FRAME)
    if told.result == "error":
        named = _QUOTED.search(told.message)
        words = ": ".join(filter(None, (told.reason, told.message)))
        return (Denied(words or "refused", symbol=named[1] if named else None),)
    match told.type:
        case "trade":
            trade = read(frame, _TRADE)
            at = moment(trade.timestamp)
            return (Trade(trade.symbol, trade.price, sequence(trade.event_id), at),)
        case "l2_updates":
            trades = read(frame, _BOOK).trades
            # Only the first frame of a symbol has the list, empty or not.
            return ALIVE if trades is None else (Accepted(), History(len(trades)))
        case _:
            return ALIVE


def _ask(kind: str, symbols: Sequence[str]) -> str:
    asked = {"type": kind, "subscriptions": [{"name": "l2", "symbols": list(symbols)}]}
    return msgspec.json.encode(asked).decode()


GEMINI = Venue(
    name="gemini",
    default_url="wss://api.gemini.com/v2/marketdata",
    subscribe=lambda symbols, _request: _ask("subscribe", symbols),
    unsubscribe=lambda symbols, _request: _ask("unsubscribe", symbols),
    parse=parse,
    symbol=lambda coin: f"{coin}USD",
    attempts=Attempts(count=10, window_ms=60_000),
)
