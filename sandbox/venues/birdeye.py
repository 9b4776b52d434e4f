"""Birdeye's price socket: candles that are sent again as they change.

In        `SUBSCRIBE_PRICE`, simple or complex, which replaces what was subscribed before.
Out       the greeting, `PRICE_DATA`, `ERROR`.
"""

import json
import re
from collections.abc import Iterable

from sandbox.venues.market import Trade
from sandbox.venues.session import (
    Act,
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
from sandbox.venues.tokens import mint

PRICES = "price"
CANDLE_MS = 60_000
SYMBOLS_MAX = 100
_ADDRESS = re.compile(r"address = (\w{1,64})")
_BEGUN = re.compile(r'("unixTime":)(\d{10})')


class BirdeyeSession(PlainSession):
    """One client of the socket."""

    def opened(self, now: int) -> Iterable[Act]:
        """Greet."""
        del now
        yield Say(compact({"type": "WELCOME"}))

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Take a subscription in place of the one before; only a mistake is answered."""
        del now
        asked = object_of(text)
        fields = asked or {}
        data = fields.get("data")
        wanted = data if isinstance(data, dict) else {}
        addresses = _ADDRESS.findall(text_of(wanted, "query")) or [text_of(wanted, "address")]
        match fields.get("type"):
            case "UNSUBSCRIBE_PRICE":
                self.subscribed = set()
            case "SUBSCRIBE_PRICE" if addresses[0] and len(addresses) <= SYMBOLS_MAX:
                self.subscribed = {(PRICES, each) for each in addresses if self._place.knows(each)}
            case _:
                yield Say(compact({"type": "ERROR", "message": "Invalid request"}))


def _publish(trade: Trade, now: int) -> Told:
    del now
    price = float(trade.price)
    data = {
        "o": price,
        "h": price,
        "l": price,
        "c": price,
        "eventType": "ohlcv",
        "type": "1m",
        "unixTime": trade.at // CANDLE_MS * 60,
        "v": float(trade.quantity),
        "symbol": trade.coin,
        "address": mint(trade.coin),
    }
    return Told(PRICES, mint(trade.coin), compact({"type": "PRICE_DATA", "data": data}))


def _describe(frame: str) -> Told | None:
    if not frame.startswith("{"):
        return None
    told = json.loads(frame)
    if told.get("type") != "PRICE_DATA":
        return None
    return Told(PRICES, told["data"]["address"], frame)


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    del id_shift
    return _BEGUN.sub(lambda found: f"{found[1]}{int(found[2]) + shift_ms // 1000}", text)


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return BirdeyeSession(place, now)


BIRDEYE = Spoken(
    name="birdeye",
    paths=("/birdeye/socket/solana",),
    symbol=mint,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
    key_query="x-api-key",
    subprotocol="echo-protocol",
)
