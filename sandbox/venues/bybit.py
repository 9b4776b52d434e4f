"""Bybit v5 spot, as its documents say: ten arguments a request, one ack for all of them.

In        subscribe, unsubscribe and ping, as JSON.
Out       acks and refusals by request, pongs that echo ``op: ping`` alone, `publicTrade` pushes.
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
    text_of,
    texts_of,
)

TOPICS = ("publicTrade", "tickers", "orderbook.1", "orderbook.50", "orderbook.200")
CONNECTION_ID = "2324d924-aa4d-45b0-a858-7b8be29ab52b"
_TIMES = re.compile(r'("(?:T|ts|cts)":)(\d{13})(?!\d)')
_ID = re.compile(r'("i":")(\d+)"')


class BybitSession(PlainSession):
    """One client of the public spot socket."""

    def __init__(self, place: Place, now: int) -> None:
        super().__init__(place, now)
        self._heard_at = now

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a ping or a subscription."""
        self._heard_at = now
        asked = object_of(text)
        if asked is None:
            return (_reply({}, "error:invalid json", success=False),)
        match asked.get("op"):
            case "ping":
                # The spot pong names the ping and leaves the request's number out.
                return (_reply({"op": "ping"}, "pong", success=True),)
            case "subscribe" | "unsubscribe":
                return (self._subscription(asked),)
            case _:
                return (_reply(asked, "error:unknown op", success=False),)

    def told(self, told: Told, now: int) -> Iterable[Act]:
        """Pass it on."""
        self._heard_at = now
        yield Say(told.text)

    def passed(self, now: int) -> Iterable[Act]:
        """Leave whoever neither pings nor is sent anything."""
        rules = self._place.rules
        if now - self._heard_at >= rules.bybit_idle_ms:
            yield Cut(1006, "")
        elif now - self._opened_at >= rules.lifetime_ms:
            yield Cut(1001, "24 hours")

    def _subscription(self, asked: Mapping[str, object]) -> Say:
        rules = self._place.rules
        topics = texts_of(asked, "args")
        if not 0 < len(topics) <= rules.bybit_args_max:
            return _reply(asked, f"error:args size > {rules.bybit_args_max}", success=False)
        split = {_split(topic) for topic in topics}
        for (channel, symbol), topic in zip(map(_split, topics), topics, strict=True):
            if channel not in TOPICS or not self._place.knows(symbol):
                return _reply(asked, f"error:handler not found,topic:{topic}", success=False)
        if asked["op"] == "unsubscribe":
            self.subscribed -= split
            return _reply(asked, "unsubscribe", success=True)
        held = {*self.subscribed, *split}
        if sum(len(f"{channel}.{symbol}") for channel, symbol in held) > rules.bybit_characters_max:
            return _reply(asked, "error:args length exceeded", success=False)
        self.subscribed = held
        return _reply(asked, "subscribe", success=True)


def _split(topic: str) -> tuple[str, str]:
    channel, _, symbol = topic.rpartition(".")
    return channel, symbol


def _reply(asked: Mapping[str, object], message: str, *, success: bool) -> Say:
    told = {"success": success, "ret_msg": message, "conn_id": CONNECTION_ID}
    if message != "pong":
        told["req_id"] = text_of(asked, "req_id")
    return Say(compact(told | {"op": text_of(asked, "op")}))


def _symbol(coin: str) -> str:
    return f"{coin}USDT"


def _publish(trade: Trade, now: int) -> Told:
    symbol = _symbol(trade.coin)
    row = {
        "T": trade.at,
        "s": symbol,
        "S": "Buy" if trade.is_buy else "Sell",
        "v": trade.quantity,
        "p": trade.price,
        "i": str(trade.number),
        "BT": False,
        "seq": trade.number,
    }
    told = {
        "topic": f"publicTrade.{symbol}",
        "type": "snapshot",
        "ts": max(now, trade.at),
        "data": [row],
    }
    return Told("publicTrade", symbol, compact(told))


def _describe(frame: str) -> Told | None:
    told = json.loads(frame)
    if "data" not in told or "topic" not in told:
        return None
    return Told(*_split(told["topic"]), frame)


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    moved = _TIMES.sub(lambda found: f"{found[1]}{int(found[2]) + shift_ms}", text)
    return _ID.sub(lambda found: f'{found[1]}{int(found[2]) + id_shift}"', moved)


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return BybitSession(place, now)


BYBIT = Spoken(
    name="bybit",
    paths=("/bybit/v5/public/spot",),
    symbol=_symbol,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
)
