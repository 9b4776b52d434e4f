"""Time: commitments, expiry, lag, pauses."""

import httpx
import pytest
from solders.keypair import Keypair

from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from tests.sandbox_solana.wire import SOL, NodeError, Wire, legacy, pay


async def heads(wire: Wire) -> list[int]:
    return [
        await wire.call("getSlot", {"commitment": commitment})
        for commitment in ("processed", "confirmed", "finalized")
    ]


async def test_each_commitment_reads_its_own_past(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair().pubkey()

    async def seen() -> list[int]:
        return [
            await wire.balance(to, commitment) // SOL
            for commitment in ("processed", "confirmed", "finalized")
        ]

    signature = await wire.send(legacy([pay(rich, to, SOL)], await wire.blockhash(), rich))
    slot = (await wire.status(signature))["slot"]
    assert await seen() == [1, 0, 0]
    assert (await wire.status(signature))["confirmationStatus"] == "processed"
    solana.control.advance(1)
    assert await seen() == [1, 1, 0]
    status = await wire.status(signature)
    assert (status["confirmationStatus"], status["confirmations"]) == ("confirmed", 1)
    while (await heads(wire))[2] < slot:
        assert (await seen())[2] == 0
        solana.control.advance(1)
    assert await seen() == [1, 1, 1]
    status = await wire.status(signature)
    assert (status["confirmationStatus"], status["confirmations"]) == ("finalized", None)
    assert status["slot"] == slot


async def test_an_answer_names_the_slot_it_is_true_for(wire: Wire, rich: Keypair) -> None:
    for commitment, head in zip(
        ("processed", "confirmed", "finalized"), await heads(wire), strict=True
    ):
        for method, first in (
            ("getBalance", str(rich.pubkey())),
            ("getAccountInfo", str(rich.pubkey())),
            ("getMultipleAccounts", [str(rich.pubkey())]),
        ):
            told = await wire.call(method, first, {"commitment": commitment, "encoding": "base64"})
            assert told["context"]["slot"] == head
        assert (await wire.call("getLatestBlockhash", {"commitment": commitment}))["context"][
            "slot"
        ] == head


async def test_a_node_behind_the_slot_asked_for_says_so(wire: Wire, rich: Keypair) -> None:
    processed, _, finalized = await heads(wire)
    with pytest.raises(NodeError) as behind:
        await wire.call("getBalance", str(rich.pubkey()), {"minContextSlot": processed})
    assert behind.value.code == -32016
    assert behind.value.data == {"contextSlot": finalized}
    await wire.call(
        "getBalance", str(rich.pubkey()), {"minContextSlot": processed, "commitment": "processed"}
    )


async def test_a_blockhash_lives_150_blocks(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    told = await wire.call("getLatestBlockhash", {"commitment": "processed"})
    height = await wire.call("getBlockHeight", {"commitment": "processed"})
    assert told["value"]["lastValidBlockHeight"] == height + 150
    to, blockhash = Keypair().pubkey(), await wire.blockhash()
    asked = (told["value"]["blockhash"], {"commitment": "processed"})
    solana.control.advance(150)
    assert (await wire.call("isBlockhashValid", *asked))["value"] is True
    await wire.send(legacy([pay(rich, to, SOL)], blockhash, rich))
    late = legacy([pay(rich, to, 2 * SOL)], blockhash, rich)
    solana.control.advance(1)
    assert (await wire.call("isBlockhashValid", *asked))["value"] is False
    with pytest.raises(NodeError, match="Blockhash not found"):
        await wire.send(late)
    await wire.send(late, skipPreflight=True)
    assert await wire.balance(to) == SOL
    assert await wire.call("getBlockHeight", {"commitment": "processed"}) == height + 151


async def test_height_is_not_slot(wire: Wire, solana: RunningSolana) -> None:
    slot, height = (
        solana.control.chain.now_slot(),
        await wire.call("getBlockHeight", {"commitment": "processed"}),
    )
    solana.control.advance(190)
    after = await wire.call("getBlockHeight", {"commitment": "processed"})
    assert after - height == 190
    assert 199 <= solana.control.chain.now_slot() - slot <= 201


async def test_a_blockhash_newer_than_the_preflight_bank_is_not_found_there(
    wire: Wire, rich: Keypair
) -> None:
    transaction = legacy([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich)
    for commitment in ("confirmed", "finalized"):
        with pytest.raises(NodeError, match="Blockhash not found"):
            await wire.send(transaction, preflightCommitment=commitment)
    await wire.send(transaction)


async def test_a_provider_that_lags_reads_the_past_whole(
    wire: Wire, second: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair().pubkey()
    solana.control.set_lag(1, 200)
    signature = await wire.send(legacy([pay(rich, to, SOL)], await wire.blockhash(), rich))
    solana.control.advance(60)
    assert (await wire.status(signature))["confirmationStatus"] == "finalized"
    assert await second.status(signature, search=True) is None
    assert await second.balance(to) == 0
    assert (await heads(wire))[0] - (await heads(second))[0] >= 199
    with pytest.raises(NodeError, match="behind by 200 slots"):
        await second.call("getHealth")
    solana.control.advance(200)
    assert (await second.status(signature, search=True))["confirmationStatus"] == "finalized"
    assert await second.balance(to, "finalized") == SOL


async def test_while_blocks_are_paused_transactions_wait(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair().pubkey()
    blockhash = await wire.blockhash()
    solana.control.pause()
    signature = await wire.send(legacy([pay(rich, to, SOL)], blockhash, rich))
    assert await wire.status(signature) is None
    solana.control.resume()
    assert (await wire.status(signature))["err"] is None
    solana.control.pause()
    late = await wire.send(legacy([pay(rich, to, 2 * SOL)], blockhash, rich))
    solana.control.advance(151)
    solana.control.resume()
    assert await wire.status(late, search=True) is None, "it expired while it waited"
    assert await wire.balance(to) == SOL


async def test_blocks_come_by_themselves_and_faster_when_told(http: httpx.AsyncClient) -> None:
    settings = SolanaSettings(port=0, second_port=0, control_port=0, slot_ms=5_000)
    async with running_solana(settings) as solana:
        wire = Wire(solana.url, http)
        first = await wire.call("getSlot", {"commitment": "processed"})
        solana.control.set_slot_ms(1)
        while await wire.call("getSlot", {"commitment": "processed"}) < first + 20:
            pass


async def test_the_time_of_a_block_is_a_fact(wire: Wire, solana: RunningSolana) -> None:
    slot = await wire.call("getSlot", {"commitment": "confirmed"})
    at = await wire.call("getBlockTime", slot)
    solana.control.advance(50)
    assert await wire.call("getBlockTime", slot) == at
    later = await wire.call("getBlockTime", await wire.call("getSlot", {"commitment": "confirmed"}))
    assert 8 <= later - at <= 12, "50 blocks of 200 ms and a few skipped"


async def test_skipped_and_coming_slots_are_refused_each_in_its_own_way(
    wire: Wire, solana: RunningSolana
) -> None:
    chain = solana.control.chain
    solana.control.advance(30)
    head = chain.heads().finalized
    recent = next(slot for slot in range(head, 0, -1) if not chain.blocks.is_block(slot))
    old = next(slot for slot in range(1, 50) if not chain.blocks.is_block(slot))
    for slot, code in ((recent, -32007), (old, -32009), (head + 1_000, -32004)):
        for method in ("getBlockTime", "getBlock"):
            with pytest.raises(NodeError) as refused:
                await wire.call(method, slot)
            assert refused.value.code == code
    blocks = await wire.call("getBlocks", head - 39, head, {"commitment": "confirmed"})
    assert 37 <= len(blocks) <= 39
    assert recent not in blocks
    assert (
        await wire.call("getBlocksWithLimit", head - 39, 5, {"commitment": "confirmed"})
        == blocks[:5]
    )
