"""Each venue's conversation, line by line, as its documents have it."""

import json

import pytest

from sandbox.venues.market import Trade
from sandbox.venues.session import Act, Cut, Ping, Place, Rules, Say, Session
from sandbox.venues.spoken import SPOKEN

T0 = 1_767_225_600_000
LAST = Trade("SOL", 41, T0 - 30, "150.24", "0.5000", is_buy=True)
KNOWN = {"SOL-USD", "BTC-USD", "SOL/USD", "BTC/USD", "SOL-USDT", "BTC-USDT", "SOLUSDT", "BTCUSDT"}


def session(venue: str, path: str | None = None, rules: Rules | None = None) -> Session:
    place = Place(rules or Rules(), KNOWN.__contains__, lambda symbol, at, count: [LAST])
    spoken = SPOKEN[venue]
    return spoken.session(place, path or spoken.paths[0], T0)


def said(acts: object) -> list[str]:
    assert hasattr(acts, "__iter__")
    return [act.text for act in acts if isinstance(act, Say)]


def asked(to: Session, text: str, at: int = T0) -> list[Act]:
    return list(to.heard(text, at))


BINANCE_TALK = [
    (
        '{"method":"SUBSCRIBE","params":["solusdt@aggTrade","btcusdt@depth"],"id":1}',
        '{"result":null,"id":1}',
    ),
    (
        '{"method":"LIST_SUBSCRIPTIONS","id":"a1"}',
        '{"result":["btcusdt@depth","solusdt@aggTrade"],"id":"a1"}',
    ),
    ('{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":312}', '{"result":null,"id":312}'),
    ('{"method":"LIST_SUBSCRIPTIONS","id":3}', '{"result":["solusdt@aggTrade"],"id":3}'),
    ('{"method":"GET_PROPERTY","params":["combined"],"id":2}', '{"result":true,"id":2}'),
    ('{"method":"SET_PROPERTY","params":["combined",false],"id":5}', '{"result":null,"id":5}'),
    ('{"method":"GET_PROPERTY","params":["combined"],"id":6}', '{"result":false,"id":6}'),
    (
        '{"method":"SET_PROPERTY","params":["combined","x"],"id":7}',
        '{"code":1,"msg":"Invalid value type: expected Boolean"}',
    ),
    (
        '{"method":"SET_PROPERTY","params":["other",true],"id":1}',
        '{"code":0,"msg":"Unknown property","id":1}',
    ),
    ('{"method":"SUBSCRIBE","params":["nonsuch@aggTrade"],"id":8}', '{"result":null,"id":8}'),
    (
        '{"method":"SUBSCRIBE","params":["x@y"],"id":1.5}',
        '{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"}',
    ),
]


def test_binance_answers_by_id() -> None:
    to = session("binance", rules=Rules(binance_messages_a_second=100))
    for ask, answer in BINANCE_TALK:
        assert said(asked(to, ask)) == [answer]
    assert json.loads(said(asked(to, "{"))[0])["code"] == 3
    unknown = json.loads(said(asked(to, '{"method":"SUBSCRIB","id":1}'))[0])
    assert unknown["code"] == 2
    assert "unknown variant SUBSCRIB" in unknown["msg"]


@pytest.mark.parametrize(
    ("path", "is_wrapped"),
    [
        ("/binance/stream?streams=solusdt@aggTrade/btcusdt@depth@100ms", True),
        ("/binance/ws/solusdt@aggTrade/btcusdt@depth@100ms", False),
    ],
)
def test_binance_takes_streams_from_its_address(path: str, *, is_wrapped: bool) -> None:
    to = session("binance", path)
    assert to.subscribed == {("aggTrade", "solusdt"), ("depth@100ms", "btcusdt")}
    told = json.loads(said(to.told(SPOKEN["binance"].publish(LAST, T0), T0))[0])
    assert ("stream" in told) is is_wrapped


def test_binance_leaves_who_sends_six_messages_in_a_second() -> None:
    to = session("binance")
    ask = '{"method":"LIST_SUBSCRIPTIONS","id":3}'
    acts = [asked(to, ask, T0 + number)[0] for number in range(6)]
    assert [type(act) for act in acts] == [Say] * 5 + [Cut]
    patient = session("binance")
    for number in range(20):
        assert said(asked(patient, ask, T0 + number * 200))


def test_binance_counts_pongs_as_messages() -> None:
    to = session("binance")
    for number in range(5):
        assert not list(to.beat(b"", T0 + number, is_pong=True))
    assert [type(act) for act in to.beat(b"", T0 + 5, is_pong=True)] == [Cut]


def test_binance_pings_and_wants_its_payload_back() -> None:
    to = session("binance")
    assert list(to.passed(T0 + 19_999)) == []
    ping = next(iter(to.passed(T0 + 20_000)))
    assert isinstance(ping, Ping)
    assert not list(to.beat(b"something else", T0 + 20_001, is_pong=True))
    assert [type(act) for act in to.passed(T0 + 80_000)] == [Cut]
    good = session("binance")
    ping = next(iter(good.passed(T0 + 20_000)))
    assert isinstance(ping, Ping)
    assert not list(good.beat(ping.payload, T0 + 20_001, is_pong=True))
    assert [type(act) for act in good.passed(T0 + 80_000)] == [Ping]


@pytest.mark.parametrize("venue", sorted(SPOKEN))
def test_a_day_is_the_longest(venue: str) -> None:
    rules = Rules(okx_idle_ms=10**9, bybit_idle_ms=10**9, coinbase_subscribe_ms=10**9)
    to = session(venue, rules=rules)
    assert not any(isinstance(act, Cut) for act in to.passed(T0 + 86_399_999))
    assert any(isinstance(act, Cut) for act in to.passed(T0 + 86_400_000))


def test_coinbase_answers_with_all_that_is_subscribed_and_the_last_match_first() -> None:
    to = session("coinbase")
    first, last_match = said(
        asked(to, '{"type":"subscribe","product_ids":["SOL-USD"],"channels":["matches"]}')
    )
    assert first == (
        '{"type":"subscriptions","channels":[{"name":"matches","product_ids":["SOL-USD"]}]}'
    )
    told = json.loads(last_match)
    assert (told["type"], told["trade_id"], told["price"]) == ("last_match", 41, "150.24")
    assert told["side"] == "sell"  # The maker's: the taker bought.
    [second] = said(
        asked(
            to,
            '{"type":"subscribe","channels":[{"name":"heartbeat",'
            '"product_ids":["SOL-USD","BTC-USD"]}]}',
        )
    )
    channels = {
        each["name"]: sorted(each["product_ids"]) for each in json.loads(second)["channels"]
    }
    assert channels == {"matches": ["SOL-USD"], "heartbeat": ["BTC-USD", "SOL-USD"]}


def test_coinbase_refuses_the_bad_and_takes_the_good() -> None:
    to = session("coinbase")
    error, subscriptions, _ = said(
        asked(
            to,
            '{"type":"subscribe","product_ids":["GIBBERISH-USD","SOL-USD"],"channels":["matches"]}',
        )
    )
    assert error == (
        '{"type":"error","message":"Failed to subscribe",'
        '"reason":"GIBBERISH-USD is not a valid product"}'
    )
    assert '"SOL-USD"' in subscriptions
    [signed] = said(
        asked(to, '{"type":"subscribe","product_ids":["SOL-USD"],"channels":["level2"]}')
    )
    assert "require authentication" in signed


def test_coinbase_leaves_who_has_not_subscribed_in_five_seconds() -> None:
    to = session("coinbase")
    assert not list(to.passed(T0 + 4_999))
    assert [type(act) for act in to.passed(T0 + 5_000)] == [Cut]


def test_coinbase_beats_every_second_for_every_product() -> None:
    to = session("coinbase")
    asked(to, '{"type":"subscribe","product_ids":["SOL-USD","BTC-USD"],"channels":["heartbeat"]}')
    beats = [json.loads(text) for text in said(to.passed(T0 + 1_000))]
    assert [beat["product_id"] for beat in beats] == ["BTC-USD", "SOL-USD"]
    assert beats[0]["time"] == "2026-01-01T00:00:01.000000Z"
    assert not said(to.passed(T0 + 1_500))


def test_kraken_greets_and_answers_for_each_symbol() -> None:
    to = session("kraken")
    [status] = said(to.opened(T0))
    assert json.loads(status)["data"][0]["system"] == "online"
    answers = said(
        asked(
            to,
            '{"method":"subscribe","params":{"channel":"trade",'
            '"symbol":["SOL/USD","BTC/USDX"],"snapshot":false},"req_id":1}',
        )
    )
    good, bad = (json.loads(answer) for answer in answers)
    assert good["success"]
    assert good["result"] == {"channel": "trade", "snapshot": False, "symbol": "SOL/USD"}
    assert (bad["success"], bad["symbol"], bad["req_id"]) == (False, "BTC/USDX", 1)
    assert bad["error"] == "Currency pair not supported BTC/USDX"
    [pong] = said(asked(to, '{"method":"ping","req_id":42}'))
    assert json.loads(pong)["method"] == "pong"
    assert json.loads(pong)["req_id"] == 42


def test_kraken_sends_a_snapshot_first_when_asked_and_prices_as_numbers() -> None:
    to = session("kraken")
    _, snapshot = said(
        asked(
            to,
            '{"method":"subscribe","params":{"channel":"trade","symbol":["SOL/USD"],'
            '"snapshot":true}}',
        )
    )
    assert '"type":"snapshot"' in snapshot
    assert '"price":150.24,' in snapshot


def test_kraken_beats_only_when_nothing_else_was_said() -> None:
    to = session("kraken")
    assert not said(to.passed(T0 + 5_000))  # Nothing is subscribed.
    asked(to, '{"method":"subscribe","params":{"channel":"trade","symbol":["SOL/USD"]}}', T0)
    list(to.told(SPOKEN["kraken"].publish(LAST, T0), T0 + 900))
    assert not said(to.passed(T0 + 1_899))
    assert said(to.passed(T0 + 1_900)) == ['{"channel":"heartbeat"}']


def test_okx_answers_for_each_argument_and_pushes_the_last_trade() -> None:
    to = session("okx")
    ack, last, refusal = said(
        asked(
            to,
            '{"id":"7","op":"subscribe","args":[{"channel":"trades","instId":"SOL-USDT"},'
            '{"channel":"trades","instId":"NOT-USDT"}]}',
        )
    )
    assert json.loads(ack) == {
        "event": "subscribe",
        "arg": {"channel": "trades", "instId": "SOL-USDT"},
        "connId": "a4d3ae55",
        "id": "7",
    }
    assert json.loads(last)["data"][0]["tradeId"] == "41"
    assert json.loads(refusal)["code"] == "60018"
    assert said(asked(to, "ping")) == ["pong"]
    assert json.loads(said(asked(to, "{"))[0])["code"] == "60012"


def test_okx_leaves_the_idle_but_not_who_pings() -> None:
    to = session("okx")
    assert not list(to.passed(T0 + 29_999))
    assert [type(act) for act in to.passed(T0 + 30_000)] == [Cut]
    pinging = session("okx")
    asked(pinging, "ping", T0 + 25_000)
    assert not list(pinging.passed(T0 + 54_999))


def test_okx_refuses_the_481st_operation_in_an_hour() -> None:
    to = session("okx")
    ask = '{"op":"unsubscribe","args":[{"channel":"trades","instId":"SOL-USDT"}]}'
    for number in range(480):
        assert '"event":"unsubscribe"' in said(asked(to, ask, T0 + number))[0]
    assert json.loads(said(asked(to, ask, T0 + 480))[0])["code"] == "60014"


def test_okx_gives_notice() -> None:
    [notice] = said(session("okx").closing_soon(T0))
    assert json.loads(notice)["code"] == "64008"


def test_bybit_takes_ten_arguments_and_one_answer_covers_them() -> None:
    to = session("bybit")
    ten = [f"orderbook.{depth}.{coin}USDT" for depth in (1, 50, 200) for coin in ("SOL", "BTC")]
    ten += ["publicTrade.SOLUSDT", "publicTrade.BTCUSDT", "tickers.SOLUSDT", "tickers.BTCUSDT"]
    [ack] = said(asked(to, json.dumps({"req_id": "1", "op": "subscribe", "args": ten})))
    assert json.loads(ack) == {
        "success": True,
        "ret_msg": "subscribe",
        "conn_id": "2324d924-aa4d-45b0-a858-7b8be29ab52b",
        "req_id": "1",
        "op": "subscribe",
    }
    assert len(to.subscribed) == 10
    eleven = {"req_id": "2", "op": "subscribe", "args": [*ten, "publicTrade.SOLUSDT"]}
    [refusal] = said(asked(to, json.dumps(eleven)))
    assert json.loads(refusal)["success"] is False


def test_bybit_refuses_the_whole_request_for_one_symbol() -> None:
    to = session("bybit")
    [refusal] = said(
        asked(
            to,
            '{"req_id":"3","op":"subscribe",'
            '"args":["publicTrade.SOLUSDT","publicTrade.NOTASYMBOL"]}',
        )
    )
    told = json.loads(refusal)
    assert told["ret_msg"] == "error:handler not found,topic:publicTrade.NOTASYMBOL"
    assert not to.subscribed


def test_bybit_pongs_without_the_request_number() -> None:
    [pong] = said(asked(session("bybit"), '{"req_id":"100001","op":"ping"}'))
    told = json.loads(pong)
    assert (told["ret_msg"], told["op"], "req_id" in told) == ("pong", "ping", False)


def test_bybit_leaves_after_ten_quiet_minutes() -> None:
    to = session("bybit")
    assert not list(to.passed(T0 + 599_999))
    assert [type(act) for act in to.passed(T0 + 600_000)] == [Cut]


@pytest.mark.parametrize("venue", sorted(SPOKEN))
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "1",
        '"x"',
        "{}",
        '{"op":7}',
        '{"type":[]}',
        '{"args":{}}',
        '{"op":"subscribe","args":[1,null,{"channel":2}]}',
        '{"type":"subscribe","channels":[1,{"name":2}],"product_ids":"x"}',
        '{"method":"subscribe","params":{"channel":1,"symbol":[2]}}',
        '{"method":["x"],"id":1}',
        '{"method":"SET_PROPERTY","params":[],"id":1}',
    ],
)
def test_nonsense_is_answered_and_survived(venue: str, text: str) -> None:
    to = session(venue)
    list(to.heard(text, T0))
    assert not to.subscribed
