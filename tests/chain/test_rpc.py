"""A node that lies, drips, floods or is gone costs us one clear error and a bounded wait."""

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from solders.transaction import VersionedTransaction

from chain.keystore import Keystore
from chain.rpc import Rpc
from chain.settings import Endpoint, FeeSettings, RpcSettings
from chain.signer import KeyPath
from chain.transactions import Batch, RecentBlockhash, Transfer, sign_batch
from chain.trouble import Garbled, NotKnown, RateLimited, RpcRefused, Unreachable
from rooms.units import BlockHeight, Lamports, Signature, Slot
from tests.chain.world import address, keypair

SECRET = "s3cr3t-key"
SETTINGS = RpcSettings(answer_ms_max=250, answer_bytes_max=10_000)


@dataclass
class Recorded:
    """A server on loopback that answers what a test gave it, and remembers what it was asked."""

    status: str = "200 OK"
    body: bytes | None = None
    result: object = None
    headers: str = ""
    drip_ms: int = 0
    endless: bool = False
    hang_up: bool = False
    asked: list[dict[str, object]] = field(default_factory=list)
    held: list[asyncio.StreamWriter] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.held.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                request = json.loads(await reader.readexactly(length))
                self.asked.append(request)
                if self.hang_up:
                    return
                await self._write(writer, request)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _write(self, writer: asyncio.StreamWriter, request: dict[str, object]) -> None:
        told = {"jsonrpc": "2.0", "id": request["id"], "result": self.result}
        body = self.body if self.body is not None else json.dumps(told).encode()
        length = 10**9 if self.endless or self.drip_ms else len(body)
        writer.write(
            f"HTTP/1.1 {self.status}\r\n{self.headers}content-length: {length}\r\n\r\n".encode()
        )
        while self.endless:
            writer.write(b" " * 4_096)
            await writer.drain()
        while self.drip_ms:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(self.drip_ms / 1_000)
        writer.write(body)
        await writer.drain()


@asynccontextmanager
async def serving(recorded: Recorded) -> AsyncIterator[Rpc]:
    server = await asyncio.start_server(recorded.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint("one", f"http://127.0.0.1:{port}/?api-key={SECRET}")
    try:
        async with Rpc(endpoint, SETTINGS) as rpc:
            yield rpc
    finally:
        server.close()
        for writer in recorded.held:
            writer.close()
        await server.wait_closed()


def envelope(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, **members}).encode()


BAD_BODIES = {
    "nothing": b"",
    "HTML": b"<html><body>502 Bad Gateway</body></html>",
    "not UTF-8": b'{"jsonrpc":"2.0","id":1,"result":"\xff\xfe"}',
    "half of it": b'{"jsonrpc":"2.0","id":1,"resu',
    "a list": b"[]",
    "another id": envelope(result=5, id=2),
    "an id as text": envelope(result=5, id="1"),
    "another protocol": envelope(result=5, jsonrpc="1.0"),
    "neither result nor error": envelope(),
    "a null": envelope(result=None),
    "a float": envelope(result=5.0),
    "text": envelope(result="5"),
    "true": envelope(result=True),
    "a negative": envelope(result=-5),
    "too large a number": envelope(result=2**64),
    "deep nesting": b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 9_000,
}


@pytest.mark.parametrize("kind", BAD_BODIES)
async def test_garbage_is_garbled_and_never_a_slot(kind: str) -> None:
    async with serving(Recorded(body=BAD_BODIES[kind])) as rpc:
        with pytest.raises(Garbled):
            await rpc.slot("finalized")


def test_a_flood_is_cut_off() -> None:
    """Its own loop, so that a client that read on would be seen to hang."""

    async def flooded() -> None:
        async with serving(Recorded(endless=True)) as rpc:
            with pytest.raises(Garbled, match="too many bytes"):
                await rpc.slot("finalized")

    asyncio.run(asyncio.wait_for(flooded(), 5))


async def test_a_drip_that_never_ends_is_over_in_time() -> None:
    loop = asyncio.get_running_loop()
    async with serving(Recorded(drip_ms=20)) as rpc:
        began = loop.time()
        with pytest.raises(Unreachable, match="in time"):
            await rpc.slot("finalized")
        assert loop.time() - began < 2


async def test_a_node_that_hangs_up_or_is_not_there_is_unreachable() -> None:
    async with serving(Recorded(hang_up=True)) as rpc:
        with pytest.raises(Unreachable, match="could not be asked"):
            await rpc.slot("finalized")
    async with Rpc(Endpoint("one", "http://127.0.0.1:9/"), SETTINGS) as rpc:
        with pytest.raises(Unreachable, match="one could not be asked for getSlot"):
            await rpc.slot("finalized")


@pytest.mark.parametrize(
    ("headers", "wish"),
    [("", None), ("retry-after: 7\r\n", 7_000), ("retry-after: soon\r\n", None)],
)
async def test_too_many_questions_are_told_apart(headers: str, wish: int | None) -> None:
    recorded = Recorded(status="429 Too Many Requests", headers=headers, body=b"")
    async with serving(recorded) as rpc:
        with pytest.raises(RateLimited) as caught:
            await rpc.slot("finalized")
    assert caught.value.retry_after_ms == wish
    in_body = Recorded(body=envelope(error={"code": -32429, "message": "rate limited"}))
    async with serving(in_body) as rpc:
        with pytest.raises(RateLimited):
            await rpc.slot("finalized")


@pytest.mark.parametrize("status", ["500 Oops", "403 Forbidden", "301 Moved", "204 No Content"])
async def test_any_other_http_answer_is_none(status: str) -> None:
    async with serving(Recorded(status=status, body=envelope(result=5))) as rpc:
        with pytest.raises(Unreachable, match=f"HTTP {status[:3]}"):
            await rpc.slot("finalized")


async def test_an_error_of_the_nodes_keeps_its_code() -> None:
    body = envelope(error={"code": -32005, "message": "Node is behind", "data": {"behind": 99}})
    async with serving(Recorded(body=body)) as rpc:
        with pytest.raises(
            RpcRefused, match=r"one answered error -32005: Node is behind"
        ) as caught:
            await rpc.slot("finalized")
    assert caught.value.code == -32005
    assert "99" in caught.value.detail


async def test_a_null_error_beside_a_result_is_no_error() -> None:
    async with serving(Recorded(body=envelope(result=5, error=None))) as rpc:
        assert await rpc.slot("finalized") == 5


async def test_no_error_log_or_repr_shows_the_endpoints_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    seen: list[str] = []
    for recorded in (
        Recorded(result=5),
        Recorded(hang_up=True),
        Recorded(body=b"<html>"),
        Recorded(status="429 Slow down"),
        Recorded(status="500 Oops"),
        Recorded(drip_ms=20),
    ):
        async with serving(recorded) as rpc:
            seen.append(repr(rpc))
            try:
                await rpc.slot("finalized")
            except NotKnown as trouble:
                seen.extend((str(trouble), repr(trouble)))
                seen.extend(traceback.format_exception(trouble))
    seen.append(repr(Endpoint("one", f"https://example.org/?api-key={SECRET}")))
    assert len(seen) > 15
    assert SECRET not in "".join(seen) + caplog.text


SIGNATURE = Signature("5" * 88)
ANA = address(keypair(11).pubkey())


@pytest.mark.parametrize(
    ("ask", "result"),
    [
        (lambda rpc: rpc.latest_blockhash(), {"context": {"slot": 1}, "value": {}}),
        (lambda rpc: rpc.latest_blockhash(), {"value": {"blockhash": "x"}}),
        (lambda rpc: rpc.block_height("finalized"), {"absoluteSlot": 5}),
        (lambda rpc: rpc.block_height("finalized"), {"absoluteSlot": 5, "blockHeight": "4"}),
        (lambda rpc: rpc.signature_statuses([SIGNATURE]), {"context": {"slot": 1}, "value": []}),
        (
            lambda rpc: rpc.signature_statuses([SIGNATURE]),
            {"context": {"slot": 1}, "value": [None, None]},
        ),
        (
            lambda rpc: rpc.signature_statuses([SIGNATURE]),
            {"context": {"slot": 1}, "value": [{"slot": 1, "err": None}]},
        ),
        (
            lambda rpc: rpc.signature_statuses([SIGNATURE]),
            {
                "context": {"slot": 1},
                "value": [{"slot": 1, "confirmationStatus": "finalized"}],
            },
        ),
        (
            lambda rpc: rpc.signature_statuses([SIGNATURE]),
            {
                "context": {"slot": 1},
                "value": [{"slot": 1, "err": None, "confirmationStatus": "rooted"}],
            },
        ),
        (lambda rpc: rpc.balances([ANA], "confirmed"), {"context": {"slot": 1}, "value": []}),
        (
            lambda rpc: rpc.balances([ANA], "confirmed"),
            {
                "context": {"slot": 1},
                "value": [{"lamports": -1, "owner": "x", "executable": False}],
            },
        ),
        (lambda rpc: rpc.signatures_for(ANA, limit=1), [{"signature": "x", "slot": 1}]),
        (lambda rpc: rpc.rent_minimum(), None),
        (lambda rpc: rpc.transaction(SIGNATURE), []),
        (
            lambda rpc: rpc.simulate(bytes(VersionedTransaction.default()), Slot(5)),
            {"context": {"slot": 1}, "value": None},
        ),
        (lambda rpc: rpc.block_time(Slot(1)), 10**13),
    ],
)
async def test_an_answer_that_is_not_whole_is_garbled(
    ask: Callable[[Rpc], Awaitable[object]], result: object
) -> None:
    async with serving(Recorded(result=result)) as rpc:
        with pytest.raises(Garbled):
            await ask(rpc)


async def test_more_signatures_than_asked_for_are_garbled() -> None:
    one = {"signature": "x", "slot": 1, "err": None, "confirmationStatus": "confirmed"}
    async with serving(Recorded(result=[one, one])) as rpc:
        with pytest.raises(Garbled, match="more signatures"):
            await rpc.signatures_for(ANA, limit=1)


async def test_what_we_ask_is_what_solana_documents() -> None:
    recorded = Recorded(result=None)
    async with serving(recorded) as rpc:
        for ask in (
            rpc.transaction(SIGNATURE, "finalized"),
            rpc.signature_statuses([SIGNATURE]),
            rpc.balances([ANA], "confirmed"),
            rpc.signatures_for(ANA, until=SIGNATURE, before=SIGNATURE, limit=9),
        ):
            try:
                await ask
            except Garbled:
                continue
    assert [(each["method"], each["params"]) for each in recorded.asked] == [
        (
            "getTransaction",
            [
                SIGNATURE,
                {
                    "commitment": "finalized",
                    "encoding": "base64",
                    "maxSupportedTransactionVersion": 1,
                },
            ],
        ),
        ("getSignatureStatuses", [[SIGNATURE], {"searchTransactionHistory": True}]),
        (
            "getMultipleAccounts",
            [
                [ANA],
                {
                    "commitment": "confirmed",
                    "encoding": "base64",
                    "dataSlice": {"offset": 0, "length": 0},
                },
            ],
        ),
        (
            "getSignaturesForAddress",
            [
                ANA,
                {"commitment": "confirmed", "limit": 9, "until": SIGNATURE, "before": SIGNATURE},
            ],
        ),
    ]


async def signed_raw(keystore: Keystore) -> tuple[bytes, Signature]:
    fee_payer = await keystore.address(KeyPath.fee_payer())
    batch = Batch(
        transfers=(Transfer(fee_payer, ANA, Lamports(5)),),
        memo="r1 test",
        owner=fee_payer,
        fee_payer=fee_payer,
    )
    recent = RecentBlockhash("1" * 32, BlockHeight(1), Slot(1))
    paths = {fee_payer: KeyPath.fee_payer()}
    signed = await sign_batch(keystore, batch, paths, recent, FeeSettings())
    return signed.raw, signed.signature


def relays(signature: Signature) -> Iterator[tuple[Recorded, str | None]]:
    already = {"code": -32002, "message": "Transaction simulation failed", "data": {}}
    yield Recorded(result=signature), None
    yield Recorded(body=envelope(error={**already, "data": {"err": "AlreadyProcessed"}})), None
    yield (
        Recorded(
            body=envelope(
                error={
                    "code": -32002,
                    "message": "This transaction has already been processed",
                }
            )
        ),
        None,
    )
    yield Recorded(body=envelope(error={**already, "data": {"err": "BlockhashNotFound"}})), "Blockh"
    yield Recorded(result="another"), "another name"
    yield Recorded(hang_up=True), "could not be asked"
    yield Recorded(status="429 Slow down"), "fewer questions"
    yield Recorded(body=b"<html>"), "did not answer"


async def test_sending_answers_relayed_or_why_not_and_nothing_else(keystore: Keystore) -> None:
    raw, signature = await signed_raw(keystore)
    for recorded, refused in relays(signature):
        async with serving(recorded) as rpc:
            relay = await rpc.send(raw)
            assert relay.provider == "one"
            if refused is None:
                assert relay.relayed, relay.refused
            else:
                assert not relay.relayed
                assert refused in (relay.refused or "")


async def test_the_same_bytes_go_out_once_a_call(keystore: Keystore) -> None:
    raw, _ = await signed_raw(keystore)
    recorded = Recorded(hang_up=True)
    async with serving(recorded) as rpc:
        await rpc.send(raw)
    assert len(recorded.asked) == 1


@pytest.mark.parametrize(("name", "url"), [("", "http://x"), ("x", "ftp://x"), ("x", "x")])
def test_an_endpoint_that_is_none_is_refused_without_showing_it(name: str, url: str) -> None:
    with pytest.raises(ValueError, match="http:// or https://"):
        Endpoint(name, url)


def test_bounds_are_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        RpcSettings(answer_ms_max=0)


async def test_a_priority_price_is_read_exactly_and_rounded_up() -> None:
    async with serving(
        Recorded(body=b'{"jsonrpc":"2.0","id":1,"result":{"priorityFeeEstimate":120000.000001}}')
    ) as rpc:
        assert await rpc.priority_price([ANA]) == 120_001
    for estimate in (b"-1", b"1e16", b'"five"', b"null", b"NaN"):
        body = b'{"jsonrpc":"2.0","id":1,"result":{"priorityFeeEstimate":' + estimate + b"}}"
        async with serving(Recorded(body=body)) as rpc:
            with pytest.raises(Garbled):
                await rpc.priority_price([ANA])
