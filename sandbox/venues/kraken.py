"""Kraken v2, as its documents say: a status first, an ack a symbol, prices as JSON numbers.

In        subscribe, unsubscribe, ping; ``snapshot: true`` asks for the last trades.
Out       acks, snapshots, updates, and a heartbeat each second in which nothing else was said.
"""

import json
import re
from collections.abc import Iterable, Mapping

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
    rfc3339,
    shift_rfc3339,
    text_of,
    texts_of,
)

CONNECTION_ID = 6_447_481_662_169_813_000  # Above 2^53, as theirs are.
CHANNELS = ("trade", "ticker", "book", "ohlc")
SNAPSHOT_TRADES = 50
_TIME = re.compile(r'("timestamp":")([^"]+Z)"')
_ID = re.compile(r'("trade_id":)(\d+)')


class KrakenSession(PlainSession):
    """One client of the v2 socket."""

    def __init__(self, place: Place, now: int) -> None:
        super().__init__(place, now)
        self._said_at = now

    def opened(self, now: int) -> Iterable[Act]:
        """Tell the system's status."""
        self._said_at = now
        status = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": CONNECTION_ID,
        }
        yield Say(compact({"channel": "status", "type": "update", "data": [status]}))

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a request."""
        self._said_at = now
        asked = object_of(text)
        if asked is None or not text_of(asked, "method"):
            yield Say(_reply("", None, now, error="Malformed request"))
            return
        method, number = text_of(asked, "method"), asked.get("req_id")
        params = asked.get("params")
        if method == "ping":
            yield Say(_reply("pong", number, now))
        elif method in ("subscribe", "unsubscribe") and isinstance(params, dict):
            yield from self._subscription(method, params, number, now)
        else:
            yield Say(_reply(method, number, now, error="Unsupported method"))

    def told(self, told: Told, now: int) -> Iterable[Act]:
        """Pass it on."""
        self._said_at = now
        yield Say(told.text)

    def passed(self, now: int) -> Iterable[Act]:
        """Beat when nothing else was said."""
        if now - self._opened_at >= self._place.rules.lifetime_ms:
            yield Cut(1006, "")
        elif self.subscribed and now - self._said_at >= self._place.rules.heartbeat_ms:
            self._said_at = now
            yield Say('{"channel":"heartbeat"}')

    def closing_soon(self, now: int) -> Iterable[Act]:
        """Tell that maintenance begins."""
        del now
        yield Say(
            compact({"channel": "status", "type": "update", "data": [{"system": "maintenance"}]})
        )

    def _subscription(
        self, method: str, params: Mapping[str, object], number: object, now: int
    ) -> Iterable[Act]:
        channel = text_of(params, "channel")
        for symbol in texts_of(params, "symbol"):
            if channel not in CHANNELS:
                error = f"Channel not supported {channel}"
                yield Say(_reply(method, number, now, error=error, symbol=symbol))
                continue
            if not self._place.knows(symbol):
                error = f"Currency pair not supported {symbol}"
                yield Say(_reply(method, number, now, error=error, symbol=symbol))
                continue
            result: dict[str, object] = {"channel": channel, "symbol": symbol}
            if method == "subscribe":
                result["snapshot"] = params.get("snapshot") is True
                self.subscribed.add((channel, symbol))
            else:
                self.subscribed.discard((channel, symbol))
            yield Say(_reply(method, number, now, result=result))
            if result.get("snapshot") and channel == "trade":
                yield Say(_trades("snapshot", self._place.recent(symbol, now, SNAPSHOT_TRADES)))


def _reply(
    method: str,
    number: object,
    now: int,
    *,
    result: Mapping[str, object] | None = None,
    error: str = "",
    symbol: str = "",
) -> str:
    told: dict[str, object] = {"method": method}
    if error:
        told |= {"error": error, "success": False}
    elif result is not None:
        told |= {"result": result, "success": True}
    if symbol:
        told["symbol"] = symbol
    if number is not None:
        told["req_id"] = number
    return compact(told | {"time_in": rfc3339(now, 120), "time_out": rfc3339(now, 169)})


def _symbol(coin: str) -> str:
    return f"{coin}/USD"


def _trades(kind: str, trades: Iterable[Trade]) -> str:
    # Written by hand: a JSON number keeps the digits of the text it is made from.
    told = ",".join(
        f'{{"symbol":"{_symbol(trade.coin)}","side":"{"buy" if trade.is_buy else "sell"}",'
        f'"price":{trade.price},"qty":{trade.quantity},"ord_type":"market",'
        f'"trade_id":{trade.number},"timestamp":"{rfc3339(trade.at, 706)}"}}'
        for trade in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{told}]}}'


def _publish(trade: Trade, now: int) -> Told:
    del now
    return Told("trade", _symbol(trade.coin), _trades("update", [trade]))


def _describe(frame: str) -> Told | None:
    told = json.loads(frame)
    rows = told.get("data") if isinstance(told, dict) else None
    if not isinstance(rows, list) or told.get("type") != "update" or "symbol" not in rows[0]:
        return None
    return Told(told["channel"], rows[0]["symbol"], frame)


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    moved = _TIME.sub(lambda found: f'{found[1]}{shift_rfc3339(found[2], shift_ms)}"', text)
    return _ID.sub(lambda found: f"{found[1]}{int(found[2]) + id_shift}", moved)


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return KrakenSession(place, now)


KRAKEN = Spoken(
    name="kraken",
    paths=("/kraken/v2",),
    symbol=_symbol,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
)
