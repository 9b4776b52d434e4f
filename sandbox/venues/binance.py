"""Binance, as its documents say: combined and raw streams, control frames, pings, limits.

In        streams in the URL; (UN)SUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY.
Out       acks and errors by id, `aggTrade` events, `serverShutdown`.
Why       an unknown stream name is accepted and stays silent: that is what the venue does.
"""

import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from sandbox.venues.market import Trade
from sandbox.venues.session import (
    Act,
    Cut,
    Ping,
    Place,
    Rate,
    Rules,
    Say,
    Session,
    Spoken,
    Told,
    compact,
)

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_TIMES = re.compile(r'("[ETt]":)(\d{13})(?!\d)')
_IDS = re.compile(r'("[afl]":)(\d+)')
_SHUTDOWN = "!serverShutdown"


class BinanceSession:
    """One client of the spot streams."""

    def __init__(self, rules: Rules, path: str, now: int) -> None:
        url = urlsplit(path)
        self.subscribed: set[tuple[str, str]] = set()
        self._combined = url.path.endswith("/stream")
        self._rules = rules
        self._rate = Rate(rules.binance_messages_a_second, 1_000)
        self._pinged_at = self._opened_at = now
        self._unanswered: dict[bytes, int] = {}
        if self._combined:
            streams = "/".join(parse_qs(url.query).get("streams", []))
        else:
            streams = url.path.partition("/ws")[2]
        self._subscribe(filter(None, streams.split("/")))

    def opened(self, now: int) -> Iterable[Act]:
        """Say nothing: Binance does not greet."""
        del now
        return ()

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a control frame."""
        if self._rate.exceeded(now):
            return (Cut(1008, "Too many requests"),)
        try:
            asked = json.loads(text)
        except ValueError:
            return (_error(3, "Invalid JSON: expected value at line 1 column 1"),)
        if not isinstance(asked, dict) or "method" not in asked:
            return (_error(2, "Invalid request: missing field `method` at line 1 column 1"),)
        number = asked.get("id")
        if not _is_request_id(number):
            return (_error(2, "Invalid request: request ID must be an unsigned integer"),)
        method = asked["method"]
        if method not in METHODS:
            variants = ", ".join(f"`{known}`" for known in METHODS)
            message = f"Invalid request: unknown variant {method}, expected one of {variants}"
            return (_error(2, f"{message} at line 1 column 1", number),)
        return self._do(method, asked.get("params", []), number)

    def beat(self, payload: bytes, now: int, *, is_pong: bool) -> Iterable[Act]:
        """Count it: pings and pongs are messages too. A pong must bring the payload back."""
        if is_pong:
            self._unanswered.pop(payload, None)
        return (Cut(1008, "Too many requests"),) if self._rate.exceeded(now) else ()

    def told(self, told: Told, now: int) -> Iterable[Act]:
        """Wrap the event, or not."""
        del now
        yield Say(self._wrap(f"{told.symbol}@{told.channel}", told.text))

    def passed(self, now: int) -> Iterable[Act]:
        """Ping, and leave whoever does not answer."""
        if now - self._opened_at >= self._rules.lifetime_ms:
            yield Cut(1001, "24 hours")
        elif any(
            now - asked_at >= self._rules.binance_pong_ms for asked_at in self._unanswered.values()
        ):
            yield Cut(1008, "Pong timeout")
        elif now - self._pinged_at >= self._rules.binance_ping_ms:
            self._pinged_at = now
            payload = str(now).encode()
            self._unanswered[payload] = now
            yield Ping(payload)

    def closing_soon(self, now: int) -> Iterable[Act]:
        """Announce the shutdown."""
        yield Say(self._wrap(_SHUTDOWN, f'{{"e":"serverShutdown","E":{now}}}'))

    def _do(self, method: object, params: object, number: object) -> Iterable[Act]:
        given: list[object] = params if isinstance(params, list) else []
        streams = [name for name in given if isinstance(name, str)]
        result: object = None
        if method == "SUBSCRIBE":
            if len(self.subscribed) + len(streams) > self._rules.binance_streams_max:
                return (Cut(1008, "Too many streams"),)
            self._subscribe(streams)
        elif method == "UNSUBSCRIBE":
            self.subscribed -= {_split(name) for name in streams}
        elif method == "LIST_SUBSCRIPTIONS":
            result = sorted(f"{symbol}@{channel}" for channel, symbol in self.subscribed)
        elif not streams or streams[0] != "combined":
            return (_error(0, "Unknown property", number),)
        elif method == "GET_PROPERTY":
            result = self._combined
        elif not isinstance(given[-1], bool):
            return (_error(1, "Invalid value type: expected Boolean"),)
        else:
            self._combined = given[-1]
        return (Say(compact({"result": result, "id": number})),)

    def _subscribe(self, streams: Iterable[str]) -> None:
        self.subscribed |= {_split(name) for name in streams}

    def _wrap(self, stream: str, text: str) -> str:
        return f'{{"stream":"{stream}","data":{text}}}' if self._combined else text


def _split(stream: str) -> tuple[str, str]:
    symbol, _, channel = stream.partition("@")
    return channel, symbol


def _is_request_id(number: object) -> bool:
    if isinstance(number, str):
        return number.isalnum() and len(number) <= 36
    if isinstance(number, int) and not isinstance(number, bool):
        return -(2**63) <= number < 2**63
    return number is None


def _error(code: int, message: str, number: object = None) -> Say:
    told: dict[str, object] = {"code": code, "msg": message}
    if number is not None:
        told["id"] = number
    return Say(compact(told))


def _symbol(coin: str) -> str:
    return f"{coin}USDT".lower()


def _publish(trade: Trade, now: int) -> Told:
    event = {
        "e": "aggTrade",
        "E": max(now, trade.at),
        "s": _symbol(trade.coin).upper(),
        "a": trade.number,
        "p": trade.price,
        "q": trade.quantity,
        "f": trade.number,
        "l": trade.number,
        "T": trade.at,
        "m": not trade.is_buy,
        "M": True,
    }
    return Told("aggTrade", _symbol(trade.coin), compact(event))


def _describe(frame: str) -> Told | None:
    told = json.loads(frame)
    if "stream" in told:
        channel, symbol = _split(told["stream"])
        # The published text is cut out, not written anew: its digits stay as they were.
        return Told(channel, symbol, frame[frame.index('"data":') + len('"data":') : -1])
    if told.get("e") == "aggTrade":
        return Told("aggTrade", told["s"].lower(), frame)
    return None


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    moved = _TIMES.sub(lambda found: f"{found[1]}{int(found[2]) + shift_ms}", text)
    return _IDS.sub(lambda found: f"{found[1]}{int(found[2]) + id_shift}", moved)


def _session(place: Place, path: str, now: int) -> Session:
    return BinanceSession(place.rules, path, now)


BINANCE = Spoken(
    name="binance",
    paths=("/binance/stream", "/binance/ws"),
    symbol=_symbol,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
)
