"""Faults: each does what its name says, to one provider, as often as asked."""

import asyncio

import httpx
import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from sandbox.solana.serve import RunningSolana
from tests.sandbox_solana.wire import SOL, NodeError, Wire, legacy, pay

TOO_MANY = [["1" * 32] * 101]


@pytest.fixture
async def transaction(wire: Wire, rich: Keypair) -> VersionedTransaction:
    return legacy([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich)


def signature_of(transaction: VersionedTransaction) -> str:
    return str(transaction.signatures[0])


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("unavailable", 503, "Unavailable"),
        ("throttled", 429, "rate limited"),
        ("html", 200, "<html>"),
    ],
)
async def test_a_refusing_provider_did_nothing(
    solana: RunningSolana,
    wire: Wire,
    second: Wire,
    transaction: VersionedTransaction,
    kind: str,
    status: int,
    words: str,
) -> None:
    solana.control.fault(0, kind)
    answer = await wire.raw("getSlot")
    assert answer.status_code == status
    assert words in answer.text
    assert await second.status(signature_of(transaction), search=True) is None
    assert await second.call("getHealth") == "ok"
    solana.control.clear_faults(0)
    assert await wire.call("getHealth") == "ok"


async def test_a_late_provider_did_it_and_cannot_say_so(
    solana: RunningSolana, wire: Wire, second: Wire, transaction: VersionedTransaction
) -> None:
    solana.control.fault(0, "late", methods=["sendTransaction"], times=1)
    with pytest.raises(ValueError, match="Expecting value"):
        await wire.send(transaction)
    assert (await second.status(signature_of(transaction)))["err"] is None
    with pytest.raises(NodeError, match="already been processed"):
        await wire.send(transaction)


async def test_a_swallowing_provider_accepts_and_forgets(
    solana: RunningSolana, wire: Wire, second: Wire, transaction: VersionedTransaction
) -> None:
    solana.control.fault(0, "swallowed", times=1)
    assert await wire.send(transaction) == signature_of(transaction)
    assert await second.status(signature_of(transaction), search=True) is None
    await wire.send(transaction)
    assert (await second.status(signature_of(transaction)))["err"] is None


async def test_providers_can_contradict_each_other(
    solana: RunningSolana,
    wire: Wire,
    second: Wire,
    rich: Keypair,
    transaction: VersionedTransaction,
) -> None:
    signature = await wire.send(transaction)
    solana.control.advance(20)
    solana.control.fault(1, "denied")
    assert (await wire.status(signature, search=True))["confirmationStatus"] == "finalized"
    assert await second.status(signature, search=True) is None
    assert await second.call("getTransaction", signature) is None
    assert await second.call("getSignaturesForAddress", str(rich.pubkey())) == []
    solana.control.clear_faults()
    solana.control.fault(1, "claimed")
    unknown = "1" * 64
    assert await wire.status(unknown, search=True) is None
    assert (await second.status(unknown, search=True))["confirmationStatus"] == "finalized"


async def test_a_forgetful_provider_knows_only_its_history(
    solana: RunningSolana, wire: Wire, transaction: VersionedTransaction
) -> None:
    signature = await wire.send(transaction)
    solana.control.fault(0, "forgotten")
    assert await wire.status(signature) is None
    assert (await wire.status(signature, search=True))["err"] is None


async def test_wrong_answers_look_like_answers(
    solana: RunningSolana, wire: Wire, transaction: VersionedTransaction
) -> None:
    solana.control.fault(0, "wrong_signature")
    told = await wire.send(transaction)
    assert told != signature_of(transaction)
    assert 80 <= len(told) <= 90
    height = await wire.call("getBlockHeight")
    solana.control.fault(0, "wrong_height", methods=["getBlockHeight"])
    assert await wire.call("getBlockHeight") == height + 1_000_000
    solana.control.clear_faults()
    solana.control.fault(0, "truncated", times=1)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        await wire.call("getGenesisHash")
    solana.control.fault(0, "huge", times=1)
    assert len((await wire.raw("getSlot")).content) > 16_000_000


async def test_errors_come_in_the_share_and_number_asked_for(
    solana: RunningSolana, wire: Wire
) -> None:
    solana.control.fault(0, "error", methods=["getSlot"], percent=50)

    async def fails() -> bool:
        try:
            await wire.call("getSlot")
        except NodeError as error:
            return error.code == -32603
        return False

    failed = sum([await fails() for _ in range(60)])
    assert 15 < failed < 45
    assert await wire.call("getHealth") == "ok"
    solana.control.clear_faults()
    solana.control.fault(0, "unhealthy", times=2)
    for _ in range(2):
        with pytest.raises(NodeError, match="unhealthy"):
            await wire.call("getHealth")
    assert await wire.call("getHealth") == "ok"


async def test_a_silent_provider_keeps_its_caller_waiting(
    solana: RunningSolana, wire: Wire, http: httpx.AsyncClient
) -> None:
    solana.control.fault(0, "silent", methods=["getSlot"])
    with pytest.raises(httpx.ReadTimeout):
        await http.post(
            wire.url,
            json={"jsonrpc": "2.0", "id": 1, "method": "getSlot"},
            timeout=0.2,
        )


async def test_what_a_lagging_provider_is_asked_twice_it_answers_from_behind(
    solana: RunningSolana, wire: Wire, second: Wire
) -> None:
    solana.control.set_lag(1, 50)
    ahead, behind = await asyncio.gather(
        wire.call("getSlot", {"commitment": "processed"}),
        second.call("getSlot", {"commitment": "processed"}),
    )
    assert 49 <= ahead - behind <= 51


async def test_the_levers_can_be_pulled_over_http(
    solana: RunningSolana, http: httpx.AsyncClient, wire: Wire
) -> None:
    async def pull(lever: str, **given: object) -> httpx.Response:
        return await http.post(f"{solana.control_url}/{lever}", json=given)

    key = Keypair().pubkey()
    assert (await pull("airdrop", address=str(key), lamports=SOL)).status_code == 200
    assert await wire.balance(key) == SOL
    assert (await pull("set_rent", lamports_per_byte=6_960)).json() == {"result": 890_880}
    slot = (await pull("advance", blocks=3)).json()["result"]
    assert await wire.call("getSlot", {"commitment": "processed"}) == slot
    assert (await pull("fault", provider=0, kind="denied", times=2)).status_code == 200
    state = (await http.get(f"{solana.control_url}/")).json()
    assert state["slot"] == slot
    assert state["providers"][0]["faults"] == [
        {"kind": "denied", "methods": [], "times": 2, "percent": 100}
    ]
    for lever, given, status, words in (
        ("explode", {}, 404, "no such lever"),
        ("fault", {"provider": 0, "kind": "bad luck"}, 400, "bad luck"),
        ("fault", {"provider": 5, "kind": "error"}, 400, "0 to 1"),
        ("set_lag", {"provider": 0, "slots": -1}, 400, "from 0"),
        ("advance", {"blocks": 0}, 400, "at least 1"),
        ("advance", {"when": "now"}, 400, "unexpected keyword"),
        ("fork", {"from_slot": 1}, 400, "finalized"),
    ):
        refused = await pull(lever, **given)
        assert refused.status_code == status
        assert words in refused.json()["error"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"jsonrpc": "2.0", "id": 1, "method": "getNothing"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "getBalance"}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": ["0OIl"]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": {"a": 1}}, -32602),
        ({"jsonrpc": "2.0", "id": 1}, -32600),
        ([], -32600),
        (7, -32600),
        (
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "getMultipleAccounts",
                "params": [["1" * 32] * 101],
            },
            -32602,
        ),
    ],
)
async def test_nonsense_is_refused_with_the_protocols_code(
    wire: Wire, body: object, code: int
) -> None:
    assert (await wire.post(body)).json()["error"]["code"] == code


async def test_many_calls_travel_in_one_request(wire: Wire) -> None:
    answers = (
        await wire.post(
            [
                {"jsonrpc": "2.0", "id": "a", "method": "getHealth"},
                {"jsonrpc": "2.0", "id": 2, "method": "getNothing"},
                {"jsonrpc": "2.0", "id": 3, "method": "getBlockHeight", "params": []},
            ]
        )
    ).json()
    assert [answer["id"] for answer in answers] == ["a", 2, 3]
    assert answers[0]["result"] == "ok"
    assert answers[1]["error"]["code"] == -32601
    assert isinstance(answers[2]["result"], int)


async def test_a_body_a_node_would_not_read_is_refused(wire: Wire, http: httpx.AsyncClient) -> None:
    assert (await http.post(wire.url, content=b"{")).json()["error"]["code"] == -32700
    assert (await http.post(wire.url, content=b" " * 60_000)).status_code == 413
