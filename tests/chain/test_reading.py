"""A transaction reads as what it did, in every version; a failed or forged one moves nothing."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.litesvm import LiteSVM
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.system_program import (
    TransferParams,
    TransferWithSeedParams,
    transfer,
    transfer_with_seed,
)
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from chain import wire
from chain.programs import MEMO_PROGRAM
from chain.reading import Memo, Moved, read_transaction
from chain.trouble import Garbled, UnknownVersion
from rooms.base58 import bytes_from_base58
from rooms.refusal import Impossible
from rooms.units import Lamports, Signature
from tests.chain.world import BORN_AT, Node, World, address, base58, keypair, two_nodes

ANA, BO, CY = (keypair(number).pubkey() for number in (11, 12, 13))
STRANGER = keypair(20)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def node(world: World) -> AsyncIterator[Node]:
    one, _, providers = two_nodes(world)
    async with providers:
        yield one


@pytest.mark.parametrize("version", ["legacy", 0, 1])
async def test_transfers_at_the_top_and_called_are_read_in_every_version(
    world: World, node: Node, version: str | int
) -> None:
    signature = world.pay(
        STRANGER, [(ANA, 5), (BO, 6)], calls=[(ANA, 7)], version=version, memo="hello"
    )
    world.slot += 1
    read = await node.transaction(signature)
    assert read is not None
    payer = address(STRANGER.pubkey())
    assert read.moved == (
        Moved(payer, address(ANA), Lamports(5), called=False),
        Moved(payer, address(BO), Lamports(6), called=False),
        Moved(payer, address(ANA), Lamports(7), called=True),
    )
    assert (read.received(address(ANA)), read.change(address(ANA))) == (12, 12)
    assert read.sent(payer) == 18
    assert read.change(payer) == -18 - 5_000
    assert (read.fee, read.fee_payer, read.signers, read.error) == (5_000, payer, (payer,), None)
    assert (read.slot, read.block_time) == (1_000, (BORN_AT + 1_000) * 1_000)
    assert read.memos == (Memo("hello", (payer,)),)
    assert read.memos_of(payer) == ("hello",)
    assert read.memos_of(address(ANA)) == ()


async def test_an_address_out_of_a_lookup_table_is_read(world: World, node: Node) -> None:
    signature = world.pay(STRANGER, [(ANA, 5)], calls=[(BO, 6)], loaded=[ANA, BO])
    world.slot += 1
    read = await node.transaction(signature)
    assert read is not None
    assert [(each.destination, each.lamports) for each in read.moved] == [
        (address(ANA), 5),
        (address(BO), 6),
    ]


async def test_a_failed_transaction_moved_nothing_but_its_fee(world: World, node: Node) -> None:
    signature = world.pay(STRANGER, [(ANA, 5)], fails=True)
    world.slot += 1
    read = await node.transaction(signature)
    assert read is not None
    assert read.error == '{"InstructionError":[0,{"Custom":1}]}'
    assert (read.moved, read.memos, read.fee) == ((), (), 5_000)


async def test_lamports_that_no_transfer_explains_are_seen_as_a_change(
    world: World, node: Node
) -> None:
    signature = world.pay(STRANGER, [(ANA, 5)], extra=[(ANA, 9)])
    world.slot += 1
    read = await node.transaction(signature)
    assert read is not None
    assert (read.received(address(ANA)), read.change(address(ANA))) == (5, 14)


async def test_an_unknown_version_is_an_error_of_its_own(world: World, node: Node) -> None:
    signature = world.pay(STRANGER, [(ANA, 5)])
    world.slot += 1
    node.versions[signature] = 2
    with pytest.raises(UnknownVersion) as caught:
        await node.transaction(signature)
    assert caught.value.signature == signature

    node.versions.clear()
    node.lies["getTransaction"] = lambda told: {**told, "version": 2}
    with pytest.raises(UnknownVersion, match="version 2"):
        await node.transaction(signature)


def forged(told: dict[str, Any]) -> dict[str, Any]:
    raw = bytearray(base64.b64decode(told["transaction"][0]))
    raw[raw.index((5).to_bytes(8, "little"))] = 200
    return {**told, "transaction": [base64.b64encode(raw).decode(), "base64"]}


def with_meta(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:  # noqa: ANN401
    return lambda told: {**told, "meta": {**told["meta"], **changes}}


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (forged, "every signature is over the message"),
        (lambda told: {**told, "version": 1}, "version told"),
        (lambda told: {**told, "transaction": ["AAAA", "base64"]}, "no transaction"),
        (lambda told: {**told, "transaction": ["*", "base64"]}, "no transaction"),
        (lambda told: {**told, "transaction": ["AAAA", "base58"]}, "another shape"),
        (lambda told: {**told, "slot": -1}, "another shape"),
        (lambda told: {**told, "slot": 5.0}, "another shape"),
        (lambda told: {**told, "slot": "5"}, "another shape"),
        (lambda told: {**told, "meta": None}, "another shape"),
        (with_meta(innerInstructions=None), "another shape"),
        (with_meta(fee="5000"), "another shape"),
        (with_meta(preBalances=[1]), "one balance an address"),
        (with_meta(innerInstructions=[{"index": 99, "instructions": []}]), "top-level"),
        (
            with_meta(
                innerInstructions=[
                    {
                        "index": 0,
                        "instructions": [{"programIdIndex": 99, "accounts": [], "data": ""}],
                    }
                ]
            ),
            "names addresses",
        ),
    ],
)
async def test_a_reply_that_cannot_be_true_is_garbled(
    world: World, node: Node, lie: Callable[[Any], Any], says: str
) -> None:
    signature = world.pay(STRANGER, [(ANA, 5)])
    world.slot += 1
    node.lies["getTransaction"] = lie
    with pytest.raises(Garbled, match=says):
        await node.transaction(signature)


async def test_another_transaction_than_the_one_asked_for_is_garbled(
    world: World, node: Node
) -> None:
    one, other = world.pay(STRANGER, [(ANA, 5)]), world.pay(STRANGER, [(ANA, 5)])
    assert one != other
    world.slot += 1
    answer = node._get_transaction(
        other, {"commitment": "confirmed", "maxSupportedTransactionVersion": 1}
    )
    node.lies["getTransaction"] = lambda _: answer
    with pytest.raises(Garbled, match="the one asked for"):
        await node.transaction(one)


def test_what_the_runtime_really_does_with_odd_transfers_is_what_we_read() -> None:
    """Bytes after the amount, a source derived with a seed, a memo of somebody else."""
    svm = LiteSVM()
    payer, other = keypair(31), keypair(32)
    svm.airdrop(payer.pubkey(), 10**10)
    seeded = Pubkey.create_with_seed(payer.pubkey(), "s", Pubkey.from_string("1" * 32))
    svm.airdrop(seeded, 10**9)
    plain = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=ANA, lamports=10**7))
    instructions = [
        Instruction(plain.program_id, bytes(plain.data) + b"tail", plain.accounts),
        transfer_with_seed(
            TransferWithSeedParams(
                from_pubkey=seeded,
                from_base=payer.pubkey(),
                from_seed="s",
                from_owner=Pubkey.from_string("1" * 32),
                to_pubkey=ANA,
                lamports=10**8,
            )
        ),
        Instruction(MEMO_PROGRAM, b"not mine", [AccountMeta(other.pubkey(), True, False)]),
        Instruction(MEMO_PROGRAM, b"nobody's", []),
    ]
    message = MessageV0.try_compile(payer.pubkey(), instructions, [], svm.latest_blockhash())
    content = to_bytes_versioned(message)
    transaction = VersionedTransaction.populate(
        message, [each.sign_message(content) for each in (payer, other)]
    )
    landed = svm.send_transaction(transaction)
    assert isinstance(landed, TransactionMetadata), landed
    assert svm.get_balance(ANA) == 10**7 + 10**8

    zeros = [0] * len(message.account_keys)
    reply = wire.decode(
        wire_json(transaction, {"preBalances": zeros, "postBalances": zeros}), wire.Transaction
    )
    read = read_transaction(Signature(str(transaction.signatures[0])), reply)
    assert [(each.source, each.destination, each.lamports) for each in read.moved] == [
        (address(payer.pubkey()), address(ANA), 10**7),
        (address(seeded), address(ANA), 10**8),
    ]
    assert read.memos_of(address(payer.pubkey())) == ()
    assert read.memos_of(address(other.pubkey())) == ("not mine",)
    assert [memo.text for memo in read.memos] == ["not mine", "nobody's"]


def test_a_memo_that_names_somebody_who_did_not_sign_is_not_his() -> None:
    payer = keypair(31)
    note = Instruction(
        MEMO_PROGRAM,
        b"r1 pay 1 1",
        [AccountMeta(payer.pubkey(), True, False), AccountMeta(ANA, False, False)],
    )
    message = MessageV0.try_compile(payer.pubkey(), [note], [], Hash.new_unique())
    transaction = VersionedTransaction.populate(
        message, [payer.sign_message(to_bytes_versioned(message))]
    )
    zeros = [0] * len(message.account_keys)
    reply = wire.decode(
        wire_json(transaction, {"preBalances": zeros, "postBalances": zeros}), wire.Transaction
    )
    read = read_transaction(Signature(str(transaction.signatures[0])), reply)
    assert read.memos_of(address(ANA)) == ()
    assert read.memos_of(address(payer.pubkey())) == ("r1 pay 1 1",)


def wire_json(transaction: VersionedTransaction, meta: dict[str, Any]) -> bytes:
    reply = {
        "slot": 1,
        "version": 0,
        "transaction": [base64.b64encode(bytes(transaction)).decode(), "base64"],
        "meta": {"err": None, "fee": 10_000, "innerInstructions": [], **meta},
    }
    return json.dumps(reply).encode()


@given(st.binary(max_size=80))
def test_base58_reads_back_what_was_written(raw: bytes) -> None:
    assert bytes_from_base58(base58(raw)) == raw


@pytest.mark.parametrize("text", ["0", "O", "I", "l", " ", "é", "a" * 20_000])
def test_what_is_not_base58_is_refused(text: str) -> None:
    with pytest.raises(Impossible):
        bytes_from_base58(text)


def test_a_key_in_base58_is_the_key() -> None:
    key = Hash.new_unique()
    assert bytes_from_base58(str(key)) == bytes(key)
