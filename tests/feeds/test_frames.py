"""Every venue's frames mean what its documents say; nothing else ever becomes a trade."""

import json
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rooms.refusal import Impossible
from rooms.units import UnixMs
from streams.feeds.sources import SOURCES
from streams.feeds.venue import Accepted, Alive, Denied, Heard, History, Leave, Trade
from streams.feeds.wire import moment_from_rfc3339
from tests.feeds.recordings import CAPTURES, frames, needs_captures, recorded

ALIVE = Alive()
OK = Accepted()
T0 = 1767225600_000


PYTH_SOL = "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d"
PYTH_BTC = "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43"


def trade(symbol: str, price: str, sequence: int, after_ms: int, doubt_bps: int = 0) -> Trade:
    return Trade(symbol, price, sequence, UnixMs(T0 + after_ms), doubt_bps)


MEANINGS: dict[str, list[list[Heard]]] = {
    "binance": [
        [OK],
        [trade("SOLUSDT", "150.24000000", 900000001, 245)],
        [trade("BTCUSDT", "68012.01000000", 3500000001, 404)],
        [trade("SOLUSDT", "150.25000000", 900000002, 595)],
        [ALIVE],
        [trade("SOLUSDT", "150.26000000", 900000003, 895)],
        [Denied("2 Invalid request: too many parameters")],
        [Leave("server shutdown")],
    ],
    "coinbase": [
        [OK],
        [History(1)],
        [trade("SOL-USD", "150.2", 710000001, 288)],
        [trade("SOL-USD", "150.2", 710000001, 288)],
        [ALIVE],
        [trade("SOL-USD", "150.31", 710000002, 789)],
        [
            Denied(
                "Failed to subscribe: GIBBERISH-USD is not a valid product",
                symbol="GIBBERISH-USD",
            )
        ],
    ],
    "kraken": [
        [ALIVE],
        [OK],
        [OK],
        [History(1)],
        [
            trade("SOL/USD", "150.10", 4665906, 270),
            trade("SOL/USD", "150.11000000", 4665907, 280),
        ],
        [trade("BTC/USD", "68011.1", 10218208, 440)],
        [ALIVE],
        [ALIVE],
        [Denied("Currency pair not supported BTC/USDX", request=2, symbol="BTC/USDX")],
        [Denied("Exceeded msg rate")],
    ],
    "okx": [
        [OK],
        [trade("SOL-USDT", "150.3", 338476307, 288)],
        [trade("SOL-USDT", "150.28", 338476310, 489)],
        [ALIVE],
        [ALIVE],
        [
            Denied(
                "60018 Subscribe failed, wrong URL or channel:trades,instId:NOT-USDT doesn't"
                " exist. Please use the correct URL, channel and parameters referring to API"
                " document."
            )
        ],
        [
            Leave(
                "64008 The connection will soon be closed for a service upgrade. Please reconnect."
            )
        ],
    ],
    "bybit": [
        [OK],
        [
            trade("SOLUSDT", "150.27", 2290000000061666327, 288),
            ALIVE,  # A block trade.
            trade("SOLUSDT", "150.26", 2290000000061666329, 290),
        ],
        [trade("SOLUSDT", "150.30", 2290000000061666330, 487)],
        [ALIVE],
        [ALIVE],
        [Denied("error:handler not found,topic:publicTrade.NOTASYMBOL", request=7)],
    ],
    "bitstamp": [
        [OK],
        [trade("solusd", "150.24", 516000477, 288)],
        [ALIVE],
        [trade("solusd", "150.2512", 516000479, 689)],
        [ALIVE],
        [Denied("Bad subscription string.")],
        [Leave("asked to reconnect")],
    ],
    "gemini": [
        [OK, History(2)],
        [trade("SOLUSD", "150.21", 122258166738, 288)],
        [ALIVE],
        [trade("SOLUSD", "150.22", 122258166741, 691)],
        [ALIVE],
        [Denied("InvalidSymbol: 'NOTUSD' is not a valid symbol", symbol="NOTUSD")],
    ],
    "pyth": [
        [OK],
        [trade(PYTH_SOL, "150.24912345", 1767225600_390000001, 0, 4)],
        [trade(PYTH_SOL, "150.2518", 1767225600_390000002, 0, 4)],
        [
            Denied(
                f"Price feed(s) with id(s) [0x{'4e4f54':0>64}] not found",
                symbol=f"{'4e4f54':0>64}",
            )
        ],
        [Denied("Rate limit exceeded")],
        [Leave("Connection timeout reached (24h)")],
    ],
}

SUBSCRIBED = {
    "binance": '{"method":"SUBSCRIBE","params":["solusdt@aggTrade","btcusdt@aggTrade"],"id":7}',
    "coinbase": '{"type":"subscribe","product_ids":["SOL-USD","BTC-USD"],'
    '"channels":["matches","heartbeat"]}',
    "kraken": '{"method":"subscribe","params":{"channel":"trade",'
    '"symbol":["SOL/USD","BTC/USD"],"snapshot":false},"req_id":7}',
    "okx": '{"id":"7","op":"subscribe","args":[{"channel":"trades","instId":"SOL-USDT"},'
    '{"channel":"trades","instId":"BTC-USDT"}]}',
    "bybit": '{"req_id":"7","op":"subscribe","args":["publicTrade.SOLUSDT","publicTrade.BTCUSDT"]}',
    "bitstamp": '{"event":"bts:subscribe","data":{"channel":"live_trades_solusd"}}',
    "gemini": '{"type":"subscribe","subscriptions":[{"name":"l2","symbols":["SOLUSD","BTCUSD"]}]}',
    "pyth": f'{{"type":"subscribe","ids":["0x{PYTH_SOL}","0x{PYTH_BTC}"],"verbose":true}}',
}

venues = pytest.mark.parametrize("venue", sorted(SOURCES))


@venues
def test_each_recorded_frame_means_what_the_documents_say(venue: str) -> None:
    heard = [list(SOURCES[venue].parse(frame)) for frame in recorded(venue)]
    assert heard == MEANINGS[venue]


@venues
def test_a_subscription_is_written_as_the_venue_reads_it(venue: str) -> None:
    source = SOURCES[venue]
    symbols = [source.symbol(coin) for coin in ("SOL", "BTC")][: source.symbols_per_request]
    assert source.subscribe(symbols, 7) == SUBSCRIBED[venue]


@venues
def test_every_beginning_of_a_frame_is_refused(venue: str) -> None:
    for frame in recorded(venue):
        for end in range(len(frame)):
            with pytest.raises(Impossible):
                SOURCES[venue].parse(frame[:end])


BROKEN = {
    "binance": '{"stream":"solusdt@aggTrade","data":{"e":"aggTrade","s":"SOLUSDT","a":1,'
    '"p":"150.1","T":1767225600245}}',
    "coinbase": '{"type":"match","trade_id":1,"price":"150.1","product_id":"SOL-USD",'
    '"time":"2026-01-01T00:00:00.288123Z"}',
    "kraken": '{"channel":"trade","type":"update","data":[{"symbol":"SOL/USD","price":150.1,'
    '"trade_id":1,"timestamp":"2026-01-01T00:00:00.288123Z"}]}',
    "okx": '{"arg":{"channel":"trades","instId":"SOL-USDT"},"data":[{"instId":"SOL-USDT",'
    '"tradeId":"1","px":"150.1","ts":"1767225600245"}]}',
    "bybit": '{"topic":"publicTrade.SOLUSDT","data":[{"T":1767225600245,"s":"SOLUSDT",'
    '"p":"150.1","i":"1"}]}',
    "bitstamp": '{"data":{"id":1,"price":150.1,"price_str":"150.1",'
    '"microtimestamp":"1767225600245123"},"channel":"live_trades_solusd","event":"trade"}',
    "gemini": '{"type":"trade","symbol":"SOLUSD","event_id":1,"timestamp":1767225600245,'
    '"price":"150.1"}',
    "pyth": '{"type":"price_update","price_feed":{"id":"ef0d","price":{"price":"15010",'
    '"conf":"1","expo":-2,"publish_time":1767225600},"metadata":{"slot":5}}}',
}

WRONG = [
    ("binance", '"a":1', '"a":"1"', "an id as text"),
    ("binance", '"a":1', '"a":1.0', "an id as a float"),
    ("binance", '"a":1', '"a":true', "an id as a boolean"),
    ("binance", '"a":1', '"a":-1', "a negative id"),
    ("binance", '"a":1', '"a":9223372036854775808', "an id beyond 2^63"),
    ("binance", '"p":"150.1"', '"p":150.1', "a price as a float"),
    ("binance", '"p":"150.1"', '"p":null', "no price"),
    ("binance", '"p":"150.1",', "", "a missing price"),
    ("binance", "1767225600245", "1767225600", "a time in seconds"),
    ("binance", "1767225600245", "1767225600245000", "a time in microseconds"),
    ("binance", "solusdt@", "btcusdt@", "another stream's trade"),
    ("coinbase", "2026-01-01T00:00:00.288123Z", "2026-13-01T00:00:00.288123Z", "a 13th month"),
    ("coinbase", "2026-01-01T00:00:00.288123Z", "2026-01-01T00:00:00.288123", "no time zone"),
    ("coinbase", "2026-01-01T00:00:00.288123Z", "2026-01-01 00:00:00Z", "a blank in the time"),
    ("coinbase", '"trade_id":1', '"trade_id":null', "no id"),
    ("kraken", '"type":"update"', '"type":"other"', "neither snapshot nor update"),
    ("kraken", "150.1", "NaN", "not a number"),
    ("kraken", "150.1", "0150.1", "a leading zero"),
    ("okx", '"tradeId":"1"', '"tradeId":"1e3"', "an exponent in the id"),
    ("okx", '"tradeId":"1"', '"tradeId":"²"', "a digit that is none"),
    ("okx", '"instId":"SOL-USDT","tradeId"', '"instId":"BTC-USDT","tradeId"', "another symbol"),
    ("okx", '"ts":"1767225600245"', '"ts":""', "an empty time"),
    ("bybit", '"i":"1"', '"i":"20f43950-d8dd-5b31-9112-a178eb6023af"', "an id that is no number"),
    ("bybit", '"s":"SOLUSDT"', '"s":"BTCUSDT"', "another topic's trade"),
    ("bitstamp", '"id":1', '"id":1.5', "an id that is no whole number"),
    ("bitstamp", '"price_str":"150.1",', "", "a missing price, though its number is there"),
    ("bitstamp", "1767225600245123", "1767225600245", "milliseconds for microseconds"),
    ("bitstamp", "live_trades_solusd", "order_book_solusd", "another channel's trade"),
    ("gemini", '"event_id":1', '"event_id":"1"', "an id as text"),
    ("gemini", "1767225600245", "1767225600", "a time in seconds"),
    ("gemini", '"price":"150.1"', '"price":150.1', "a price as a float"),
    ("pyth", '"conf":"1"', '"conf":"0"', "no doubt at all"),
    ("pyth", '"conf":"1"', '"conf":"x"', "a confidence that is no number"),
    ("pyth", '"expo":-2', '"expo":2', "an exponent that would make it bigger"),
    ("pyth", '"expo":-2', '"expo":-19', "an exponent beyond any feed's"),
    ("pyth", '"price":"15010"', '"price":"150.10"', "a point where there is an exponent"),
    ("pyth", "1767225600", "1767225600245", "a time in milliseconds"),
    ("pyth", '"slot":5', '"slot":-5', "a slot before the first"),
]


@venues
def test_the_frames_to_be_broken_are_whole(venue: str) -> None:
    assert [type(heard) for heard in SOURCES[venue].parse(BROKEN[venue])] == [Trade]


@pytest.mark.parametrize(("venue", "right", "wrong", "why"), WRONG)
def test_a_frame_with_one_thing_wrong_is_refused(
    venue: str, right: str, wrong: str, why: str
) -> None:
    assert right in BROKEN[venue], why
    with pytest.raises(Impossible):
        SOURCES[venue].parse(BROKEN[venue].replace(right, wrong))


@venues
@pytest.mark.parametrize(
    "frame", ["", " ", "[]", "1", "null", '"text"', "[" * 90_000, '{"x":' * 90_000, "\ud800"]
)
def test_what_is_no_object_is_refused(venue: str, frame: str) -> None:
    with pytest.raises(Impossible):
        SOURCES[venue].parse(frame)


def read_again(venue: str, frame: str) -> list[tuple[str, str, int]]:
    """Read a frame's trades another way: symbol, price as it stands, id."""
    told: Any = json.loads(frame, parse_float=str, parse_int=str)
    rows: Iterable[Any]
    match venue:
        case "binance":
            rows = [told.get("data", told)]
            keys = ("s", "p", "a")
        case "coinbase":
            rows, keys = [told], ("product_id", "price", "trade_id")
        case "kraken":
            rows, keys = told["data"], ("symbol", "price", "trade_id")
        case "okx":
            rows, keys = told["data"], ("instId", "px", "tradeId")
        case "bitstamp":
            symbol = told["channel"].removeprefix("live_trades_")
            return [(symbol, told["data"]["price_str"], int(told["data"]["id"]))]
        case "gemini":
            rows, keys = [told], ("symbol", "price", "event_id")
        case "pyth":
            return [_pyth_again(told["price_feed"])]
        case _:
            rows = [row for row in told["data"] if not row.get("BT")]
            keys = ("s", "p", "i")
    return [(row[keys[0]], row[keys[1]], int(row[keys[2]])) for row in rows]


def _pyth_again(feed: dict[str, Any]) -> tuple[str, str, int]:
    price, slot = feed["price"], (feed.get("metadata") or {}).get("slot") or 0
    value = f"{Decimal(price['price']).scaleb(int(price['expo'])).normalize():f}"
    return feed["id"], value, int(price["publish_time"]) * 10**9 + int(slot) % 10**9


def spoilt(frame: str, edits: list[tuple[int, int, str]]) -> str:
    for start, length, text in edits:
        at = start % (len(frame) + 1)
        frame = frame[:at] + text + frame[at + length :]
    return frame


EDITS = st.lists(
    st.tuples(
        st.integers(0, 2_000),
        st.integers(0, 3),
        st.text('0123456789.-+eE"{}[],:ntru \\', max_size=3) | st.text(max_size=2),
    ),
    min_size=1,
    max_size=3,
)


@venues
@settings(max_examples=300, deadline=None)
@given(edits=EDITS, number=st.integers(0, 100))
@example(edits=[(0, 0, "")], number=1)
def test_a_spoilt_frame_is_refused_or_says_what_stands_in_it(
    venue: str, edits: list[tuple[int, int, str]], number: int
) -> None:
    known = recorded(venue)
    frame = spoilt(known[number % len(known)], edits)
    try:
        heard = SOURCES[venue].parse(frame)
    except Impossible:
        return
    trades = [each for each in heard if isinstance(each, Trade)]
    if trades:
        told = [(each.symbol, each.price, each.sequence) for each in trades]
        assert told == read_again(venue, frame)


@venues
@settings(max_examples=100, deadline=None)
@given(
    frame=st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "e",
                        "s",
                        "a",
                        "p",
                        "T",
                        "data",
                        "stream",
                        "id",
                        "code",
                        "result",
                        "type",
                        "channel",
                        "arg",
                        "event",
                        "op",
                        "success",
                        "topic",
                        "method",
                        "error",
                        "msg",
                        "i",
                        "ts",
                        "px",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    ).map(json.dumps)
)
def test_no_text_breaks_a_parser(venue: str, frame: str) -> None:
    try:
        heard = SOURCES[venue].parse(frame)
    except Impossible:
        return
    assert all(isinstance(each, Heard) for each in heard)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", None),  # Before there were venues: a mistake.
        ("2021-04-17T16:43:30.244075Z", 1618677810244),
        ("2021-04-17T16:43:30.2Z", 1618677810200),
        ("2021-04-17T16:43:30Z", 1618677810000),
        ("2024-02-29T00:00:00.999999999Z", 1709164800999),
        ("2023-02-29T00:00:00Z", None),
        ("2021-04-17T16:43:60Z", None),
        ("2021-04-17T16:43:30+00:00", None),
        ("२०२१-04-17T16:43:30Z", None),
    ],
)
def test_moments_are_read_to_the_millisecond(text: str, ms: int | None) -> None:
    if ms is None:
        with pytest.raises(Impossible):
            moment_from_rfc3339(text)
    else:
        assert moment_from_rfc3339(text) == ms


def count_of(kind: str) -> Callable[[str], int]:
    return lambda frame: len(re.findall(kind, frame))


@needs_captures
@pytest.mark.parametrize(
    ("file", "venue", "trades_in"),
    [
        ("binance.txt", "binance", count_of('"e":"aggTrade"')),
        ("coinbase.txt", "coinbase", count_of('"type":"(match|ticker)"')),
        ("okx.txt", "okx", count_of('"tradeId"')),
        ("kraken_v1_trades.txt", "kraken", count_of("no trade of the older protocol")),
        ("bitstamp.txt", "kraken", count_of("no trade of another venue")),
        ("bitstamp.txt", "bitstamp", count_of('"event":"trade"')),
    ],
)
def test_real_frames_parse(file: str, venue: str, trades_in: Callable[[str], int]) -> None:
    expected = total = refused = 0
    for at, frame in frames(CAPTURES / file):
        expected += trades_in(frame)
        try:
            trades = [each for each in SOURCES[venue].parse(frame) if isinstance(each, Trade)]
        except Impossible:
            refused += 1
            continue
        total += len(trades)
        # Frames told on subscribing are older; none is from the future.
        assert all(each.source_at - at < 1_000 for each in trades)
    assert total == expected
    assert refused == 0 or file == "kraken_v1_trades.txt"
