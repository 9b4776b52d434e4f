"""Bitstamp, as its documents say: one channel a message, heartbeats on request.

In        `bts:subscribe` and `bts:unsubscribe` of a channel, `bts:heartbeat`.
Out       acks by channel, `trade` events, `bts:error` for what is malformed, the request to
          reconnect before a close. A channel that is unknown is acknowledged and stays silent.
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
)

TRADES = "live_trades"
_TIME = re.compile(r'("timestamp":")(\d+)"')
_TIME_US = re.compile(r'("microtimestamp":")(\d+)"')
_ID = re.compile(r'("id":)(\d+)')


class BitstampSession(PlainSession):
    """One client of the public socket."""

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a subscription or a heartbeat."""
        del now
        asked = object_of(text)
        if asked is None:
            yield _error("Incorrect JSON format.")
            return
        data = asked.get("data")
        channel, _, pair = text_of(data if isinstance(data, dict) else {}, "channel").rpartition(
            "_"
        )
        match asked.get("event"):
            case "bts:heartbeat":
                yield _event("bts:heartbeat", "", {"status": "success"})
            case "bts:subscribe" if channel:
                self.subscribed.add((channel, pair))
                yield _event("bts:subscription_succeeded", f"{channel}_{pair}", {})
            case "bts:unsubscribe" if channel:
                self.subscribed.discard((channel, pair))
                yield _event("bts:unsubscription_succeeded", f"{channel}_{pair}", {})
            case _:
                yield _error("Bad subscription string.")

    def passed(self, now: int) -> Iterable[Act]:
        """Leave who has been here too long."""
        if now - self._opened_at >= self._place.rules.lifetime_ms:
            yield Cut(1001, "maximum connection age")

    def closing_soon(self, now: int) -> Iterable[Act]:
        """Ask to reconnect."""
        del now
        yield _event("bts:request_reconnect", "", "")


def _event(event: str, channel: str, data: object) -> Say:
    return Say(compact({"event": event, "channel": channel, "data": data}))


def _error(message: str) -> Say:
    return _event("bts:error", "", {"code": None, "message": message})


def _symbol(coin: str) -> str:
    return f"{coin.lower()}usd"


def _publish(trade: Trade, now: int) -> Told:
    del now
    symbol = _symbol(trade.coin)
    row = {
        "id": trade.number,
        "timestamp": str(trade.at // 1000),
        "amount": float(trade.quantity),
        "amount_str": trade.quantity,
        "price": float(trade.price),
        "price_str": trade.price,
        "type": 0 if trade.is_buy else 1,
        "microtimestamp": f"{trade.at}000",
        "buy_order_id": trade.number + 1,
        "sell_order_id": trade.number + 2,
    }
    told = {"data": row, "channel": f"{TRADES}_{symbol}", "event": "trade"}
    return Told(TRADES, symbol, compact(told))


def _describe(frame: str) -> Told | None:
    told = json.loads(frame)
    if told.get("event") != "trade":
        return None
    channel, _, pair = text_of(told, "channel").rpartition("_")
    return Told(channel, pair, frame)


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    moved = _TIME.sub(lambda found: f'{found[1]}{int(found[2]) + shift_ms // 1000}"', text)
    moved = _TIME_US.sub(lambda found: f'{found[1]}{int(found[2]) + shift_ms * 1000}"', moved)
    return _ID.sub(lambda found: f"{found[1]}{int(found[2]) + id_shift}", moved)


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return BitstampSession(place, now)


BITSTAMP = Spoken(
    name="bitstamp",
    paths=("/bitstamp",),
    symbol=_symbol,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
)
