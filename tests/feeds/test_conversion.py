"""Ticks in other coins, and market caps, from what their rates and supplies say now."""

import pytest

from rooms.feed import Guards
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from storage.feeds import WantedFeed
from streams.feeds.admission import Reason, Unfit
from streams.feeds.conversion import Conversion, symbol_of

AT = UnixMs(1_767_225_600_000)
THIN = Guards(quorum=2, tick_age_ms_max=60_000, dead_ms=60_000)
RATE = WantedFeed("USDT/USD", 8, {"kraken": "USDT/USD", "coinbase": "USDT-USD"}, THIN)
SOL = WantedFeed("SOL/USD", 8, {"binance": "SOLUSDT", "kraken": "SOL/USD"})
BONK = WantedFeed("BONK/USD", 12, {"binance": "BONKUSDT", "kraken": "BONK/USD"})
SUPPLY = WantedFeed(
    "supply:BONK", 5, {"solana": "DezX"}, Guards(quorum=1, tick_age_ms_max=600_000, dead_ms=600_000)
)
CAP = WantedFeed("mcap:BONK", 2, {}, price="BONK/USD", supply="supply:BONK")
EVERY = [RATE, SOL, BONK, SUPPLY, CAP]


def tick(source: str, value: int, at: int = AT) -> Tick:
    return Tick(source, at, Value(value), UnixMs(at), UnixMs(at))


def conversion(rate: int | None = 99_900_000) -> Conversion:
    made = Conversion()
    made.want(EVERY, {"USD", "USDT"})
    if rate is not None:
        for source in ("kraken", "coinbase"):
            made.note("USDT/USD", tick(source, rate))
    return made


def refused(made: Conversion, value: int, at: int = AT, feed: str = "SOL/USD") -> Reason | None:
    try:
        made.in_dollars("USDT", feed, tick("binance", value, at))
    except Unfit as refusal:
        return refusal.reason
    return None


def test_a_price_in_a_dollar_coin_becomes_dollars_at_the_feeds_scale() -> None:
    read = symbol_of(SOL, "USDT")
    assert read.scale == 18
    told = tick("binance", 150_240_000_000_000_000_000)
    assert conversion().in_dollars("USDT", "SOL/USD", told).value == 15_008_976_000
    assert symbol_of(SOL, "USD").scale == 8


def test_a_rate_is_never_converted_by_itself() -> None:
    assert symbol_of(RATE, "USDT").scale == 8
    told = tick("binance", 5)
    assert conversion(None).in_dollars("USDT", "USDT/USD", told) is told


ONE = 10**18


@pytest.mark.parametrize(
    ("rate", "value", "later_ms", "reason"),
    [
        (100_000_000, ONE, 0, None),
        (100_000_000, ONE, 60_000, None),
        (100_000_000, ONE, 60_001, Reason.NO_RATE),  # Its ticks are too old by then.
        (None, ONE, 0, Reason.NO_RATE),
        (97_000_000, ONE, 0, Reason.DEPEG),
        (103_000_000, ONE, 0, Reason.DEPEG),
        (100_000_000, 1, 0, Reason.NOT_POSITIVE),
        (100_000_000, 10**29, 0, Reason.TOO_BIG),
    ],
)
def test_what_cannot_be_said_in_dollars_is_no_tick(
    rate: int | None, value: int, later_ms: int, reason: Reason | None
) -> None:
    assert refused(conversion(rate), value, AT + later_ms) is reason


def test_sources_that_disagree_about_a_rate_say_none() -> None:
    made = conversion(100_000_000)
    made.note("USDT/USD", tick("coinbase", 101_500_000))
    assert refused(made, ONE) is Reason.NO_RATE


def test_a_price_becomes_a_cap_as_long_as_the_supply_is_known() -> None:
    made = conversion()
    price = tick("kraken", 22_000_000)
    assert list(made.caps("BONK/USD", price)) == []
    made.note("supply:BONK", tick("solana", 8_800_000_000_000_000_000))
    [(feed, cap)] = made.caps("BONK/USD", price)
    assert (feed, cap.source, cap.sequence) == ("mcap:BONK", "kraken", price.sequence)
    assert cap.value == 193_600_000_000  # 88 trillion at $0.000022: $1.936 billion, in cents.
    assert list(made.caps("SOL/USD", price)) == []
    assert list(made.caps("BONK/USD", tick("kraken", 22_000_000, AT + 600_001))) == []


def test_what_is_no_longer_wanted_is_forgotten() -> None:
    made = conversion()
    made.want([SOL], {"USD", "USDT"})
    assert refused(made, ONE) is Reason.NO_RATE
    made.want(EVERY, {"USD", "USDT"})
    assert refused(made, ONE) is Reason.NO_RATE
