"""Pump.fun: what a token costs on its bonding curve, from the curve's own account.

In        a JSON-RPC answer: `getMultipleAccounts` of curves, in the order in which they were asked.
Out       prices in SOL and the SOL in the curve, at the slot that they were read at.
Why       the account is the curve: no server stands between. A curve that is complete has moved
          to a pool, and its account says nothing any more.
"""

from base64 import b64decode
from collections.abc import Sequence
from struct import Struct

import msgspec

from rooms.decimal_text import text_from_whole
from rooms.refusal import Impossible, must
from streams.feeds.poll import LIQUIDITY, Ask, Poll, plain
from streams.feeds.venue import Denied, Heard, Trade
from streams.feeds.wire import read, sequence

PROGRAM = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P"
CURVE = bytes.fromhex("17b7f83760d8ac60")
_LAYOUT = Struct("<8sQQQQQ?")
"""What it is; virtual tokens and SOL, real tokens and SOL, total supply, complete."""

_SOL_PLACES, _TOKEN_PLACES, _PLACES = 9, 6, 18


class _Account(msgspec.Struct, frozen=True):
    owner: str
    data: tuple[str, str]


class _Context(msgspec.Struct, frozen=True):
    slot: int


class _Accounts(msgspec.Struct, frozen=True):
    context: _Context
    value: list[_Account | None]


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Answer(msgspec.Struct, frozen=True):
    id: str
    result: _Accounts | None = None
    error: _Error | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


def parse(answer: str) -> Sequence[Heard]:
    """Say what one answer means."""
    told = read(answer, _ANSWER)
    if told.result is None:
        return (Denied(told.error.message if told.error else "no answer"),)
    curves, slot = told.id.split(","), sequence(told.result.context.slot)
    must(len(curves) == len(told.result.value), "there is an answer for each curve")
    heard: list[Heard] = []
    for curve, account in zip(curves, told.result.value, strict=True):
        heard += _curve(curve, account, slot)
    return heard


def _curve(curve: str, account: _Account | None, slot: int) -> Sequence[Heard]:
    if account is None or account.owner != PROGRAM:
        return (Denied("is no curve of pump.fun", symbol=curve),)
    must(account.data[1] == "base64", "an account is in base64")
    try:
        data = b64decode(account.data[0], validate=True)
    except ValueError as error:
        raise Impossible(f"an account is in base64: {error}") from error
    must(len(data) >= _LAYOUT.size and data[:8] == CURVE, "an account of pump.fun is a curve")
    _, tokens, lamports, _, held, _, is_complete = _LAYOUT.unpack_from(data)
    if is_complete:
        return (Denied("has left its curve for a pool", symbol=curve),)
    must(tokens > 0, "a curve holds tokens")
    price = lamports * 10 ** (_PLACES - _SOL_PLACES + _TOKEN_PLACES) // tokens
    return (
        Trade(curve, text_from_whole(price, _PLACES), slot),
        Trade(curve + LIQUIDITY, text_from_whole(held, _SOL_PLACES), slot),
    )


def _ask(symbols: Sequence[str]) -> Ask:
    curves = plain(symbols)
    options = {"encoding": "base64", "commitment": "confirmed"}
    call = {
        "jsonrpc": "2.0",
        "id": ",".join(curves),
        "method": "getMultipleAccounts",
        "params": [curves, options],
    }
    return Ask("", msgspec.json.encode(call).decode())


PUMPFUN = Poll(
    name="pumpfun",
    default_url="https://api.mainnet-beta.solana.com",
    ask=_ask,
    parse=parse,
    every_ms=2_000,
    symbols_per_request=100,
    quote="SOL",
)
