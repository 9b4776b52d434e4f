"""Coinbase Exchange, as its documents say: matches, heartbeats, cumulative acks.

In        subscribe and unsubscribe, in both forms of ``channels``.
Out       `subscriptions` (everything subscribed now), `last_match` first, `match`, `heartbeat`,
          `error` for what is refused beside the ack for what is not.
"""

import json
import re
from collections.abc import Iterable, Mapping
from uuid import UUID

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
    rfc3339,
    shift_rfc3339,
    text_of,
    texts_of,
)

OPEN_CHANNELS = ("ticker", "ticker_batch", "matches", "heartbeat", "status")
SIGNED_CHANNELS = ("level2", "level3", "full")
PUBLISHED = {"match": "matches", "last_match": "matches", "ticker": "ticker"}
_TIME = re.compile(r'("time":")([^"]+Z)"')
_ID = re.compile(r'("trade_id":)(\d+)')


class CoinbaseSession(PlainSession):
    """One client of the exchange feed."""

    def __init__(self, place: Place, now: int) -> None:
        super().__init__(place, now)
        self._rate = Rate(place.rules.coinbase_messages_a_second, 1_000)
        self._beat_at = now
        self._sequence = now
        self._has_subscribed = False

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a subscription."""
        if self._rate.exceeded(now):
            yield Cut(1008, "Rate limit exceeded")
            return
        asked = object_of(text)
        if asked is None:
            yield _error("Malformed JSON")
        elif asked.get("type") not in ("subscribe", "unsubscribe"):
            yield _error("Type has to be either subscribe or unsubscribe")
        else:
            yield from self._subscription(asked, now, is_new=asked["type"] == "subscribe")

    def passed(self, now: int) -> Iterable[Act]:
        """Leave who has not subscribed; beat for every product that asked for it."""
        rules = self._place.rules
        if not self._has_subscribed and now - self._opened_at >= rules.coinbase_subscribe_ms:
            yield Cut(1008, "Failed to subscribe")
        elif now - self._opened_at >= rules.lifetime_ms:
            yield Cut(1001, "24 hours")
        elif now - self._beat_at >= rules.heartbeat_ms:
            self._beat_at = now
            for channel, product in sorted(self.subscribed):
                if channel == "heartbeat":
                    yield Say(self._heartbeat(product, now))

    def _subscription(
        self, asked: Mapping[str, object], now: int, *, is_new: bool
    ) -> Iterable[Act]:
        good: set[tuple[str, str]] = set()
        for channel, products in _channels(asked):
            if channel in SIGNED_CHANNELS:
                reason = "level2, level3, and full channels now require authentication."
                yield _error("Failed to subscribe", reason)
                continue
            if channel not in OPEN_CHANNELS:
                yield _error("Failed to subscribe", f"{channel} is not a valid channel")
                continue
            for product in products:
                if self._place.knows(product):
                    good.add((channel, product))
                else:
                    yield _error("Failed to subscribe", f"{product} is not a valid product")
        if not good:
            return
        new = good - self.subscribed
        self.subscribed = self.subscribed | good if is_new else self.subscribed - good
        self._has_subscribed = True
        yield Say(self._subscriptions())
        for channel, product in sorted(new if is_new else ()):
            if channel == "matches":
                for trade in self._place.recent(product, now, 1):
                    yield Say(_match("last_match", product, trade))

    def _subscriptions(self) -> str:
        channels: dict[str, list[str]] = {}
        for channel, product in sorted(self.subscribed, reverse=True):
            channels.setdefault(channel, []).append(product)
        told = [{"name": name, "product_ids": ids} for name, ids in channels.items()]
        return compact({"type": "subscriptions", "channels": told})

    def _heartbeat(self, product: str, now: int) -> str:
        self._sequence += 1
        last = self._place.recent(product, now, 1)
        return compact(
            {
                "type": "heartbeat",
                "sequence": self._sequence,
                "last_trade_id": last[0].number if last else 0,
                "product_id": product,
                "time": rfc3339(now),
            }
        )


def _channels(asked: Mapping[str, object]) -> Iterable[tuple[str, list[str]]]:
    products = texts_of(asked, "product_ids")
    channels = asked.get("channels")
    for channel in channels if isinstance(channels, list) else []:
        if isinstance(channel, str):
            yield channel, products
        elif isinstance(channel, dict):
            yield text_of(channel, "name"), texts_of(channel, "product_ids") or products


def _error(message: str, reason: str = "") -> Say:
    told = {"type": "error", "message": message}
    if reason:
        told["reason"] = reason
    return Say(compact(told))


def _symbol(coin: str) -> str:
    return f"{coin}-USD"


def _match(kind: str, product: str, trade: Trade) -> str:
    return compact(
        {
            "type": kind,
            "trade_id": trade.number,
            "maker_order_id": str(UUID(int=trade.number)),
            "taker_order_id": str(UUID(int=trade.number + 1)),
            "side": "sell" if trade.is_buy else "buy",  # The maker's side.
            "size": trade.quantity,
            "price": trade.price,
            "product_id": product,
            "sequence": trade.number * 10,
            "time": rfc3339(trade.at),
        }
    )


def _publish(trade: Trade, now: int) -> Told:
    del now
    product = _symbol(trade.coin)
    return Told("matches", product, _match("match", product, trade))


def _describe(frame: str) -> Told | None:
    told = json.loads(frame)
    channel = PUBLISHED.get(told.get("type"))
    return Told(channel, told["product_id"], frame) if channel else None


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    moved = _TIME.sub(lambda found: f'{found[1]}{shift_rfc3339(found[2], shift_ms)}"', text)
    return _ID.sub(lambda found: f"{found[1]}{int(found[2]) + id_shift}", moved)


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return CoinbaseSession(place, now)


COINBASE = Spoken(
    name="coinbase",
    paths=("/coinbase",),
    symbol=_symbol,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
)
