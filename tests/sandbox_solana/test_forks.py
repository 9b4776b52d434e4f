"""Forks: what was seen and then was not."""

import pytest
from solders.keypair import Keypair

from sandbox.solana.serve import RunningSolana
from tests.sandbox_solana.wire import SOL, NodeError, Wire, legacy, pay


async def test_a_fork_takes_back_what_was_confirmed(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    kept, gone = Keypair().pubkey(), Keypair().pubkey()
    first = await wire.send(legacy([pay(rich, kept, SOL)], await wire.blockhash(), rich))
    solana.control.advance(1)
    second = await wire.send(legacy([pay(rich, gone, SOL)], await wire.blockhash(), rich))
    solana.control.advance(2)
    status = await wire.status(second)
    assert status["confirmationStatus"] == "confirmed"
    height = await wire.call("getBlockHeight", {"commitment": "processed"})

    assert solana.control.fork(status["slot"]) == [second]

    assert await wire.status(second, search=True) is None
    assert await wire.call("getTransaction", second, {"commitment": "confirmed"}) is None
    assert await wire.balance(gone) == 0
    assert (await wire.status(first))["confirmationStatus"] == "confirmed"
    assert await wire.balance(kept) == SOL
    assert await wire.balance(rich.pubkey()) == 999 * SOL - 5_000
    rows = await wire.call(
        "getSignaturesForAddress", str(rich.pubkey()), {"commitment": "confirmed"}
    )
    assert second not in [row["signature"] for row in rows]
    assert await wire.call("getBlockHeight", {"commitment": "processed"}) == height


async def test_a_vanished_transaction_lands_again_if_its_blockhash_is_older_than_the_fork(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair().pubkey()
    old = await wire.blockhash()
    solana.control.advance(1)
    slot, new = await wire.call("getSlot", {"commitment": "processed"}), await wire.blockhash()
    on_old = legacy([pay(rich, to, SOL)], old, rich)
    on_new = legacy([pay(rich, to, 2 * SOL)], new, rich)
    vanished = [await wire.send(on_old), await wire.send(on_new)]
    assert solana.control.fork(slot) == vanished
    await wire.send(on_old)
    with pytest.raises(NodeError, match="Blockhash not found"):
        await wire.send(on_new)
    assert await wire.balance(to) == SOL


async def test_a_single_transaction_can_vanish_with_what_was_built_on_it(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    middle, end = Keypair(), Keypair().pubkey()
    give = legacy([pay(rich, middle.pubkey(), SOL)], await wire.blockhash(), rich)
    apart = legacy([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich)
    pass_on = legacy([pay(middle, end, SOL - 5_000)], await wire.blockhash(), middle)
    sent = [await wire.send(one) for one in (give, apart, pass_on)]
    assert solana.control.fork(drop=[sent[0]]) == [sent[0], sent[2]]
    assert await wire.balance(end) == 0
    assert (await wire.status(sent[1]))["err"] is None
    assert await wire.send(give) == sent[0]
    assert await wire.balance(middle.pubkey()) == SOL


async def test_finality_is_never_taken_back(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    signature = await wire.send(
        legacy([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich)
    )
    slot = (await wire.status(signature))["slot"]
    solana.control.advance(20)
    with pytest.raises(ValueError, match="is finalized"):
        solana.control.fork(slot)
    with pytest.raises(ValueError, match="is finalized"):
        solana.control.fork(drop=[signature])
    with pytest.raises(ValueError, match="not in the chain"):
        solana.control.fork(drop=["1" * 64])
    assert (await wire.status(signature))["confirmationStatus"] == "finalized"
