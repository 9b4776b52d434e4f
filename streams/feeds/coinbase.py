"""Coinbase: Exchange matches, with the heartbeat channel for life.

In        `match`, `ticker`, `last_match`, `heartbeat`, `subscriptions` and `error` frames.
Out       trades by trade id, in decimal text; `last_match` is history.
Why       the server closes a line that has not subscribed in 5 s; unknown types are to be ignored.
"""

from collections.abc import Sequence

import msgspec

from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, History, Trade, Venue
from streams.feeds.wire import moment_from_rfc3339, read, sequence


class _Frame(msgspec.Struct, frozen=True):
    type: str
    message: str = ""
    reason: str = ""


class _Match(msgspec.Struct, frozen=True):
    product_id: str
    trade_id: int
    price: str
    time: str


class _Ticker(msgspec.Struct, frozen=True):
    trade_id: int | None = None  # Absent in an auction, where the price is only indicative.


_FRAME = msgspec.json.Decoder(_Frame)
_MATCH = msgspec.json.Decoder(_Match)
_TICKER = msgspec.json.Decoder(_Ticker)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    told = read(frame, _FRAME)
    match told.type:
        case "match":
            return (_trade(frame),)
        case "ticker":
            return ALIVE if read(frame, _TICKER).trade_id is None else (_trade(frame),)
        case "last_match":
            return (History(1),)
        case "subscriptions":
            return (Accepted(),)
        case "error":
            words = ": ".join(filter(None, (told.message, told.reason)))
            product, named, _ = told.reason.partition(" is not a valid product")
            return (Denied(words, symbol=product if named else None),)
        case _:
            return ALIVE


def _trade(frame: str) -> Trade:
    match = read(frame, _MATCH)
    at = moment_from_rfc3339(match.time)
    return Trade(match.product_id, match.price, sequence(match.trade_id), at)


def _ask(kind: str, symbols: Sequence[str]) -> str:
    channels = ["matches", "heartbeat"]
    asked = {"type": kind, "product_ids": list(symbols), "channels": channels}
    return msgspec.json.encode(asked).decode()


COINBASE = Venue(
    name="coinbase",
    default_url="wss://ws-feed.exchange.coinbase.com",
    subscribe=lambda symbols, _request: _ask("subscribe", symbols),
    unsubscribe=lambda symbols, _request: _ask("unsubscribe", symbols),
    parse=parse,
    symbol=lambda coin: f"{coin}-USD",
    attempts=Attempts(count=4, window_ms=1_000),
    beats=True,
    send_gap_ms=150,  # 8 requests/s an address.
)
