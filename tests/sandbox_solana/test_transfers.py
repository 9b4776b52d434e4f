"""Transfers: what lands, what does not, and what it costs."""

import base64

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from sandbox.solana import base58
from sandbox.solana.serve import RunningSolana
from tests.sandbox_solana.wire import (
    RENT_MINIMUM,
    SOL,
    NodeError,
    Wire,
    legacy,
    memo,
    pay,
    version_0,
    version_1,
)


@pytest.mark.parametrize("sign", [legacy, version_0, version_1])
async def test_a_transfer_of_any_version_lands_and_costs_5000(
    wire: Wire, rich: Keypair, sign: object
) -> None:
    to = Keypair().pubkey()
    assert callable(sign)
    transaction = sign([pay(rich, to, SOL)], await wire.blockhash(), rich)
    signature = await wire.send(transaction)
    assert signature == str(transaction.signatures[0])
    assert await wire.balance(to) == SOL
    assert await wire.balance(rich.pubkey()) == 999 * SOL - 5_000
    assert (await wire.status(signature))["err"] is None


async def test_base58_is_the_default_encoding_of_a_transaction(wire: Wire, rich: Keypair) -> None:
    to = Keypair().pubkey()
    transaction = legacy([pay(rich, to, SOL)], await wire.blockhash("finalized"), rich)
    await wire.call("sendTransaction", base58.encode(bytes(transaction)))
    assert await wire.balance(to) == SOL


async def test_the_same_bytes_twice_move_money_once(wire: Wire, rich: Keypair) -> None:
    to = Keypair().pubkey()
    transaction = legacy([pay(rich, to, SOL)], await wire.blockhash(), rich)
    signature = await wire.send(transaction)
    with pytest.raises(NodeError, match="This transaction has already been processed") as again:
        await wire.send(transaction)
    assert again.value.code == -32002
    assert again.value.data["err"] == "AlreadyProcessed"
    assert await wire.send(transaction, skipPreflight=True) == signature
    assert await wire.balance(to) == SOL


async def test_two_alike_payouts_on_one_blockhash_are_one(wire: Wire, rich: Keypair) -> None:
    to, blockhash = Keypair().pubkey(), await wire.blockhash()
    first = legacy([pay(rich, to, SOL)], blockhash, rich)
    twin = legacy([pay(rich, to, SOL)], blockhash, rich)
    apart = legacy([pay(rich, to, SOL), memo("r1 pay 2", rich)], blockhash, rich)
    assert first.signatures == twin.signatures
    await wire.send(first)
    with pytest.raises(NodeError):
        await wire.send(twin)
    await wire.send(apart)
    assert await wire.balance(to) == 2 * SOL


async def test_the_same_payout_signed_anew_is_paid_twice(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair().pubkey()
    await wire.send(legacy([pay(rich, to, SOL)], await wire.blockhash(), rich))
    solana.control.advance(1)
    await wire.send(legacy([pay(rich, to, SOL)], await wire.blockhash(), rich))
    assert await wire.balance(to) == 2 * SOL


@pytest.mark.parametrize(
    ("lamports", "lands"), [(1, False), (RENT_MINIMUM - 1, False), (RENT_MINIMUM, True)]
)
async def test_an_address_holds_nothing_or_the_rent_minimum(
    wire: Wire, rich: Keypair, lamports: int, *, lands: bool
) -> None:
    to, good = Keypair().pubkey(), Keypair().pubkey()
    batch = [pay(rich, good, SOL), pay(rich, to, lamports)]
    transaction = version_0(batch, await wire.blockhash(), rich)
    if lands:
        await wire.send(transaction)
        assert await wire.balance(to) == lamports
        return
    place = transaction.message.account_keys.index(to)
    with pytest.raises(NodeError, match="with insufficient funds for rent") as refused:
        await wire.send(transaction)
    assert refused.value.data["err"] == {"InsufficientFundsForRent": {"account_index": place}}
    assert await wire.balance(good) == 0


async def test_a_payer_may_be_left_with_nothing_but_not_with_little(
    wire: Wire, solana: RunningSolana
) -> None:
    payer, to = Keypair(), Keypair().pubkey()
    solana.control.airdrop(str(payer.pubkey()), SOL)
    little = version_0([pay(payer, to, SOL - 5_100)], await wire.blockhash(), payer)
    with pytest.raises(NodeError, match="insufficient funds for rent"):
        await wire.send(little)
    await wire.send(version_0([pay(payer, to, SOL - 5_000)], await wire.blockhash(), payer))
    assert await wire.balance(payer.pubkey()) == 0
    info = await wire.call("getAccountInfo", str(payer.pubkey()), {"commitment": "processed"})
    assert info["value"] is None


async def test_rent_can_change_while_the_chain_runs(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    assert await wire.call("getMinimumBalanceForRentExemption", 0) == RENT_MINIMUM
    assert await wire.call("getMinimumBalanceForRentExemption", 165) == 1_488_440
    assert solana.control.set_rent(6_960) == 890_880
    transaction = legacy(
        [pay(rich, Keypair().pubkey(), RENT_MINIMUM)], await wire.blockhash(), rich
    )
    with pytest.raises(NodeError, match="insufficient funds for rent"):
        await wire.send(transaction)


async def test_sixty_people_are_paid_by_one_version_1_transaction(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    payer = Keypair()
    solana.control.airdrop(str(payer.pubkey()), SOL)
    people = [Keypair().pubkey() for _ in range(60)]
    transfers = [pay(rich, one, SOL + n) for n, one in enumerate(people)]
    transaction = version_1(
        [memo("r1 pay 7 1", rich), *transfers], await wire.blockhash(), payer, rich, priority=600
    )
    assert 3_200 < len(bytes(transaction)) <= 4_096
    signature = await wire.send(transaction)
    solana.control.advance(1)
    assert [await wire.balance(one) for one in people] == [SOL + n for n in range(60)]
    assert await wire.balance(payer.pubkey()) == SOL - 10_000 - 600
    seen = await wire.call(
        "getTransaction",
        signature,
        {"commitment": "confirmed", "maxSupportedTransactionVersion": 1},
    )
    assert seen["version"] == 1
    assert seen["meta"]["fee"] == 10_600
    assert seen["transaction"]["message"]["transactionConfig"]["priorityFee"] == 600


@pytest.mark.parametrize(
    ("units", "loaded", "error"),
    [
        (None, 200_000, {"InstructionError": [0, "ComputationalBudgetExceeded"]}),
        (149, 200_000, {"InstructionError": [0, "ComputationalBudgetExceeded"]}),
        (150, None, "MaxLoadedAccountsDataSizeExceeded"),
        (150, 100, "MaxLoadedAccountsDataSizeExceeded"),
        (150, 300, None),
    ],
)
async def test_version_1_may_use_only_what_its_config_says(
    wire: Wire, rich: Keypair, units: int | None, loaded: int | None, error: object
) -> None:
    to = Keypair().pubkey()
    transaction = version_1(
        [pay(rich, to, SOL)], await wire.blockhash(), rich, units=units, loaded=loaded, priority=7
    )
    if error is None:
        await wire.send(transaction)
        return
    with pytest.raises(NodeError) as refused:
        await wire.send(transaction)
    assert refused.value.data["err"] == error
    before = await wire.balance(rich.pubkey())
    signature = await wire.send(transaction, skipPreflight=True)
    assert (await wire.status(signature))["err"] == error
    assert await wire.balance(rich.pubkey()) == before - 5_007, "it failed, in a block, and paid"


async def test_a_price_for_compute_units_is_paid_on_top(wire: Wire, rich: Keypair) -> None:
    instructions = [
        set_compute_unit_limit(1_000),
        set_compute_unit_price(1_500_000),
        pay(rich, Keypair().pubkey(), SOL),
    ]
    transaction = version_0(instructions, await wire.blockhash(), rich)
    message = base64.b64encode(b"\x80" + bytes(transaction.message)).decode()
    asked = await wire.call("getFeeForMessage", message, {"commitment": "processed"})
    await wire.send(transaction)
    assert asked["value"] == 6_500
    assert await wire.balance(rich.pubkey()) == 999 * SOL - 6_500


async def test_what_fails_in_a_block_pays_its_fee_and_moves_nothing(
    wire: Wire, rich: Keypair
) -> None:
    to = Keypair().pubkey()
    transaction = legacy([pay(rich, to, 2_000 * SOL)], await wire.blockhash(), rich)
    with pytest.raises(NodeError, match="custom program error: 0x1") as refused:
        await wire.send(transaction)
    assert any("insufficient lamports" in line for line in refused.value.data["logs"])
    assert await wire.balance(rich.pubkey()) == 1_000 * SOL
    signature = await wire.send(transaction, skipPreflight=True)
    assert (await wire.status(signature))["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert await wire.balance(rich.pubkey()) == 1_000 * SOL - 5_000
    assert await wire.balance(to) == 0


async def test_who_cannot_pay_the_fee_leaves_no_trace(wire: Wire) -> None:
    nobody = Keypair()
    transaction = legacy([pay(nobody, Keypair().pubkey(), 1)], await wire.blockhash(), nobody)
    with pytest.raises(NodeError, match="found no record of a prior credit") as refused:
        await wire.send(transaction)
    assert refused.value.data["err"] == "AccountNotFound"
    signature = await wire.send(transaction, skipPreflight=True)
    assert await wire.status(signature, search=True) is None


async def test_a_wrong_signature_is_refused_and_never_lands(wire: Wire, rich: Keypair) -> None:
    message = MessageV0.try_compile(
        rich.pubkey(), [pay(rich, Keypair().pubkey(), SOL)], [], await wire.blockhash()
    )
    forged = VersionedTransaction.populate(message, [Signature.new_unique()])
    with pytest.raises(NodeError) as refused:
        await wire.send(forged)
    assert refused.value.code == -32003
    signature = await wire.send(forged, skipPreflight=True)
    assert await wire.status(signature, search=True) is None
    assert await wire.balance(rich.pubkey()) == 1_000 * SOL


async def test_a_simulation_changes_nothing(wire: Wire, rich: Keypair) -> None:
    to = Keypair().pubkey()
    transaction = legacy([pay(rich, to, SOL)], Hash.new_unique(), rich)
    text = base64.b64encode(bytes(transaction)).decode()
    asked = {
        "encoding": "base64",
        "replaceRecentBlockhash": True,
        "commitment": "processed",
        "accounts": {"addresses": [str(to)], "encoding": "base64"},
    }
    told = (await wire.call("simulateTransaction", text, asked))["value"]
    assert told["err"] is None
    assert told["unitsConsumed"] == 150
    assert told["accounts"][0]["lamports"] == SOL
    assert await wire.balance(to) == 0
    strict = await wire.call("simulateTransaction", text, {"encoding": "base64"})
    assert strict["value"]["err"] == "BlockhashNotFound"


@pytest.mark.parametrize(
    ("text", "encoding", "words"),
    [
        ("%%%", "base64", "invalid base64 encoding"),
        ("0OIl", "base58", "invalid base58 encoding"),
        ("AAEC", "base64", "failed to deserialize"),
        (base64.b64encode(bytes(1_233)).decode(), "base64", "too large"),
        ("AAEC", "rot13", "unsupported encoding"),
    ],
)
async def test_what_is_no_transaction_is_refused(
    wire: Wire, text: str, encoding: str, words: str
) -> None:
    with pytest.raises(NodeError, match=words) as refused:
        await wire.call("sendTransaction", text, {"encoding": encoding})
    assert refused.value.code == -32602
