"""Pyth: Hermes, prices that many publishers agreed on, each with its confidence.

In        `price_update` frames, answers (by order, without a number), errors, also the one frame
          that has no ``type``: the rate limit.
Out       prices as a whole number and an exponent, made plain text; the confidence as a part of
          the price, which admission holds against the feed's bound.
Why       ``publish_time`` is in seconds and several updates share one, so the slot orders them.
          A confidence of zero is a mistake: several publishers are never of exactly one mind.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from rooms.decimal_text import text_from_whole
from rooms.refusal import must
from rooms.units import BPS_WHOLE
from streams.feeds.venue import ALIVE, Accepted, Attempts, Denied, Heard, Key, Leave, Trade, Venue
from streams.feeds.wire import moment, read, sequence

IDS: Mapping[str, str] = MappingProxyType(
    {
        "BTC": "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43",
        "ETH": "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace",
        "XRP": "ec5d399846a9209f3fe5881d70aae9268c94339ff9817e8d18ff19fa05eea1c8",
        "DOGE": "dcef50dd0a4cd2dcc17e45df1676dcb336a11a61c69df7a0299b0150c672d25c",
        "SOL": "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d",
        "USDC": "eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a",
        "USDT": "2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b",
        "BONK": "72b021217ca3fe68922a19aaf990109cb9d84e9ad004b4d2025ad6f529314419",
        "JUP": "0a0408d619e9380abad35060f9192039ed5042fa6f82301d0e48bb52be830996",
        "WIF": "4ca4beeca86f0d164160323817a4e42b10010a724c2217c6ee41b54cd4cc61fc",
    }
)
_LIFETIME_OVER = "Connection timeout reached"
_PLACES_MAX = 18
_SLOTS = 10**9
_NAMED = re.compile(r"\b0x([0-9a-f]{64})\b", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class _Frame(msgspec.Struct, frozen=True):
    type: str | None = None
    status: str | None = None
    error: str = ""


class _Price(msgspec.Struct, frozen=True):
    price: str
    conf: str
    expo: int
    publish_time: int


class _Metadata(msgspec.Struct, frozen=True):
    slot: int | None = None


class _Feed(msgspec.Struct, frozen=True):
    id: str
    price: _Price
    metadata: _Metadata = _Metadata()


class _Update(msgspec.Struct, frozen=True):
    price_feed: _Feed


_FRAME = msgspec.json.Decoder(_Frame)
_UPDATE = msgspec.json.Decoder(_Update)


def parse(frame: str) -> Sequence[Heard]:
    """Say what one frame means."""
    told = read(frame, _FRAME)
    if told.status == "error":
        if told.error.startswith(_LIFETIME_OVER):
            return (Leave(told.error),)
        named = _NAMED.search(told.error)
        return (Denied(told.error or "refused", symbol=named[1] if named else None),)
    if told.type == "price_update":
        return (_trade(read(frame, _UPDATE).price_feed),)
    return (Accepted(),) if told.status == "success" else ALIVE


def _trade(feed: _Feed) -> Trade:
    told, slot = feed.price, feed.metadata.slot or 0
    must(_WHOLE.fullmatch(told.price) is not None, "a price is a whole number")
    must(_WHOLE.fullmatch(told.conf) is not None, "a confidence is a whole number")
    must(-_PLACES_MAX <= told.expo <= 0, "an exponent counts decimal places")
    price, confidence = int(told.price), int(told.conf)
    must(confidence > 0, "several publishers are never of exactly one mind")
    at = moment(told.publish_time * 1000)
    return Trade(
        feed.id,
        text_from_whole(price, -told.expo),
        sequence(told.publish_time * _SLOTS + sequence(slot) % _SLOTS),
        at,
        doubt_bps=-(-confidence * BPS_WHOLE // price) if price > 0 else 0,
    )


def _ask(kind: str, symbols: Sequence[str]) -> str:
    asked: dict[str, object] = {"type": kind, "ids": [f"0x{symbol}" for symbol in symbols]}
    if kind == "subscribe":
        asked["verbose"] = True  # Else there is no slot.
    return msgspec.json.encode(asked).decode()


PYTH = Venue(
    name="pyth",
    default_url="wss://pyth.dourolabs.app/hermes/ws",
    subscribe=lambda symbols, _request: _ask("subscribe", symbols),
    unsubscribe=lambda symbols, _request: _ask("unsubscribe", symbols),
    parse=parse,
    symbol=lambda coin: IDS.get(coin, coin.encode().hex().rjust(64, "0")),
    attempts=Attempts(count=10, window_ms=60_000),
    key=Key(header="Authorization", prefix="Bearer "),
)
