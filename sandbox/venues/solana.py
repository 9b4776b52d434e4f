"""Solana: as far as prices and supplies are asked of its JSON-RPC; the chain itself is elsewhere.

In        one call or a batch: `getTokenSupply`, `getTokenAccountBalance`, `getMultipleAccounts`.
Out       supplies of the market's tokens; bonding curves whose reserves are at the market's price.
"""

from base64 import b64encode
from collections.abc import Mapping
from struct import pack

from sandbox.venues.asked import Answering, Question
from sandbox.venues.market import Market
from sandbox.venues.tokens import SLOT_MS, curve, mint, token

PUMP_PROGRAM = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P"
CURVE = bytes.fromhex("17b7f83760d8ac60")
VIRTUAL_SOL = 40 * 10**9
REAL_SOL = 10 * 10**9
KEPT_PERCENT = 12
"""An account that does not circulate has so much of its mint."""


def _answer(market: Market, question: Question) -> object:
    if isinstance(question.body, list):
        return [_call(market, each, question.at) for each in question.body]
    return _call(market, question.body, question.at)


def _call(market: Market, asked: object, at: int) -> object:
    call: Mapping[str, object] = asked if isinstance(asked, dict) else {}
    told = {"jsonrpc": "2.0", "id": call.get("id")}
    params = call.get("params")
    first = params[0] if isinstance(params, list) and params else None
    context = {"apiVersion": "3.0.0", "slot": at // SLOT_MS}
    match call.get("method"):
        case "getTokenSupply" | "getTokenAccountBalance":
            value = _amount(market, str(first), kept=call["method"] != "getTokenSupply")
            if value is None:
                error = {"code": -32602, "message": "Invalid param: could not find account"}
                return told | {"error": error}
        case "getMultipleAccounts":
            addresses = first if isinstance(first, list) else []
            return told | {
                "result": {
                    "context": context,
                    "value": [_curve(market, str(address), at) for address in addresses],
                }
            }
        case _:
            return told | {"error": {"code": -32601, "message": "Method not found"}}
    return told | {"result": {"context": context, "value": value}}


def kept_account(coin: str) -> str:
    """Name an account that keeps some of a coin from circulating."""
    return mint(coin)[:-4] + "kept"


def _amount(market: Market, address: str, *, kept: bool) -> object:
    for coin in market.coins:
        if address == (kept_account(coin) if kept else mint(coin)):
            there = token(coin)
            amount = there.supply * 10**there.decimals * (KEPT_PERCENT if kept else 100) // 100
            return {
                "amount": str(amount),
                "decimals": there.decimals,
                "uiAmount": amount / 10**there.decimals,
                "uiAmountString": str(amount // 10**there.decimals),
            }
    return None


def _curve(market: Market, address: str, at: int) -> object:
    for coin in market.coins:
        if address != curve(coin):
            continue
        traded_at = market.last_at("pumpfun", coin, at)
        if traded_at is None:
            return None
        data = pack(
            "<8sQQQQQ?",
            CURVE,
            virtual_tokens(market, coin, traded_at),
            VIRTUAL_SOL,
            virtual_tokens(market, coin, traded_at) // 2,
            REAL_SOL,
            token(coin).supply * 10**6,
            False,
        )
        return {
            "lamports": REAL_SOL,
            "owner": PUMP_PROGRAM,
            "data": [b64encode(data + bytes(32)).decode(), "base64"],
            "executable": False,
            "rentEpoch": 2**64 - 1,
            "space": len(data) + 32,
        }
    return None


def virtual_tokens(market: Market, coin: str, at: int) -> int:
    """Say how many base units a curve holds beside its SOL, so that it is at the price."""
    price_e12, sol_e12 = market.price_e12(coin, at), market.price_e12("SOL", at)
    return VIRTUAL_SOL * sol_e12 // (price_e12 * 1_000)


SOLANA = Answering(name="solana", symbol=mint, answer=_answer)
PUMPFUN = Answering(name="pumpfun", symbol=curve, answer=_answer)
