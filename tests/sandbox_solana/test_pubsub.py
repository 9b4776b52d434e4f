"""Sockets: who is told what, when."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solders.keypair import Keypair
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sandbox.solana.serve import RunningSolana
from tests.sandbox_solana.wire import SOL, Wire, legacy, memo, pay, subscribe

ONLY_PROCESSED = {"commitment": "processed", "encoding": "base64"}


@pytest.fixture
async def socket(solana: RunningSolana) -> AsyncIterator[ClientConnection]:
    async with connect(solana.ws_url) as connection:
        yield connection


async def heard(socket: ClientConnection) -> Any:  # noqa: ANN401 - whatever JSON it is
    return json.loads(await asyncio.wait_for(socket.recv(), 5))


async def silent(socket: ClientConnection) -> bool:
    """Ask something and see that nothing came before the answer."""
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": 99, "method": "getHealth"}))
    answer = await heard(socket)
    return bool(answer.get("id") == 99)


@pytest.mark.parametrize(
    ("commitment", "blocks"), [("processed", 0), ("confirmed", 1), ("finalized", 8)]
)
async def test_a_signature_is_told_once_when_it_reaches_the_commitment(
    wire: Wire,
    rich: Keypair,
    solana: RunningSolana,
    socket: ClientConnection,
    commitment: str,
    blocks: int,
) -> None:
    transaction = legacy([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich)
    signature = str(transaction.signatures[0])
    number = await subscribe(socket, "signatureSubscribe", signature, {"commitment": commitment})
    await wire.send(transaction)
    for _ in range(blocks):
        assert await silent(socket)
        solana.control.advance(1)
    note = await heard(socket)
    assert note["method"] == "signatureNotification"
    assert note["params"]["subscription"] == number
    assert note["params"]["result"]["value"] == {"err": None}
    solana.control.advance(10)
    assert await silent(socket)


async def test_a_signature_that_landed_before_is_told_at_once(
    wire: Wire, rich: Keypair, solana: RunningSolana, socket: ClientConnection
) -> None:
    signature = await wire.send(
        legacy([pay(rich, Keypair().pubkey(), 2_000 * SOL)], await wire.blockhash(), rich),
        skipPreflight=True,
    )
    solana.control.advance(1)
    await subscribe(socket, "signatureSubscribe", signature, {"commitment": "confirmed"})
    value = (await heard(socket))["params"]["result"]["value"]
    assert value == {"err": {"InstructionError": [0, {"Custom": 1}]}}


async def test_an_account_is_told_when_it_changed(
    wire: Wire, rich: Keypair, solana: RunningSolana, socket: ClientConnection
) -> None:
    to = Keypair().pubkey()
    asked = {"commitment": "confirmed", "encoding": "base64"}
    await subscribe(socket, "accountSubscribe", str(to), asked)
    await wire.send(legacy([pay(rich, to, SOL)], await wire.blockhash(), rich))
    await wire.send(legacy([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich))
    assert await silent(socket), "it is not confirmed yet"
    solana.control.advance(1)
    result = (await heard(socket))["params"]["result"]
    assert result["value"]["lamports"] == SOL
    assert result["context"]["slot"] == await wire.call("getSlot", {"commitment": "confirmed"})
    signature = await wire.send(
        legacy([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich)
    )
    solana.control.advance(2)
    assert await silent(socket), "only others changed since"
    paid = (await signatures(wire, rich)).index(signature) + 2
    solana.control.fork(drop=[(await signatures(wire, rich))[paid]])
    assert (await heard(socket))["params"]["result"]["value"]["lamports"] == 0


async def signatures(wire: Wire, key: Keypair) -> list[str]:
    rows = await wire.call(
        "getSignaturesForAddress", str(key.pubkey()), {"commitment": "confirmed"}
    )
    return [row["signature"] for row in rows]


async def test_logs_that_mention_an_address_are_told_in_order(
    wire: Wire, rich: Keypair, solana: RunningSolana, socket: ClientConnection
) -> None:
    other = Keypair()
    solana.control.airdrop(str(other.pubkey()), SOL)
    mentions = {"mentions": [str(rich.pubkey())]}
    await subscribe(socket, "logsSubscribe", mentions, {"commitment": "processed"})
    await wire.send(legacy([memo("not this", other)], await wire.blockhash(), other))
    sent = [
        await wire.send(legacy([memo(f"r1 back {n}", rich)], await wire.blockhash(), rich))
        for n in range(3)
    ]
    values = [(await heard(socket))["params"]["result"]["value"] for _ in range(3)]
    assert [value["signature"] for value in values] == sent
    assert any("r1 back 2" in line for line in values[2]["logs"])


async def test_slots_and_roots_are_told_as_they_come(
    solana: RunningSolana, socket: ClientConnection
) -> None:
    await subscribe(socket, "slotSubscribe")
    roots = await subscribe(socket, "rootSubscribe")
    solana.control.advance(1)
    first, root = (await heard(socket))["params"], (await heard(socket))["params"]
    assert root["subscription"] == roots
    assert first["result"]["root"] == root["result"]
    await subscribe_off(socket, "rootUnsubscribe", roots)
    solana.control.advance(2)
    chain = [(await heard(socket))["params"]["result"] for _ in range(2)]
    assert [one["parent"] for one in chain] == [first["result"]["slot"], chain[0]["slot"]]


async def subscribe_off(socket: ClientConnection, method: str, number: int) -> None:
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": 5, "method": method, "params": [number]}))
    assert (await heard(socket))["result"] is True


async def test_subscription_0_is_a_subscription(socket: ClientConnection) -> None:
    assert await subscribe(socket, "slotSubscribe") == 0
    await socket.send(
        json.dumps({"jsonrpc": "2.0", "id": 6, "method": "accountUnsubscribe", "params": [0]})
    )
    assert (await heard(socket))["error"]["code"] == -32602
    await subscribe_off(socket, "slotUnsubscribe", 0)


async def test_sockets_can_be_cut_and_muted(
    solana: RunningSolana, socket: ClientConnection
) -> None:
    await subscribe(socket, "slotSubscribe")
    solana.control.fault(0, "mute")
    solana.control.advance(1)
    assert await silent(socket)
    solana.control.clear_faults()
    solana.control.advance(1)
    assert (await heard(socket))["method"] == "slotNotification"
    assert solana.control.cut_sockets(0) == 1
    with pytest.raises(ConnectionClosed):
        while True:
            await heard(socket)


async def test_a_socket_for_which_too_much_waits_is_given_up(
    wire: Wire, rich: Keypair, solana: RunningSolana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.solana.pubsub._QUEUE_MAX", 10)
    async with (
        connect(solana.ws_url, close_timeout=0.1) as greedy,
        connect(solana.ws_url) as modest,
    ):
        for _ in range(20):
            await subscribe(greedy, "accountSubscribe", str(rich.pubkey()), ONLY_PROCESSED)
        await subscribe(modest, "accountSubscribe", str(rich.pubkey()), ONLY_PROCESSED)
        await wire.send(legacy([memo("tick", rich)], await wire.blockhash(), rich))
        with pytest.raises(ConnectionClosed):
            while True:
                await heard(greedy)
        assert (await heard(modest))["method"] == "accountNotification"


async def test_a_client_that_vanishes_leaves_nothing_behind(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    async with connect(solana.ws_url, close_timeout=0.1) as gone:
        await subscribe(gone, "slotSubscribe")
        gone.transport.abort()
    solana.control.advance(5)
    await wire.send(legacy([memo("still here", rich)], await wire.blockhash(), rich))
    assert await wire.call("getHealth") == "ok"


async def test_what_is_no_json_is_answered_and_the_socket_stays(
    socket: ClientConnection,
) -> None:
    await socket.send("{")
    assert (await heard(socket))["error"]["code"] == -32700
    assert await silent(socket)
