"""OKX v5 public, as its documents say: an ack an argument, text ping and pong, notices.

In        subscribe and unsubscribe with arguments; the bare text ``ping``.
Out       acks, the last trade first, pushes, errors by code, the notice before a close.
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
    Rate,
    Say,
    Session,
    Spoken,
    Told,
    compact,
    object_of,
    text_of,
)

CHANNELS = ("trades", "tickers", "books", "bbo-tbt")
CONNECTION_ID = "a4d3ae55"
_TIME = re.compile(r'("ts":")(\d{13})"')
_ID = re.compile(r'("tradeId":")(\d+)"')


class OkxSession(PlainSession):
    """One client of the public socket."""

    def __init__(self, place: Place, now: int) -> None:
        super().__init__(place, now)
        self._rate = Rate(place.rules.okx_operations_an_hour, 3_600_000)
        self._pushed_at = now

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a ping or a subscription."""
        if text == "ping":
            self._pushed_at = now
            yield Say("pong")
            return
        asked = object_of(text) or {}
        args = asked.get("args")
        if not isinstance(args, list) or asked.get("op") not in ("subscribe", "unsubscribe"):
            yield _error("60012", f"Invalid request: {text}", None)
        elif self._rate.exceeded(now):
            yield _error("60014", "Requests too frequent.", asked)
        else:
            for arg in args:
                yield from self._subscription(asked, arg, now)

    def told(self, told: Told, now: int) -> Iterable[Act]:
        """Pass it on."""
        self._pushed_at = now
        yield Say(told.text)

    def passed(self, now: int) -> Iterable[Act]:
        """Leave whoever is idle."""
        rules = self._place.rules
        if now - self._pushed_at >= rules.okx_idle_ms:
            yield Cut(4004, "No data received in 30s.")
        elif now - self._opened_at >= rules.lifetime_ms:
            yield Cut(1001, "24 hours")

    def closing_soon(self, now: int) -> Iterable[Act]:
        """Give the notice of a service upgrade."""
        del now
        message = "The connection will soon be closed for a service upgrade. Please reconnect."
        notice = {"event": "notice", "code": "64008", "msg": message, "connId": CONNECTION_ID}
        yield Say(compact(notice))

    def _subscription(self, asked: Mapping[str, object], arg: object, now: int) -> Iterable[Act]:
        named = arg if isinstance(arg, dict) else {}
        channel, symbol = text_of(named, "channel"), text_of(named, "instId")
        if channel not in CHANNELS or not self._place.knows(symbol):
            message = (
                f"Wrong URL or channel:{channel},instId:{symbol} doesn't exist. "
                "Please use the correct URL, channel and parameters referring to API document."
            )
            yield _error("60018", message, asked)
            return
        is_new = asked["op"] == "subscribe"
        if is_new:
            self.subscribed.add((channel, symbol))
        else:
            self.subscribed.discard((channel, symbol))
        self._pushed_at = now
        told = {"event": asked["op"], "arg": {"channel": channel, "instId": symbol}}
        yield Say(compact(told | {"connId": CONNECTION_ID} | _id_of(asked)))
        if is_new and channel == "trades":
            for trade in self._place.recent(symbol, now, 1):
                yield Say(_publish(trade, now).text)


def _id_of(asked: Mapping[str, object]) -> dict[str, str]:
    number = text_of(asked, "id")
    return {"id": number} if number else {}


def _error(code: str, message: str, asked: Mapping[str, object] | None) -> Say:
    told = {"event": "error", "code": code, "msg": message, "connId": CONNECTION_ID}
    return Say(compact(told | _id_of(asked or {})))


def _symbol(coin: str) -> str:
    return f"{coin}-USDT"


def _publish(trade: Trade, now: int) -> Told:
    del now
    symbol = _symbol(trade.coin)
    row = {
        "instId": symbol,
        "tradeId": str(trade.number),
        "px": trade.price,
        "sz": trade.quantity,
        "side": "buy" if trade.is_buy else "sell",
        "ts": str(trade.at),
        "count": "1",
        "source": "0",
        "seqId": trade.number,
    }
    told = {"arg": {"channel": "trades", "instId": symbol}, "data": [row]}
    return Told("trades", symbol, compact(told))


def _describe(frame: str) -> Told | None:
    if frame == "pong":
        return None
    told = json.loads(frame)
    arg = told.get("arg")
    if "data" not in told or not isinstance(arg, dict):
        return None
    return Told(text_of(arg, "channel"), text_of(arg, "instId"), frame)


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    moved = _TIME.sub(lambda found: f'{found[1]}{int(found[2]) + shift_ms}"', text)
    return _ID.sub(lambda found: f'{found[1]}{int(found[2]) + id_shift}"', moved)


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return OkxSession(place, now)


OKX = Spoken(
    name="okx",
    paths=("/okx/ws/v5/public",),
    symbol=_symbol,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
)
