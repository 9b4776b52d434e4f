"""The market: the same from the same seed, at any moment, and where it was steered to."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.venues.market import ALL, QUOTES, Coin, Course, Market, Outage, Wick
from sandbox.venues.spoken import SPOKEN

T0 = 1_800_000_000_000
HOUR_MS = 3_600_000
seeds = st.integers(0, 2**63)
moments = st.integers(T0, T0 + 400 * 24 * HOUR_MS)


@given(seed=seeds, at=moments)
def test_the_same_seed_gives_the_same_market(seed: int, at: int) -> None:
    one, other = Market(seed), Market(seed)
    assert one.price_e12("SOL", at) == other.price_e12("SOL", at)
    assert one.trades("okx", "BTC", at, at + 500) == other.trades("okx", "BTC", at, at + 500)


def test_other_seeds_give_other_markets() -> None:
    prices = {Market(seed).price_e12("SOL", T0) for seed in range(50)}
    assert len(prices) == 50


@given(seed=seeds, at=moments, first_ms=st.integers(0, 700), second_ms=st.integers(0, 700))
def test_a_stretch_of_trades_is_its_parts_put_together(
    seed: int, at: int, first_ms: int, second_ms: int
) -> None:
    market = Market(seed)
    middle, end = at + first_ms, at + first_ms + second_ms
    whole = market.trades("kraken", "ETH", at, end)
    parts = market.trades("kraken", "ETH", at, middle) + market.trades("kraken", "ETH", middle, end)
    assert parts == whole
    assert all(at < trade.at <= end for trade in whole)
    assert all(a.number + 1 == b.number and a.at <= b.at for a, b in pairwise(whole))


@given(seed=seeds, at=moments)
def test_venues_agree_within_a_thousandth(seed: int, at: int) -> None:
    market = Market(seed)
    for coin in market.coins:
        for venue in (name for name in SPOKEN if QUOTES.get(name) != "SOL"):
            for trade in market.trades(venue, coin, at, at + 200):
                whole, _, fraction = trade.price.partition(".")
                price = int(whole + fraction.ljust(12, "0"))
                step = 10 ** (12 - market.coins[coin].places)
                common = market.price_e12(coin, trade.at)
                assert abs(price - common) * 1_000 <= common + step * 1_000


def test_prices_walk_like_prices() -> None:
    market = Market(7)
    minutes = [market.price_e12("SOL", T0 + minute * 60_000) for minute in range(1_500)]
    moves = [(b - a) * 10_000 // a for a, b in pairwise(minutes)]
    usual = sum(move * move for move in moves) // len(moves)
    assert 36 < usual < 324, "12 bps a minute, give or take half"
    assert min(minutes) > 100 * 10**12
    assert max(minutes) < 225 * 10**12


def test_about_eight_trades_a_second() -> None:
    assert len(Market(1).trades("bybit", "SOL", T0, T0 + 10_000)) in (79, 80, 81)


def test_a_jump_is_at_once_and_for_good() -> None:
    market, calm = Market(3), Market(3)
    market.jump("SOL", 300, T0)
    for after_ms in (0, 1_000, HOUR_MS):
        expected = calm.price_e12("SOL", T0 + after_ms) * 103 // 100
        assert abs(market.price_e12("SOL", T0 + after_ms) - expected) < 1_000
    assert market.price_e12("BTC", T0) == calm.price_e12("BTC", T0)


def test_a_drift_goes_straight_to_its_price_and_stays() -> None:
    market = Market(3)
    start = market.price_e12("SOL", T0)
    goal = 160 * 10**12
    market.drift("SOL", goal, 4_000, T0, then_hold=True)
    assert market.price_e12("SOL", T0) == start
    assert market.price_e12("SOL", T0 + 2_000) == start + (goal - start) * 2_000 // 4_000
    assert market.price_e12("SOL", T0 + 4_000) == goal
    assert market.price_e12("SOL", T0 + HOUR_MS) == goal


def test_a_drift_may_walk_on_from_where_it_went() -> None:
    market = Market(3)
    market.drift("SOL", 160 * 10**12, 4_000, T0, then_hold=False)
    later = market.price_e12("SOL", T0 + HOUR_MS)
    assert later != 160 * 10**12
    assert 140 * 10**12 < later < 180 * 10**12


def test_held_prices_are_flat_and_walking_again_makes_no_jump() -> None:
    market = Market(3)
    market.hold("SOL", T0)
    held = market.price_e12("SOL", T0)
    assert {market.price_e12("SOL", T0 + ms) for ms in range(0, 60_000, 777)} == {held}
    market.walk("SOL", T0 + 60_000)
    assert market.price_e12("SOL", T0 + 60_000) == held
    assert market.price_e12("SOL", T0 + 120_000) != held


def test_a_wick_is_one_venues_and_passes() -> None:
    market, calm = Market(3), Market(3)
    market.wick("okx", "SOL", 500, 1_000, T0)

    def prices(of: Market, venue: str, after_ms: int) -> list[str]:
        trades = of.trades(venue, "SOL", T0 + after_ms, T0 + after_ms + 500)
        return [trade.price for trade in trades]

    assert min(prices(market, "okx", 100)) > max(prices(calm, "okx", 100))
    assert prices(market, "kraken", 100) == prices(calm, "kraken", 100)
    assert prices(market, "okx", 1_000) == prices(calm, "okx", 1_000)


@pytest.mark.parametrize(
    ("venue", "coin", "silent"),
    [
        ("okx", "SOL", {("okx", "SOL")}),
        (ALL, "SOL", {("okx", "SOL"), ("kraken", "SOL")}),
        ("okx", ALL, {("okx", "SOL"), ("okx", "BTC")}),
        (ALL, ALL, {("okx", "SOL"), ("kraken", "SOL"), ("okx", "BTC"), ("kraken", "BTC")}),
    ],
)
def test_an_outage_is_silence_where_it_was_asked_for(
    venue: str, coin: str, silent: set[tuple[str, str]]
) -> None:
    market = Market(3)
    market.outage(venue, coin, 1_000, T0)
    quiet = {
        (at, of)
        for at in ("okx", "kraken")
        for of in ("SOL", "BTC")
        if not market.trades(at, of, T0, T0 + 900)
    }
    assert quiet == silent
    assert market.trades("okx", "SOL", T0 + 1_000, T0 + 2_000)


class Kept(msgspec.Struct):
    courses: dict[str, Course]
    wicks: list[Wick]
    outages: list[Outage]


def test_steering_survives_being_written_down() -> None:
    market = Market(3)
    market.drift("SOL", 160 * 10**12, 4_000, T0, then_hold=False)
    market.jump("BTC", -250, T0 + 10)
    market.wick("okx", "ETH", 90, 5_000, T0)
    market.outage("kraken", ALL, 5_000, T0)
    kept = msgspec.json.decode(msgspec.json.encode(market.steering()), type=Kept)
    again = Market(3)
    again.steer(kept.courses, kept.wicks, kept.outages)
    for coin in market.coins:
        for venue in ("okx", "kraken"):
            stretch = (venue, coin, T0 - 500, T0 + 6_000)
            assert again.trades(*stretch) == market.trades(*stretch)


@given(bps=st.integers(-9_999, 100_000))
def test_every_price_is_above_zero(bps: int) -> None:
    market = Market(3, [Coin("DUST", 1_000_000, 6)])
    market.jump("DUST", bps, T0)
    assert all(trade.price.strip("0.") for trade in market.trades("okx", "DUST", T0, T0 + 500))
