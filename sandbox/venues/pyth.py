"""Hermes, as its server does: answers by order, updates with a confidence, pings, a day's end.

In        subscribe and unsubscribe of ids, with or without ``0x``, and the four flags.
Out       one answer a request, `price_update` frames, the error frame before the day's cut, the
          rate limit's frame without a type.
"""

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sandbox.venues.market import Trade
from sandbox.venues.session import (
    Act,
    Cut,
    Ping,
    Place,
    PlainSession,
    Rate,
    Say,
    Session,
    Spoken,
    Told,
    compact,
    texts_of,
)

UPDATES = "price"
PLACES = 8
CONFIDENCE_BPS = 4
SLOT_MS = 400
IDS: Mapping[str, str] = MappingProxyType(
    {
        "BTC": "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43",
        "ETH": "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace",
        "XRP": "ec5d399846a9209f3fe5881d70aae9268c94339ff9817e8d18ff19fa05eea1c8",
        "DOGE": "dcef50dd0a4cd2dcc17e45df1676dcb336a11a61c69df7a0299b0150c672d25c",
        "SOL": "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d",
        "USDT": "2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b",
        "BONK": "72b021217ca3fe68922a19aaf990109cb9d84e9ad004b4d2025ad6f529314419",
        "JUP": "0a0408d619e9380abad35060f9192039ed5042fa6f82301d0e48bb52be830996",
        "WIF": "4ca4beeca86f0d164160323817a4e42b10010a724c2217c6ee41b54cd4cc61fc",
    }
)
_TIME = re.compile(r'("(?:publish_time|prev_publish_time|price_service_receive_time)":)(\d{10})')
_SLOT = re.compile(r'("slot":)(\d+)')


class PythSession(PlainSession):
    """One client of the socket."""

    def __init__(self, place: Place, now: int) -> None:
        super().__init__(place, now)
        self._rate = Rate(place.rules.pyth_messages_a_second, 1_000)
        self._pinged_at = self._ponged_at = now

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a request; one unknown id fails all of it."""
        if self._rate.exceeded(now):
            yield Say(compact({"status": "error", "error": "Rate limit exceeded"}))
            return
        try:
            asked = json.loads(text)
        except ValueError as error:
            yield _error(str(error))
            return
        kind = asked.get("type") if isinstance(asked, dict) else None
        if kind not in ("subscribe", "unsubscribe"):
            yield _error("unknown variant, expected `subscribe` or `unsubscribe`")
            return
        ids = [each.removeprefix("0x") for each in texts_of(asked, "ids")]
        unknown = [each for each in ids if not self._place.knows(each)]
        if kind == "unsubscribe":
            self.subscribed -= {(UPDATES, each) for each in ids}
        elif unknown and asked.get("ignore_invalid_price_ids") is not True:
            named = ", ".join(f"0x{each}" for each in unknown)
            yield _error(f"Price feed(s) with id(s) [{named}] not found")
            return
        else:
            self.subscribed |= {(UPDATES, each) for each in ids if each not in unknown}
        yield Say(compact({"type": "response", "status": "success"}))

    def beat(self, payload: bytes, now: int, *, is_pong: bool) -> Iterable[Act]:
        """Note a pong."""
        del payload
        if is_pong:
            self._ponged_at = now
        return ()

    def passed(self, now: int) -> Iterable[Act]:
        """Ping; leave who did not answer the last one, or has been here for a day."""
        rules = self._place.rules
        if now - self._opened_at >= rules.lifetime_ms:
            yield _error("Connection timeout reached (24h)")
            yield Cut(1000, "")
        elif now - self._pinged_at >= rules.pyth_ping_ms:
            if self._ponged_at < self._pinged_at:
                yield Cut(1001, "no pong")
            self._pinged_at = now
            yield Ping(b"")

    def closing_soon(self, now: int) -> Iterable[Act]:
        """Say that the day is over."""
        del now
        yield _error("Connection timeout reached (24h)")


def _error(error: str) -> Say:
    return Say(compact({"type": "response", "status": "error", "error": error}))


def _symbol(coin: str) -> str:
    return IDS.get(coin, coin.encode().hex().rjust(64, "0"))


def _publish(trade: Trade, now: int) -> Told:
    del now
    whole, _, fraction = trade.price.partition(".")
    places = max(PLACES, len(fraction))
    price = int(whole + fraction.ljust(places, "0"))
    told_at = {
        "price": str(price),
        "conf": str(max(1, price * CONFIDENCE_BPS // 10_000)),
        "expo": -places,
        "publish_time": trade.at // 1000,
    }
    feed = {
        "id": _symbol(trade.coin),
        "price": told_at,
        "ema_price": told_at,
        "metadata": {
            "slot": trade.number,
            "emitter_chain": 26,
            "price_service_receive_time": trade.at // 1000,
            "prev_publish_time": (trade.at - SLOT_MS) // 1000,
        },
    }
    return Told(UPDATES, _symbol(trade.coin), compact({"type": "price_update", "price_feed": feed}))


def _describe(frame: str) -> Told | None:
    told = json.loads(frame)
    if told.get("type") != "price_update":
        return None
    return Told(UPDATES, told["price_feed"]["id"], frame)


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    seconds = shift_ms // 1000
    moved = _TIME.sub(lambda found: f"{found[1]}{int(found[2]) + seconds}", text)
    return _SLOT.sub(lambda found: f"{found[1]}{int(found[2]) + id_shift}", moved)


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return PythSession(place, now)


PYTH = Spoken(
    name="pyth",
    paths=("/pyth/hermes/ws",),
    symbol=_symbol,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
    one_in=3,
    key_header="Authorization",
)
