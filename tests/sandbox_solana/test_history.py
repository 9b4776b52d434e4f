"""History: an address's transactions, transactions, blocks."""

import base64

import pytest
from solders.keypair import Keypair

from sandbox.solana.serve import RunningSolana
from tests.sandbox_solana.wire import SOL, NodeError, Wire, legacy, memo, pay, version_0, version_1


async def paid(
    wire: Wire, rich: Keypair, solana: RunningSolana, to: Keypair, times: int
) -> list[str]:
    signatures = []
    for n in range(times):
        transaction = legacy([pay(rich, to.pubkey(), SOL + n)], await wire.blockhash(), rich)
        signatures.append(await wire.send(transaction))
        if n % 3 == 2:
            solana.control.advance(1)
    solana.control.advance(1)
    return signatures


async def history(wire: Wire, key: Keypair, **options: object) -> list[str]:
    rows = await wire.call(
        "getSignaturesForAddress", str(key.pubkey()), {"commitment": "confirmed", **options}
    )
    return [row["signature"] for row in rows]


async def test_an_addresss_history_is_paged_newest_first(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair()
    newest_first = (await paid(wire, rich, solana, to, 10))[::-1]
    assert await history(wire, to) == newest_first
    assert await history(wire, to, limit=4) == newest_first[:4]
    assert await history(wire, to, limit=4, before=newest_first[3]) == newest_first[4:8]
    assert await history(wire, to, before=newest_first[7], until=newest_first[9]) == [
        newest_first[8]
    ]
    assert await history(wire, to, until=newest_first[0]) == []
    assert await history(wire, to, before="1" * 64) == []
    assert await history(wire, Keypair()) == []


async def test_history_knows_nothing_below_the_commitment(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair()
    first = await paid(wire, rich, solana, to, 1)
    unconfirmed = await wire.send(legacy([pay(rich, to.pubkey(), 7)], await wire.blockhash(), rich))
    assert await history(wire, to) == first
    assert await history(wire, to, commitment="finalized") == []
    assert await wire.call("getTransaction", unconfirmed, {"commitment": "confirmed"}) is None
    for method, argument in (
        ("getSignaturesForAddress", str(to.pubkey())),
        ("getTransaction", unconfirmed),
    ):
        with pytest.raises(NodeError, match="below `confirmed`"):
            await wire.call(method, argument, {"commitment": "processed"})


async def test_memos_stand_in_the_history(wire: Wire, rich: Keypair, solana: RunningSolana) -> None:
    instructions = [
        memo("r1 stake 4 9 Y", rich),
        pay(rich, Keypair().pubkey(), SOL),
        memo("é", rich),
    ]
    await wire.send(version_0(instructions, await wire.blockhash(), rich))
    solana.control.advance(1)
    rows = await wire.call(
        "getSignaturesForAddress", str(rich.pubkey()), {"commitment": "confirmed"}
    )
    assert [row["memo"] for row in rows] == ["[14] r1 stake 4 9 Y; [2] é", None]
    assert rows[0]["blockTime"] is not None


async def test_a_reader_gets_only_versions_it_can_read(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    blockhash = await wire.blockhash()
    sent = {
        name: await wire.send(sign([pay(rich, Keypair().pubkey(), SOL)], blockhash, rich))
        for name, sign in (("legacy", legacy), (0, version_0), (1, version_1))
    }
    solana.control.advance(1)
    for version, signature in sent.items():
        for most in (None, 0, 1):
            asked = {"commitment": "confirmed", "maxSupportedTransactionVersion": most}
            if version == "legacy" or (most is not None and int(version) <= most):
                told = await wire.call("getTransaction", signature, asked)
                assert told.get("version") == (version if most is not None else None)
            else:
                with pytest.raises(NodeError) as refused:
                    await wire.call("getTransaction", signature, asked)
                assert refused.value.code == -32015
    block = await wire.call("getSlot", {"commitment": "confirmed"})
    with pytest.raises(NodeError) as refused:
        await wire.call("getBlock", block, {"commitment": "confirmed"})
    assert refused.value.code == -32015


async def test_a_transaction_tells_in_words_and_in_balances_what_it_did(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair().pubkey()
    transaction = version_0([pay(rich, to, SOL), memo("hi", rich)], await wire.blockhash(), rich)
    signature = await wire.send(transaction)
    solana.control.advance(1)
    asked = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    told = await wire.call("getTransaction", signature, {**asked, "encoding": "jsonParsed"})
    transferred, said = told["transaction"]["message"]["instructions"]
    assert transferred["parsed"] == {
        "type": "transfer",
        "info": {"source": str(rich.pubkey()), "destination": str(to), "lamports": SOL},
    }
    assert (said["program"], said["parsed"]) == ("spl-memo", "hi")
    keys = [row["pubkey"] for row in told["transaction"]["message"]["accountKeys"]]
    place = keys.index(str(to))
    assert told["meta"]["preBalances"][place] == 0
    assert told["meta"]["postBalances"][place] == SOL
    assert told["meta"]["preBalances"][0] - told["meta"]["postBalances"][0] == SOL + 5_000
    raw = await wire.call("getTransaction", signature, {**asked, "encoding": "base64"})
    assert base64.b64decode(raw["transaction"][0]) == bytes(transaction)


async def test_old_signatures_are_found_only_by_searching(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    signature = await wire.send(
        legacy([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich)
    )
    solana.control.advance(200)
    assert await wire.status(signature) is None
    assert (await wire.status(signature, search=True))["confirmationStatus"] == "finalized"


async def test_the_faucets_lamports_come_by_an_ordinary_transfer(
    wire: Wire, solana: RunningSolana
) -> None:
    to = Keypair()
    sent = [await wire.call("requestAirdrop", str(to.pubkey()), SOL) for _ in range(3)]
    solana.control.advance(1)
    assert len(set(sent)) == 3
    assert await wire.balance(to.pubkey()) == 3 * SOL
    assert await history(wire, to) == sent[::-1]
    told = await wire.call(
        "getTransaction", sent[0], {"commitment": "confirmed", "encoding": "jsonParsed"}
    )
    (instruction,) = told["transaction"]["message"]["instructions"]
    assert instruction["parsed"]["info"]["destination"] == str(to.pubkey())


async def test_a_block_lists_what_landed_in_it(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    sent = await paid(wire, rich, solana, Keypair(), 2)
    slot = (await wire.status(sent[0]))["slot"]
    asked = {"commitment": "confirmed", "transactionDetails": "signatures"}
    block = await wire.call("getBlock", slot, asked)
    assert block["signatures"] == sent
    parent = await wire.call("getBlock", block["parentSlot"], asked)
    assert parent["blockhash"] == block["previousBlockhash"]
    assert parent["blockHeight"] == block["blockHeight"] - 1


async def test_helius_pages_an_addresss_transactions_in_either_order(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    to = Keypair()
    sent = await paid(wire, rich, solana, to, 7)

    async def pages(order: str) -> list[str]:
        found: list[str] = []
        asked: dict[str, object] = {"commitment": "confirmed", "sortOrder": order, "limit": 3}
        while True:
            page = await wire.call("getTransactionsForAddress", str(to.pubkey()), asked)
            found += [row["signature"] for row in page["data"]]
            if page["paginationToken"] is None:
                return found
            asked["paginationToken"] = page["paginationToken"]

    assert await pages("asc") == sent
    assert await pages("desc") == sent[::-1]
    slot = (await wire.status(sent[3]))["slot"]
    late = await wire.call(
        "getTransactionsForAddress",
        str(to.pubkey()),
        {"commitment": "confirmed", "sortOrder": "asc", "filters": {"slot": {"gte": slot}}},
    )
    assert [row["signature"] for row in late["data"]] == sent[3:]


async def test_helius_leaves_out_silently_what_the_caller_cannot_read(
    wire: Wire, rich: Keypair, solana: RunningSolana
) -> None:
    await wire.send(version_1([pay(rich, Keypair().pubkey(), SOL)], await wire.blockhash(), rich))
    solana.control.advance(1)

    async def count(**options: object) -> int:
        asked = {"commitment": "confirmed", "transactionDetails": "full", **options}
        page = await wire.call("getTransactionsForAddress", str(rich.pubkey()), asked)
        return len(page["data"])

    assert await count() == 1
    assert await count(maxSupportedTransactionVersion=1) == 2
