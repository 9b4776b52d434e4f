"""Solana: how many of a token there are, from the chain itself.

In        a JSON-RPC batch's answers: `getTokenSupply` of a mint, `getTokenAccountBalance` of
          accounts that do not circulate.
Out       the supply, less those accounts, at the oldest slot that any of the answers is of.
Why       a symbol says what is counted: ``MINT`` is all that exist, ``MINT-ACCOUNT-ACCOUNT`` is
          what is not in those accounts. One account that cannot be read means no supply at all.
"""

from collections.abc import Sequence

import msgspec

from rooms.decimal_text import text_from_whole
from rooms.refusal import must
from streams.feeds.poll import Ask, Poll
from streams.feeds.venue import Denied, Heard, Trade
from streams.feeds.wire import read, sequence


class _Context(msgspec.Struct, frozen=True):
    slot: int


class _Amount(msgspec.Struct, frozen=True):
    amount: str
    decimals: int


class _Result(msgspec.Struct, frozen=True):
    context: _Context
    value: _Amount


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Answer(msgspec.Struct, frozen=True):
    id: str
    result: _Result | None = None
    error: _Error | None = None


_ANSWERS = msgspec.json.Decoder(list[_Answer])


def parse(answer: str) -> Sequence[Heard]:
    """Say what one batch of answers means."""
    told: dict[str, dict[str, _Answer]] = {}
    for each in read(answer, _ANSWERS):
        symbol, space, address = each.id.partition(" ")
        must(bool(space) and address in symbol.split("-"), "an answer is to something asked")
        told.setdefault(symbol, {})[address] = each
    return [_supply(symbol, answers) for symbol, answers in told.items()]


def _supply(symbol: str, answers: dict[str, _Answer]) -> Heard:
    mint, *apart = symbol.split("-")
    results: list[_Result] = []
    for address in (mint, *apart):
        answer = answers.get(address)
        if answer is None or answer.result is None:
            why = answer.error.message if answer and answer.error else "no answer"
            return Denied(f"{address}: {why}", symbol=symbol)
        results.append(answer.result)
    decimals = results[0].value.decimals
    must(0 <= decimals <= 18, "a token has a few decimal places")
    must(all(each.value.decimals == decimals for each in results), "accounts are of the mint")
    whole, *kept = (_whole(each.value.amount) for each in results)
    circulating = whole - sum(kept)
    must(circulating >= 0, "no more is kept than there is")
    slot = min(sequence(each.context.slot) for each in results)
    return Trade(symbol, text_from_whole(circulating, decimals), slot)


def _whole(amount: str) -> int:
    must(amount.isascii() and amount.isdigit() and len(amount) <= 20, "an amount is digits")
    return int(amount)


def _ask(symbols: Sequence[str]) -> Ask:
    calls = [
        {
            "jsonrpc": "2.0",
            "id": f"{symbol} {address}",
            "method": "getTokenSupply" if nth == 0 else "getTokenAccountBalance",
            "params": [address, {"commitment": "finalized"}],
        }
        for symbol in symbols
        for nth, address in enumerate(symbol.split("-"))
    ]
    return Ask("", msgspec.json.encode(calls).decode())


SOLANA = Poll(
    name="solana",
    default_url="https://api.mainnet-beta.solana.com",
    ask=_ask,
    parse=parse,
    every_ms=10_000,
    symbols_per_request=5,
)
