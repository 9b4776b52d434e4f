"""PumpPortal: trades on pump.fun's bonding curves, as they happen.

In        trades with the curve's reserves after them, migrations, answers in plain words.
Out       prices in SOL, virtual SOL by virtual tokens; no number and no time: a trade is known by
          its transaction, and the moment of its receipt stands in.
Why       a second connection from one address is banned for an hour, so there is only ever one;
          trades are told to a key with a funded wallet alone.
"""

from collections.abc import Sequence

import msgspec

from rooms.decimal_text import text_from_whole, whole_from_text
from rooms.refusal import must
from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, Key, Trade, Venue
from streams.feeds.wire import plain_number, read

CURVE = "pump"
_PLACES = 18
_YEAR_MS = 365 * 86_400_000
_TAKEN = ("Successfully subscribed", "Subscribed to", "Successfully unsubscribed")


class _Frame(msgspec.Struct, frozen=True):
    kind: str | None = msgspec.field(name="txType", default=None)
    message: str | None = None
    errors: str | None = None
    mint: str = ""
    pool: str = ""


class _Trade(msgspec.Struct, frozen=True):
    signature: str
    mint: str
    tokens: msgspec.Raw = msgspec.field(name="vTokensInBondingCurve")
    sol: msgspec.Raw = msgspec.field(name="vSolInBondingCurve")


_FRAME = msgspec.json.Decoder(_Frame)
_TRADE = msgspec.json.Decoder(_Trade)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    told = read(frame, _FRAME)
    answer = told.errors or told.message
    if answer is not None:
        return (Accepted(),) if answer.startswith(_TAKEN) else (Denied(answer),)
    match told.kind:
        case "buy" | "sell" | "create" if told.pool == CURVE:
            return (_trade(read(frame, _TRADE)),)
        case "migrate":
            return (Denied("has left its curve for a pool", symbol=told.mint),)
        case _:
            return ALIVE


def _trade(trade: _Trade) -> Trade:
    sol = whole_from_text(plain_number(trade.sol), _PLACES)
    tokens = whole_from_text(plain_number(trade.tokens), _PLACES)
    must(tokens > 0, "a curve holds tokens")
    price = text_from_whole(sol * 10**_PLACES // tokens, _PLACES)
    must(bool(trade.signature), "a trade has a transaction")
    return Trade(trade.mint, price, mark=trade.signature)


def _ask(method: str, symbols: Sequence[str]) -> str:
    return msgspec.json.encode({"method": method, "keys": list(symbols)}).decode()


PUMPPORTAL = Venue(
    name="pumpportal",
    default_url="wss://pumpportal.fun/api/data",
    subscribe=lambda symbols, _request: _ask("subscribeTokenTrade", symbols),
    unsubscribe=lambda symbols, _request: _ask("unsubscribeTokenTrade", symbols),
    parse=parse,
    attempts=Attempts(count=5, window_ms=60_000),
    stream_silence_ms=600_000,
    lifetime_ms=_YEAR_MS,  # It promises no end, and two lines at once are too many.
    is_alone=True,
    computes=True,
    key=Key(query="api-key"),
    quote="SOL",
)
