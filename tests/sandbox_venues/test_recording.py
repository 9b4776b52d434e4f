"""A recording served again: the same digits, at its own pace, with times and ids of now."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from rooms.recording import Line, Segment
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from sandbox.venues.kraken_v1 import update_from_v1
from sandbox.venues.recording import Player, load
from sandbox.venues.session import Told
from sandbox.venues.spoken import SPOKEN, symbol_at
from storage import recordings
from streams import messages
from streams.feeds.sources import SOURCES
from streams.feeds.venue import Trade
from tests.feeds.recordings import CAPTURES, HERE, needs_captures

T0 = 1_800_000_000_000
ALL_OF_OKX = {("trades", "SOL-USDT"), ("tickers", "SOL-USDT")}
TRADES = {
    "binance": {("aggTrade", "solusdt")},
    "coinbase": {("matches", "SOL-USD")},
    "kraken": {("trade", "SOL/USD")},
    "okx": {("trades", "SOL-USDT")},
    "bybit": {("publicTrade", "SOLUSDT")},
    "bitstamp": {("live_trades", "solusd")},
    "gemini": {("l2", "SOLUSD")},
    "pumpportal": {("trade", "7C2DVGUgTQacpTxkkrobAnYMvof5ZoJMhSvocq4apump")},
    "birdeye": {("price", symbol_at("birdeye", "SOL"))},
    "pyth": {("price", symbol_at("pyth", "SOL"))},
}
PRICES = {
    "binance": ["150.24000000", "150.25000000", "150.26000000"],
    "coinbase": ["150.2", "150.31"],
    "kraken": ["150.10", "150.11000000"],
    "okx": ["150.3", "150.28"],
    "bybit": ["150.27", "150.26", "150.30"],
    "bitstamp": ["150.24", "150.2512"],
    "gemini": ["150.21", "150.22"],
    "pyth": ["150.24912345", "150.2518"],
    "pumpportal": ["0.000000028181712452", "0.000000027958993476"],
    "birdeye": ["150.813397091796027", "150.82"],
}


def player(folder: Path = HERE, *, pace: int = 1, loop: bool = False) -> Player:
    return Player(load(folder, SPOKEN), SPOKEN, pace=pace, loop=loop)


def trades(venue: str, told: list[Told]) -> list[Trade]:
    texts = [each.text for each in told]
    heard = [each for text in texts for each in SOURCES[venue].parse(text)]
    return [each for each in heard if isinstance(each, Trade)]


@pytest.mark.parametrize("venue", sorted(SPOKEN))
def test_only_what_is_subscribed_is_served_digit_by_digit(venue: str) -> None:
    told = list(player().due(venue, TRADES[venue], T0, T0 + 60_000))
    assert {(each.channel, each.symbol) for each in told} == TRADES[venue]
    assert [trade.price for trade in trades(venue, told)] == PRICES[venue]


def test_frames_keep_their_own_pace() -> None:
    playing = player()
    assert not list(playing.due("okx", set(), T0 - 9_000, T0))  # It begins with a subscriber.
    came = {
        ms: [each.channel for each in playing.due("okx", ALL_OF_OKX, T0 + ms - 100, T0 + ms)]
        for ms in range(100, 700, 100)
    }
    assert came == {100: ["trades"], 200: ["trades"], 300: [], 400: ["tickers"], 500: [], 600: []}


def test_a_faster_pace_is_that_much_faster() -> None:
    assert len(list(player(pace=10).due("okx", ALL_OF_OKX, T0, T0 + 40))) == 3


def test_times_are_moved_to_now_and_keep_their_lag() -> None:
    told = list(player().due("okx", TRADES["okx"], T0, T0 + 60_000))
    first, second = trades("okx", told)
    assert first.source_at == T0 - 12
    assert second.source_at == T0 + 200 - 11


@pytest.mark.parametrize("venue", sorted(SPOKEN))
def test_ids_rise_from_loop_to_loop_and_from_start_to_start(venue: str) -> None:
    heard = trades(venue, list(player(loop=True).due(venue, TRADES[venue], T0, T0 + 5_000)))
    restarted = player(loop=True).due(venue, TRADES[venue], T0 + 5_001, T0 + 9_000)
    heard += trades(venue, list(restarted))
    assert len(heard) > 10
    numbers = [trade.sequence for trade in heard if trade.sequence is not None]
    moments = [trade.source_at for trade in heard if trade.source_at is not None]
    marks = [trade.mark for trade in heard if trade.mark]
    assert all(a < b for a, b in pairwise(numbers))
    assert moments == sorted(moments)
    assert len(set(marks)) == len(marks)


def test_without_a_loop_it_ends() -> None:
    playing = player()
    assert list(playing.due("okx", ALL_OF_OKX, T0, T0 + 60_000))
    assert not list(playing.due("okx", ALL_OF_OKX, T0 + 60_000, T0 + 600_000))


def test_a_folder_without_frames_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("wss://api.bitfinex.com/ws/2 <-> 1641343690.5\n")
    with pytest.raises(ValueError, match="no frames"):
        load(tmp_path, SPOKEN)


def test_kraken_s_older_trades_are_told_in_the_newer_words() -> None:
    frame = (
        '[993,[["354.04000000","0.28245396","1618678150.826417","s","m",""],'
        '["353.81000000","1.71754604","1618678150.827816","b","l",""]],"trade","XMR/USD"]'
    )
    update = update_from_v1(frame, 5)
    assert update is not None
    first, second = SOURCES["kraken"].parse(update)
    assert first == Trade("XMR/USD", "354.04000000", 5, 1618678150826)  # type: ignore[arg-type]
    assert isinstance(second, Trade)
    assert (second.sequence, json.loads(update)["data"][1]["side"]) == (6, "buy")
    assert update_from_v1('{"event":"heartbeat"}', 1) is None


@needs_captures
@pytest.mark.parametrize(
    ("venue", "channel", "symbol", "count"),
    [
        ("binance", "aggTrade", "nknusdt", 1),
        ("coinbase", "matches", "SKL-BTC", 1),
        ("kraken", "trade", "XMR/USD", 3),
        ("okx", "trades", "BTC-USDT", 20),
        ("bitstamp", "live_trades", "ethusd", 1),
    ],
)
def test_real_recordings_become_trades_of_now(
    venue: str, channel: str, symbol: str, count: int
) -> None:
    playing = player(CAPTURES)
    told = list(playing.due(venue, {(channel, symbol)}, T0, T0 + 120_000))
    heard = trades(venue, told)
    assert len(heard) >= count
    moments = [trade.source_at for trade in heard if trade.source_at is not None]
    numbers = [trade.sequence for trade in heard if trade.sequence is not None]
    assert len(moments) == len(numbers) == len(heard)
    assert all(T0 - 60_000 < at < T0 + 120_000 for at in moments)
    assert all(a < b for a, b in pairwise(numbers))


def test_segments_of_our_own_recording_are_played_as_trades(tmp_path: Path) -> None:
    heard = [
        Tick(venue, number, Value(value), UnixMs(T0 + at - 5), UnixMs(T0 + at))
        for venue, number, value, at in (
            ("binance", 7, 15_024_000_000, 10), ("kraken", 9, 15_011_000_001, 20),
            ("binance", 8, 15_025_000_000, 90), ("elsewhere", 1, 5, 95),
        )
    ]  # fmt: skip
    payloads = [
        messages.write(messages.ticks("SOL/USD", UnixMs(T0 + 100), heard)),
        messages.write(messages.ticks("SOL/USD", UnixMs(T0 + 200), [])), b"nonsense", None,
    ]  # fmt: skip
    segment = Segment(
        feed="SOL/USD", partition=0, rule={"scale": 8}, minute_at=UnixMs(T0),
        from_at=UnixMs(T0), to_at=UnixMs(T0 + 200), after=None, missed=None, memory=None,
        lines=tuple(Line(at, UnixMs(T0), payload) for at, payload in enumerate(payloads)),
    )  # fmt: skip
    recordings.write(tmp_path, segment)
    plays = player(tmp_path)
    later = T0 + 3_600_000
    told = list(plays.due("binance", TRADES["binance"], later, later + 60_000))
    assert [trade.price for trade in trades("binance", told)] == ["150.24000000", "150.25000000"]
    told = list(plays.due("kraken", TRADES["kraken"], later, later + 60_000))
    assert [trade.price for trade in trades("kraken", told)] == ["150.11000001"]
