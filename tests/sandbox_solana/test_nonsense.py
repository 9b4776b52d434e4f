"""Nonsense: whatever is sent, a node answers and the chain goes on."""

import asyncio
from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from sandbox.solana.chain import Chain
from sandbox.solana.chain_log import ChainLog
from sandbox.solana.node import Node
from sandbox.solana.rpc import METHODS, Rpc
from sandbox.solana.settings import SolanaSettings

NAMES = st.sampled_from(
    [
        "commitment",
        "encoding",
        "limit",
        "before",
        "until",
        "minContextSlot",
        "dataSlice",
        "filters",
        "options",
        "accounts",
        "maxSupportedTransactionVersion",
        "sortOrder",
        "paginationToken",
        "offset",
        "length",
        "slot",
        "gte",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(["confirmed", "base64", "jsonParsed", "1" * 32, "1" * 64, "AAEC", "5:2"]),
)
PARAMETERS = st.lists(
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@cache
def a_node() -> Rpc:
    chain = Chain(SolanaSettings(manual=True), ChainLog(None))
    chain.airdrop(Keypair().pubkey(), 10**9)
    chain.advance(20)
    return Rpc(Node(chain, "fuzzed", seed=1), asyncio.Event())


@given(st.sampled_from(sorted(METHODS)), PARAMETERS)
def test_no_parameters_break_a_method(method: str, given_parameters: list[object]) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given_parameters}
    answer = a_node()._answer(call, None)
    assert answer is not None
    error = answer.get("error")
    assert error is None or (isinstance(error, dict) and error["message"] != "Internal error")


@given(PARAMETERS, st.one_of(st.none(), st.text(), st.integers(), st.lists(st.none(), max_size=1)))
def test_no_call_is_left_without_an_answer(parameters: object, number: object) -> None:
    call = {"id": number, "method": "getSlot", "params": parameters}
    assert a_node()._answer(call, None) is not None
