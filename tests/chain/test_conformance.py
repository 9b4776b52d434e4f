"""Every request that we send has the shape that its service documents; a new kind needs one here.

The product's own clients are driven against the sandbox's servers, through a recorder. The tables
are what Solana's JSON-RPC and PubSub, Helius and Turnkey document; Solana's since version 1 of
transactions, so that `maxSupportedTransactionVersion` is 1.
"""

import base64
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Literal

import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from chain import hints
from chain.keystore import Keystore
from chain.rpc import Rpc
from chain.settings import Endpoint, FeeSettings, RpcSettings
from chain.signer import KeyPath
from chain.transactions import Batch, SignedTransaction, Transfer, sign_batch
from chain.trouble import NotKnown
from chain.turnkey.api import TurnkeyApi
from chain.turnkey.shapes import PATHS
from chain.turnkey.signer import TurnkeySigner
from cli.clock import now_ms
from cli.settings import read_settings_from
from cli.turnkey_account import make_wallets, show_policies
from rooms.units import Lamports, Signature
from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from sandbox.turnkey import stamps
from sandbox.turnkey.faults import Fault
from tests.chain.recorder import Recorder, Sent, recording
from tests.chain.shapes import (
    ADDRESS,
    BASE64,
    BLOCKHASH,
    COUNT,
    HEX,
    MILLISECONDS,
    SIGNATURE,
    SLOT,
    TEXT,
    UUID,
    Many,
    one_of,
    otherwise,
    whole,
)
from tests.chain.test_turnkey import ANA, stake
from tests.chain.turnkey_town import SERVICE, TurnkeyTown, api_key, turnkey_town
from tests.chain.world import address, keypair

COMMITMENT = one_of("processed", "confirmed", "finalized")
SETTLED = one_of("confirmed", "finalized")
NO_DATA = {"offset": 0, "length": 0}

SOLANA: Mapping[str, Sequence[object]] = {
    # method: its parameters
    "getLatestBlockhash": [{"commitment": COMMITMENT}],
    "isBlockhashValid": [BLOCKHASH, {"commitment": COMMITMENT, "minContextSlot": SLOT}],
    "getEpochInfo": [{"commitment": COMMITMENT}],
    "getSlot": [{"commitment": COMMITMENT}],
    "getFirstAvailableBlock": [],
    "getBlockTime": [SLOT],
    "getMinimumBalanceForRentExemption": [0],
    "getSignatureStatuses": [Many(SIGNATURE, 1, 256), {"searchTransactionHistory": True}],
    "getMultipleAccounts": [
        Many(ADDRESS, 1, 100),
        {
            "commitment": COMMITMENT,
            "encoding": "base64",
            "dataSlice": {"offset": 0, "length": whole("BYTES", 0, 10_000_000)},
        },
    ],
    "getSignaturesForAddress": [
        ADDRESS,
        {
            "commitment": SETTLED,
            "limit": whole("1 to 1000", 1, 1_000),
            "until?": SIGNATURE,
            "before?": SIGNATURE,
        },
    ],
    "getTransaction": [
        SIGNATURE,
        {"commitment": SETTLED, "encoding": "base64", "maxSupportedTransactionVersion": 1},
    ],
    "simulateTransaction": [
        BASE64,
        {
            "encoding": "base64",
            "commitment": "confirmed",
            "sigVerify": False,
            "minContextSlot": SLOT,
        },
    ],
    "sendTransaction": [BASE64, {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}],
    "requestAirdrop": [ADDRESS, COUNT],
    # Helius alone:
    "getPriorityFeeEstimate": [
        {"accountKeys": Many(ADDRESS, 1, 50), "options": {"recommended": True}}
    ],
}

SOCKET: Mapping[str, Sequence[object]] = {
    # method: its parameters
    "signatureSubscribe": [
        SIGNATURE,
        {"commitment": "finalized", "enableReceivedNotification": False},
    ],
    "accountSubscribe": [
        ADDRESS,
        {"commitment": "confirmed", "encoding": "base64", "dataSlice": NO_DATA},
    ],
    "signatureUnsubscribe": [SLOT],
    "accountUnsubscribe": [SLOT],
}

SIGN = "ACTIVITY_TYPE_SIGN_TRANSACTION_V2"
ACCOUNTS = "ACTIVITY_TYPE_CREATE_WALLET_ACCOUNTS"
WALLET = "ACTIVITY_TYPE_CREATE_WALLET"
POLICIES = "ACTIVITY_TYPE_CREATE_POLICIES"
PATH = "m/44'/501'/"

TURNKEY_ACTIVITIES: Mapping[str, tuple[str, object]] = {
    # path: the activity's type, its parameters
    "/public/v1/submit/sign_transaction": (
        SIGN,
        {"signWith": ADDRESS, "unsignedTransaction": HEX, "type": "TRANSACTION_TYPE_SOLANA"},
    ),
    "/public/v1/submit/create_wallet_accounts": (
        ACCOUNTS,
        {
            "walletId": UUID,
            "accounts": [
                {
                    "curve": "CURVE_ED25519",
                    "pathFormat": "PATH_FORMAT_BIP32",
                    "path": TEXT,
                    "addressFormat": "ADDRESS_FORMAT_SOLANA",
                }
            ],
        },
    ),
    "/public/v1/submit/create_wallet": (
        WALLET,
        {"walletName": TEXT, "accounts": [], "mnemonicLength": 24},
    ),
    "/public/v1/submit/create_policies": (
        POLICIES,
        {
            "policies": Many(
                {
                    "policyName": TEXT,
                    "effect": one_of("EFFECT_ALLOW", "EFFECT_DENY"),
                    "condition": TEXT,
                    "consensus": TEXT,
                    "notes": TEXT,
                },
                1,
                100,
            )
        },
    ),
}

TURNKEY_QUERIES: Mapping[str, Mapping[str, object]] = {
    # path: what is asked beside the organisation
    "/public/v1/query/whoami": {},
    "/public/v1/query/list_policies": {},
    "/public/v1/query/get_wallet_account": {"walletId": UUID, "path": TEXT},
    "/public/v1/query/get_activity": {"activityId": TEXT},
}

STAMP = {"publicKey": HEX, "scheme": "SIGNATURE_SCHEME_TK_API_P256", "signature": HEX}


def solana_faults(sent: Sent) -> list[str]:
    """Say how a request to a Solana node is not as documented."""
    called = sent.json
    envelope = {"jsonrpc": "2.0", "id": COUNT, "method": TEXT, "params": called.get("params")}
    shape = SOLANA.get(str(called.get("method")))
    if shape is None:
        return [f"{called.get('method')} has no shape in SOLANA"]
    kind = sent.headers.get("content-type")
    return [
        f"{called['method']}: {each}"
        for each in (
            *otherwise(envelope, called),
            *otherwise(shape, called.get("params")),
            *(() if (sent.method, kind) == ("POST", "application/json") else (f"{kind}",)),
        )
    ]


@pytest.mark.parametrize("kind", list(hints.Kind))
def test_whatever_a_socket_is_told_is_told_as_documented(kind: hints.Kind) -> None:
    topics = {
        hints.Kind.SIGNATURE: hints.Topic.signature(Signature("5" * 88)),
        hints.Kind.ACCOUNT: hints.Topic.account(BEN),
    }
    # A subscription of the number 0 is one too.
    for said in (hints.subscribe(7, topics[kind]), hints.unsubscribe(8, kind, 0)):
        called = json.loads(said)
        shape = {"jsonrpc": "2.0", "id": COUNT, "method": TEXT, "params": SOCKET[called["method"]]}
        assert list(otherwise(shape, called)) == []


def turnkey_faults(sent: Sent, organization: str) -> list[str]:
    """Say how a request to Turnkey is not as documented, its stamp included."""
    body: object
    if sent.path in TURNKEY_ACTIVITIES:
        kind, parameters = TURNKEY_ACTIVITIES[sent.path]
        body = {
            "type": kind,
            "timestampMs": MILLISECONDS,
            "organizationId": organization,
            "parameters": parameters,
        }
    elif sent.path in TURNKEY_QUERIES:
        body = {"organizationId": organization, **TURNKEY_QUERIES[sent.path]}
    else:
        return [f"{sent.path} has no shape in TURNKEY_ACTIVITIES or TURNKEY_QUERIES"]
    found = [*otherwise(body, sent.json), *stamp_faults(sent)]
    return [f"{sent.path}: {each}" for each in found]


def stamp_faults(sent: Sent) -> list[str]:
    """Say what is wrong with the stamp: base64url without padding, DER over the exact bytes."""
    text = sent.headers.get("x-stamp", "")
    if not text or "=" in text:
        return [f"the stamp {text!r} is missing or padded"]
    stamp = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    found = list(otherwise(STAMP, stamp))
    if found:
        return found
    compressed = bytes.fromhex(stamp["publicKey"])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), compressed)
    try:
        key.verify(bytes.fromhex(stamp["signature"]), sent.body, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return ["the stamp is not over the bytes that were sent"]
    return [] if len(compressed) == 33 else ["the public key is not compressed"]


@pytest_asyncio.fixture
async def solana() -> AsyncIterator[RunningSolana]:
    settings = SolanaSettings(port=0, second_port=0, control_port=0, manual=True)
    async with running_solana(settings) as running:
        yield running


@pytest_asyncio.fixture
async def town(tmp_path: Path) -> AsyncIterator[TurnkeyTown]:
    async with turnkey_town(tmp_path / "turnkey") as running:
        yield running


BEN = address(keypair(5).pubkey())
Ask = Callable[[Rpc, SignedTransaction], Awaitable[object]]

EVERY_QUESTION: Mapping[str, Sequence[Ask]] = {
    # a method of ours: how it is called
    "latest_blockhash": [lambda rpc, _: rpc.latest_blockhash()],
    "knows_blockhash": [lambda rpc, one: rpc.knows_blockhash(one.blockhash, one.context_slot)],
    "block_height": [lambda rpc, _: rpc.block_height("finalized")],
    "slot": [lambda rpc, _: rpc.slot("processed"), lambda rpc, _: rpc.slot("finalized")],
    "first_available_slot": [lambda rpc, _: rpc.first_available_slot()],
    "block_time": [lambda rpc, one: rpc.block_time(one.context_slot)],
    "signature_statuses": [lambda rpc, one: rpc.signature_statuses([one.signature] * 256)],
    "send": [lambda rpc, one: rpc.send(one.raw)],
    "simulate": [lambda rpc, one: rpc.simulate(one.raw, one.context_slot)],
    "accounts": [lambda rpc, _: rpc.accounts([BEN] * 100, "confirmed")],
    "stored": [lambda rpc, _: rpc.stored([BEN], "confirmed", 165)],
    "balances": [lambda rpc, _: rpc.balances([BEN], "finalized")],
    "signatures_for": [
        lambda rpc, _: rpc.signatures_for(BEN),
        lambda rpc, one: rpc.signatures_for(BEN, until=one.signature, before=one.signature),
    ],
    "transaction": [lambda rpc, one: rpc.transaction(one.signature)],
    "landed": [lambda rpc, one: rpc.landed(one.signature, "finalized")],
    "rent_minimum": [lambda rpc, _: rpc.rent_minimum()],
    "priority_price": [lambda rpc, _: rpc.priority_price([BEN] * 50)],
    "airdrop": [lambda rpc, _: rpc.airdrop(BEN, Lamports(5))],
}


def questions_of(client: type) -> set[str]:
    """Name what a client can be asked."""
    return {
        name
        for name, member in inspect.getmembers(client, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }


async def signed_by(keystore: Keystore, rpc: Rpc, version: Literal[0, 1]) -> SignedTransaction:
    payer = await keystore.address(KeyPath.fee_payer())
    batch = Batch(
        transfers=(Transfer(payer, BEN, Lamports(1_000_000)),),
        memo="r1 out 1",
        owner=payer,
        fee_payer=payer,
    )
    fees = replace(FeeSettings(), version=version)
    recent = await rpc.latest_blockhash()
    return await sign_batch(keystore, batch, {payer: KeyPath.fee_payer()}, recent, fees)


@pytest.mark.parametrize("version", [0, 1])
async def test_whatever_a_node_is_asked_is_asked_as_documented(
    solana: RunningSolana, keystore: Keystore, version: Literal[0, 1]
) -> None:
    assert EVERY_QUESTION.keys() == questions_of(Rpc), "a new question is asked here too"
    async with AsyncExitStack() as held:
        node = await held.enter_async_context(recording(solana.url))
        rpc = await held.enter_async_context(Rpc(Endpoint("node", node.url), RpcSettings()))
        solana.control.airdrop(str(await keystore.address(KeyPath.fee_payer())), 10**9)
        signed = await signed_by(keystore, rpc, version)
        solana.control.advance(1)
        for asks in EVERY_QUESTION.values():
            for ask in asks:
                try:
                    await ask(rpc, signed)
                except NotKnown:
                    continue
        assert [each for sent in node.sent for each in solana_faults(sent)] == []
        assert {sent.json["method"] for sent in node.sent} == set(SOLANA), "no shape in vain"


async def test_whatever_turnkey_is_asked_is_asked_as_documented_and_stamped(
    town: TurnkeyTown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncExitStack() as held:
        recorder = await held.enter_async_context(recording(town.running.url))
        settings = replace(town.settings(), url=recorder.url)
        api = await held.enter_async_context(TurnkeyApi(settings, town.clock))
        signer = TurnkeySigner(api, town.kept, town.clock)
        content = await stake(town, signer)
        town.running.faults.add(Fault("pending", looks=2))
        await signer.sign(content, [ANA])
        town.clock.now = now_ms()
        await as_operator(town, recorder, tmp_path, capsys)
    found = [turnkey_faults(sent, town.running.organization.id) for sent in recorder.sent]
    assert [each for faults in found for each in faults] == []
    asked = {sent.path for sent in recorder.sent}
    assert asked == {*TURNKEY_ACTIVITIES, *TURNKEY_QUERIES}, "no shape in vain"
    assert {path: kind for path, (kind, _) in TURNKEY_ACTIVITIES.items()} == {
        path: kind for kind, path in PATHS.items()
    }, "a new activity has its shape here"


async def as_operator(
    town: TurnkeyTown, recorder: Recorder, folder: Path, told: pytest.CaptureFixture[str]
) -> None:
    """Make the wallets and install the policies as `rooms turnkey` does."""
    root, service = api_key(99), town.keys[0]
    town.running.organization.add_user(root.public, "root", root=True)
    Keystore.create(folder / "own", "a passphrase", Random(1).randbytes)
    given = {
        "ROOMS_TURNKEY__URL": recorder.url,
        "ROOMS_TURNKEY__ORGANIZATION": town.running.organization.id,
        "ROOMS_TURNKEY__USER": SERVICE,
        "ROOMS_TURNKEY__KEYS": f"{service.public}:{service.private}",
        "ROOMS_KEYSTORE": str(folder / "own"),
        "ROOMS_KEYSTORE_PASSPHRASE": "a passphrase",
    }
    told.readouterr()
    await make_wallets(read_settings_from(given), f"{root.public}:{root.private}")
    given |= dict(line.split("=", 1) for line in told.readouterr().out.split())
    town.running.organization.drop_policies()
    install = read_settings_from(given)
    await show_policies(install, f"{root.public}:{root.private}", install=True)


def sent(body: object, *, path: str = "/", stamped: bool = False) -> Sent:
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    if stamped:
        headers["x-stamp"] = base64.urlsafe_b64encode(b"{}").decode().rstrip("=")
    return Sent("POST", path, headers, content)


def call(method: str, *params: object) -> Sent:
    return sent({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})


@pytest.mark.parametrize(
    ("request_sent", "says"),
    [
        (call("getBlocks", 1), "no shape"),
        (call("getTransaction", "1" * 64), "ought to be"),
        (
            call(
                "getTransaction",
                "1" * 64,
                {
                    "commitment": "finalized",
                    "encoding": "base64",
                    "maxSupportedTransactionVersion": 0,
                },
            ),
            "maxSupportedTransactionVersion is 0",
        ),
        (call("getSlot", {"commitment": "max"}), "commitment is 'max'"),
        (call("getSlot", {}), "commitment is missing"),
        (call("getSlot", {"commitment": "confirmed", "encoding": "x"}), "ought not to be there"),
        (call("getMultipleAccounts", [], {}), "1 to 100"),
        (sent({"method": "getSlot", "params": []}), "id is missing"),
    ],
)
def test_what_is_not_documented_is_noticed(request_sent: Sent, says: str) -> None:
    assert any(says in each for each in solana_faults(request_sent))


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/public/v1/submit/sign_raw_payload", {}, "no shape"),
        ("/public/v1/query/whoami", {"organizationId": "other"}, "organizationId is 'other'"),
        ("/public/v1/submit/sign_transaction", {"timestampMs": 1}, "timestampMs is 1"),
    ],
)
def test_what_turnkey_does_not_document_is_noticed(path: str, body: object, says: str) -> None:
    assert any(says in each for each in turnkey_faults(sent(body, path=path, stamped=True), "ours"))


def test_a_stamp_over_other_bytes_is_noticed() -> None:
    key = ec.derive_private_key(int(stamps.api_key(7)[1], 16), ec.SECP256R1())
    stamp = {
        "publicKey": stamps.api_key(7)[0],
        "scheme": "SIGNATURE_SCHEME_TK_API_P256",
        "signature": key.sign(b"other", ec.ECDSA(SHA256())).hex(),
    }
    text = base64.urlsafe_b64encode(json.dumps(stamp).encode()).decode()
    padded = Sent("POST", "/", {"x-stamp": text + "="}, b"other")
    assert "padded" in stamp_faults(padded)[0]
    bare = text.rstrip("=")
    assert stamp_faults(Sent("POST", "/", {"x-stamp": bare}, b"other")) == []
    assert "not over" in stamp_faults(Sent("POST", "/", {"x-stamp": bare}, b"others"))[0]
