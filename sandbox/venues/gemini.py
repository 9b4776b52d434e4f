"""Gemini's market data v2, as its documents say: a book with older trades first, then trades.

In        subscribe and unsubscribe of ``l2`` with symbols.
Out       `l2_updates` as the answer, `trade` after it, `heartbeat` every 5 s, errors.
"""

import json
import re
from collections.abc import Iterable

from sandbox.venues.market import Trade
from sandbox.venues.session import (
    Act,
    Cut,
    Place,
    PlainSession,
    Say,
    Session,
    Spoken,
    Told,
    compact,
    object_of,
    text_of,
    texts_of,
)

TRADES = "l2"
HISTORY = 2
_TIME = re.compile(r'("timestamp":)(\d{13})(?!\d)')
_ID = re.compile(r'("event_id":)(\d+)')


class GeminiSession(PlainSession):
    """One client of the public socket."""

    def __init__(self, place: Place, now: int) -> None:
        super().__init__(place, now)
        self._beat_at = now

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a subscription with the book."""
        asked = object_of(text)
        if asked is None:
            yield _error("InvalidJson", "The request is not JSON")
            return
        kind, wanted = asked.get("type"), asked.get("subscriptions")
        if kind not in ("subscribe", "unsubscribe") or not isinstance(wanted, list):
            yield _error("InvalidSubscription", "Type is subscribe or unsubscribe")
            return
        for each in wanted:
            fields = each if isinstance(each, dict) else {}
            symbols = texts_of(fields, "symbols")
            if text_of(fields, "name") != TRADES or not symbols:
                yield _error("InvalidSubscription", "Name l2 and symbols")
                continue
            unknown = [symbol for symbol in symbols if not self._place.knows(symbol)]
            if unknown:
                yield _error("InvalidSymbol", f"'{unknown[0]}' is not a valid symbol")
                continue
            for symbol in symbols:
                if kind == "subscribe":
                    self.subscribed.add((TRADES, symbol))
                    yield Say(self._book(symbol, now))
                else:
                    self.subscribed.discard((TRADES, symbol))

    def passed(self, now: int) -> Iterable[Act]:
        """Beat, and leave who has been here too long."""
        rules = self._place.rules
        if now - self._opened_at >= rules.lifetime_ms:
            yield Cut(1001, "24 hours")
        elif now - self._beat_at >= rules.gemini_heartbeat_ms:
            self._beat_at = now
            yield Say(compact({"type": "heartbeat", "timestamp": now}))

    def _book(self, symbol: str, now: int) -> str:
        recent = self._place.recent(symbol, now, HISTORY)
        changes = [["buy", trade.price, trade.quantity] for trade in recent]
        trades = [_trade(symbol, trade) for trade in reversed(recent)]
        return compact(
            {"type": "l2_updates", "symbol": symbol, "changes": changes, "trades": trades}
        )


def _error(reason: str, message: str) -> Say:
    return Say(compact({"result": "error", "reason": reason, "message": message}))


def _symbol(coin: str) -> str:
    return f"{coin}USD"


def _trade(symbol: str, trade: Trade) -> dict[str, object]:
    return {
        "type": "trade",
        "symbol": symbol,
        "event_id": trade.number,
        "timestamp": trade.at,
        "price": trade.price,
        "quantity": trade.quantity,
        "side": "buy" if trade.is_buy else "sell",
    }


def _publish(trade: Trade, now: int) -> Told:
    del now
    symbol = _symbol(trade.coin)
    return Told(TRADES, symbol, compact(_trade(symbol, trade)))


def _describe(frame: str) -> Told | None:
    told = json.loads(frame)
    return Told(TRADES, told["symbol"], frame) if told.get("type") == "trade" else None


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    moved = _TIME.sub(lambda found: f"{found[1]}{int(found[2]) + shift_ms}", text)
    return _ID.sub(lambda found: f"{found[1]}{int(found[2]) + id_shift}", moved)


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return GeminiSession(place, now)


GEMINI = Spoken(
    name="gemini",
    paths=("/gemini/v2/marketdata",),
    symbol=_symbol,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
)
