"""Meanings: what the recorded frames of each source mean, read by hand.

Out       by source: the meaning of each frame, how it is asked, one whole trade and how it breaks,
          and a second way to read its trades.
Why       a source's frames, their meanings and its file are all that a contributor writes; every
          law of `test_frames` then holds for it.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from rooms.units import UnixMs
from streams.feeds.venue import Accepted, Alive, Denied, Heard, History, Leave, Trade
from streams.feeds.wire import moment_from_rfc3339

ALIVE = Alive()
OK = Accepted()
T0 = 1767225600_000


BONK = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
CURVE = "9TvfvsrnPRDygLF9zwNoVwoK42KA5ZnnbxumVCMocT1q"
JUP = "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN"
LEFT_CURVE = "4NpdiJWdvbQReo6WQ7PKn32EM1ZjuPwJBJBgr5Qx8jRA"
OTHER = "Other1111111111111111111111111111111111111"
PUMP_PROGRAM = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P"
POPDOG = "EATGZHJViJsk7nEKkrdJicwNbfpkJfAtmrEmrjXR8NBj"
PUMPED = "7C2DVGUgTQacpTxkkrobAnYMvof5ZoJMhSvocq4apump"
WRAPPED_SOL = "So11111111111111111111111111111111111111112"
FIRST_SIGNATURE = (
    "2gYreniQbNZQCnjSexm5vVdyN2kzEmEuv72aLWrJDFVGPQY6oUs6woQtCRakfeWeSvXXq8iEw9UdSmHj17zZtaBC"
)
SECOND_SIGNATURE = (
    "5Pd57QB7u4ZMupYy7S1ZRNybR8LjX9LLBpLtBWrFZi92NooYBxTw2iCK5yWamnNo55UzB5GHTKhLXMo6GbFNAVew"
)
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
    "pumpportal": [
        [OK],
        [Trade(PUMPED, "0.000000028181712452", mark=FIRST_SIGNATURE)],
        [ALIVE],
        [Trade(PUMPED, "0.000000027958993476", mark=SECOND_SIGNATURE)],
        [Denied("has left its curve for a pool", symbol=PUMPED)],
        [
            Denied(
                "'subscribeTokenTrade' and 'subscribeAccountTrade' methods are only available when"
                " connecting with an API key funded with at least 0.02 SOL."
            )
        ],
    ],
    "birdeye": [
        [ALIVE],
        [OK, Trade(WRAPPED_SOL, "150.813397091796027", latest_at=UnixMs(T0 + 60_000))],
        [OK, Trade(WRAPPED_SOL, "150.82", latest_at=UnixMs(T0 + 60_000))],
        [ALIVE],
        [Denied("Unauthorized")],
    ],
    "jupiter": [
        [
            Trade(WRAPPED_SOL, "147.48", 348004023),
            Trade(WRAPPED_SOL + "#liquidity", "621679197.67", 348004023),
            Trade(JUP, "0.4056018512541055", 348004013, age_ms=4_000),
            Trade(BONK, "0.000022", 348004023),
            Trade(BONK + "#liquidity", "4000000", 348004023),
        ],
    ],
    "dexscreener": [
        [
            Trade(OTHER, "0.021"),  # Told beside it; nobody asked.
            Trade(OTHER + "#liquidity", "9000000"),
            Trade(POPDOG, "0.003025"),
            Trade(POPDOG + "#liquidity", "250928.07"),
        ],
        [],
    ],
    "coingecko": [
        [
            trade("bitcoin", "77671.25", T0 + 599, 599),
            trade("bitcoin#circulating", "20030493.0", T0 + 599, 599),
            trade("bonk", "0.000022184739", T0 - 38_896, -38_896),
            trade("bonk#circulating", "82520000000000", T0 - 38_896, -38_896),
        ],
    ],
    "solana": [
        [Trade(BONK, "87995000000123.45678", 390000250)],
        [Trade("MintA-KeptB", "880000000", 390000251)],
        [Denied("KeptB: Invalid param: could not find account", symbol="MintA-KeptB")],
    ],
    "pumpfun": [
        [
            Trade(CURVE, "0.000000027960834425", 390000260),
            Trade(CURVE + "#liquidity", "0.000987653", 390000260),
            Denied("has left its curve for a pool", symbol=LEFT_CURVE),
        ],
        [
            Denied("is no curve of pump.fun", symbol=CURVE),
            Denied("is no curve of pump.fun", symbol=LEFT_CURVE),
        ],
        [Denied("Node is behind by 151 slots")],
    ],
}
"""What each frame of `recorded/` means, in order."""

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
    "pumpportal": f'{{"method":"subscribeTokenTrade","keys":["{PUMPED}"]}}',
    "birdeye": '{"type":"SUBSCRIBE_PRICE","data":{"queryType":"complex","query":"(address = '
    f'{WRAPPED_SOL} AND chartType = 1m AND currency = usd)"}}}}',
    "jupiter": f"/price/v3?ids={WRAPPED_SOL},{BONK}",
    "dexscreener": f"/tokens/v1/solana/{BONK},{POPDOG}",
    "coingecko": "/api/v3/coins/markets?vs_currency=usd&ids=bonk&precision=full",
    "solana": '[{"jsonrpc":"2.0","id":"A-B A","method":"getTokenSupply","params":["A",'
    '{"commitment":"finalized"}]},{"jsonrpc":"2.0","id":"A-B B",'
    '"method":"getTokenAccountBalance","params":["B",{"commitment":"finalized"}]}]',
    "pumpfun": '{"jsonrpc":"2.0","id":"A,B","method":"getMultipleAccounts","params":[["A","B"],'
    '{"encoding":"base64","commitment":"confirmed"}]}',
}
"""How `ASKED` is asked for."""

ASKED = {
    "binance": ["SOLUSDT", "BTCUSDT"],
    "coinbase": ["SOL-USD", "BTC-USD"],
    "kraken": ["SOL/USD", "BTC/USD"],
    "okx": ["SOL-USDT", "BTC-USDT"],
    "bybit": ["SOLUSDT", "BTCUSDT"],
    "bitstamp": ["solusd"],
    "gemini": ["SOLUSD", "BTCUSD"],
    "pyth": [PYTH_SOL, PYTH_BTC],
    "pumpportal": [PUMPED],
    "birdeye": [WRAPPED_SOL],
    "jupiter": [BONK, BONK + "#liquidity"],
    "dexscreener": [BONK, POPDOG, POPDOG + "#liquidity"],
    "coingecko": ["bonk", "bonk#circulating"],
    "solana": ["A-B"],
    "pumpfun": ["A", "B", "B#liquidity"],
}

CURVE_DATA = (
    "F7f4N2DYrGAcPGAO288DAAW+MvwGAAAAHKRNwknRAgAFEg8AAAAAAACAxqR+jQMA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

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
    "pumpportal": '{"signature":"abc","mint":"M","txType":"buy",'
    '"vTokensInBondingCurve":1000000.5,"vSolInBondingCurve":30.1,"pool":"pump"}',
    "birdeye": '{"type":"PRICE_DATA","data":{"c":150.1,"type":"1m","unixTime":1767225600,'
    '"address":"M"}}',
    "jupiter": f'{{"{WRAPPED_SOL}":{{"usdPrice":150.1,"blockId":7}}}}',
    "dexscreener": '[{"chainId":"solana","baseToken":{"address":"M"},"priceUsd":"0.003025",'
    '"liquidity":{"usd":200928.07}}]',
    "coingecko": '[{"id":"bonk","current_price":0.5,"last_updated":"2026-01-01T00:00:00.599Z"}]',
    "solana": '[{"id":"A A","result":{"context":{"slot":7},'
    '"value":{"amount":"500","decimals":2}}}]',
    "pumpfun": '{"id":"A","result":{"context":{"slot":7},"value":[{"owner":'
    '"6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P","data":["'
    f'{CURVE_DATA}","base64"]}}]}}}}',
}
"""One whole trade of each, which `WRONG` breaks in one place."""

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
    ("bybit", '"p":"150.1"', '"p":150.1', "a price as a float"),
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
    ("pumpportal", "1000000.5", "0", "no tokens to divide by"),
    ("pumpportal", "30.1", '"30.1"', "reserves as text"),
    ("pumpportal", "30.1", "-30.1", "negative reserves"),
    ("pumpportal", '"signature":"abc",', "", "no name to know it by"),
    ("pumpportal", '"abc"', '""', "an empty name"),
    ("birdeye", '"1m"', '"15m"', "a candle of another length"),
    ("birdeye", "1767225600", "1767225600000", "a time in milliseconds"),
    ("birdeye", "150.1", '"150.1"', "a price as text"),
    ("jupiter", WRAPPED_SOL, "Other", "no yardstick"),
    ("jupiter", '"blockId":7', '"blockId":null', "a yardstick of unknown age"),
    ("jupiter", "150.1", "null", "no price"),
    ("jupiter", "150.1", "1e999", "an exponent beyond sense"),
    ("dexscreener", '"0.003025"', "0.003025", "a price as a number"),
    ("dexscreener", '"0.003025"', '"0.00x"', "a price that is none"),
    ("dexscreener", "200928.07", '"200928.07"', "liquidity as text"),
    ("coingecko", "0.5", '"0.5"', "a price as text"),
    ("coingecko", "2026-01-01T00:00:00.599Z", "1767225600", "a time in seconds"),
    ("coingecko", "0.5", "0.5.5", "a number with two points"),
    ("solana", '"amount":"500"', '"amount":500', "an amount as a number"),
    ("solana", '"amount":"500"', '"amount":"-5"', "a negative amount"),
    ("solana", '"decimals":2', '"decimals":19', "decimal places beyond sense"),
    ("solana", '"id":"A A"', '"id":"A B"', "an answer to nothing that was asked"),
    ("solana", '"id":"A A"', '"id":"A"', "an answer to nobody"),
    ("pumpfun", '"id":"A"', '"id":"A,B"', "fewer answers than curves"),
    ("pumpfun", "F7f4N2DY", "F7f4N2DZ", "another kind of account"),
    ("pumpfun", "F7f4N2DY", "F7f4N2D!", "what is no base64"),
    ("pumpfun", CURVE_DATA[40:], "", "an account that is too short"),
    ("pumpfun", '"base64"', '"base58"', "another encoding"),
]


def read_again(source: str, frame: str) -> list[tuple[str, str, int | None]]:
    """Read a frame's trades another way: symbol, value, number."""
    told: Any = json.loads(frame, parse_float=str, parse_int=str)
    return [(symbol, same(value), number) for symbol, value, number in READ_AGAIN[source](told)]


def same(value: object) -> str:
    """Write equal numbers alike, and leave what is no number as it stands."""
    try:
        return f"{Decimal(str(value)).normalize():f}"
    except InvalidOperation:
        return str(value)


Json = Any
Told = tuple[str, Any, int | None]


def _rows(
    symbol: str, price: str, number: str, rows: Callable[[Any], Iterable[Any]]
) -> Callable[[Any], Iterable[Told]]:
    return lambda told: [(row[symbol], row[price], int(row[number])) for row in rows(told)]


def _pyth(told: Json) -> Iterable[Told]:
    feed = told["price_feed"]
    price, slot = feed["price"], (feed.get("metadata") or {}).get("slot") or 0
    number = int(price["publish_time"]) * 10**9 + int(slot) % 10**9
    yield feed["id"], Decimal(price["price"]).scaleb(int(price["expo"])), number


def _pumpportal(told: Json) -> Iterable[Told]:
    sol, tokens = (Fraction(told[f"v{side}InBondingCurve"]) for side in ("Sol", "Tokens"))
    yield told["mint"], Decimal(sol * 10**18 // tokens).scaleb(-18), None


def _jupiter(told: Json) -> Iterable[Told]:
    now = int(told[WRAPPED_SOL]["blockId"])
    for mint, row in told.items():
        if row.get("blockId") is not None:
            yield mint, row["usdPrice"], int(row["blockId"])
            if row.get("liquidity") is not None:
                yield mint + "#liquidity", row["liquidity"], now


def _dexscreener(told: Json) -> Iterable[Told]:
    deep: dict[str, list[tuple[Decimal, Decimal]]] = {}
    for pair in told:
        usd = Decimal((pair.get("liquidity") or {}).get("usd") or 0)
        cents = usd.quantize(Decimal("0.01"), rounding=ROUND_DOWN)
        price = pair.get("priceUsd")
        if pair["chainId"] == "solana" and price is not None and cents >= 10_000:
            deep.setdefault(pair["baseToken"]["address"], []).append((Decimal(price), cents))
    for mint, pools in deep.items():
        whole = sum(cents for _, cents in pools)
        yield (
            mint,
            next(
                price
                for price, _ in sorted(pools)
                if 2 * sum(cents for other, cents in pools if other <= price) >= whole
            ),
            None,
        )
        yield mint + "#liquidity", whole, None


def _coingecko(told: Json) -> Iterable[Told]:
    for coin in told:
        if coin.get("last_updated") is not None:
            at = moment_from_rfc3339(coin["last_updated"])
            for name, behind in (("current_price", ""), ("circulating_supply", "#circulating")):
                if coin.get(name) is not None:
                    yield coin["id"] + behind, coin[name], at


def _solana(told: Json) -> Iterable[Told]:
    whole: dict[str, Json] = {each["id"]: each.get("result") for each in told}
    for symbol in dict.fromkeys(name.partition(" ")[0] for name in whole):
        parts: list[Json] = [whole.get(f"{symbol} {address}") for address in symbol.split("-")]
        if None not in parts:
            first, *rest = (int(part["value"]["amount"]) for part in parts)
            places = -int(parts[0]["value"]["decimals"])
            slot = min(int(part["context"]["slot"]) for part in parts)
            yield symbol, Decimal(first - sum(rest)).scaleb(places), slot


def _pumpfun(told: Json) -> Iterable[Told]:
    result = told["result"]
    for curve, account in zip(told["id"].split(","), result["value"], strict=True):
        if account is None or account["owner"] != PUMP_PROGRAM:
            continue
        data = b64decode(account["data"][0])
        tokens, sol, _, held = (
            int.from_bytes(data[at : at + 8], "little") for at in (8, 16, 24, 32)
        )
        if not data[48]:
            slot = int(result["context"]["slot"])
            yield curve, Decimal(sol * 10**15 // tokens).scaleb(-18), slot
            yield curve + "#liquidity", Decimal(held).scaleb(-9), slot


READ_AGAIN: dict[str, Callable[[Any], Iterable[Told]]] = {
    "binance": _rows("s", "p", "a", lambda told: [told.get("data", told)]),
    "coinbase": _rows("product_id", "price", "trade_id", lambda told: [told]),
    "kraken": _rows("symbol", "price", "trade_id", lambda told: told["data"]),
    "okx": _rows("instId", "px", "tradeId", lambda told: told["data"]),
    "bybit": _rows("s", "p", "i", lambda told: [row for row in told["data"] if not row.get("BT")]),
    "bitstamp": lambda told: [
        (
            told["channel"].removeprefix("live_trades_"),
            told["data"]["price_str"],
            int(told["data"]["id"]),
        )
    ],
    "gemini": _rows("symbol", "price", "event_id", lambda told: [told]),
    "pyth": _pyth,
    "pumpportal": _pumpportal,
    "birdeye": lambda told: [(told["data"]["address"], told["data"]["c"], None)],
    "jupiter": _jupiter,
    "dexscreener": _dexscreener,
    "coingecko": _coingecko,
    "solana": _solana,
    "pumpfun": _pumpfun,
}
"""Each source's trades once more, read without our parsers."""
