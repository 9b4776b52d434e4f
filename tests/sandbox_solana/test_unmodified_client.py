"""Clients that were written for real nodes work as they are."""

import asyncio

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.keypair import Keypair
from solders.rpc.errors import SendTransactionPreflightFailureMessage
from solders.rpc.responses import SignatureNotification

from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from tests.sandbox_solana.wire import RENT_MINIMUM, SOL, pay, version_1


async def test_solana_py_funds_pays_confirms_and_reads() -> None:
    settings = SolanaSettings(port=0, second_port=0, control_port=0, slot_ms=20)
    payer, to = Keypair(), Keypair().pubkey()
    async with running_solana(settings) as solana, AsyncClient(solana.url) as client:
        assert await client.is_connected()
        funded = await client.request_airdrop(payer.pubkey(), 10 * SOL)
        await client.confirm_transaction(funded.value, Finalized, sleep_seconds=0.02)
        assert (await client.get_balance(payer.pubkey(), Finalized)).value == 10 * SOL
        rent = await client.get_minimum_balance_for_rent_exemption(0)
        assert rent.value == RENT_MINIMUM
        latest = (await client.get_latest_blockhash(Confirmed)).value
        transaction = version_1([pay(payer, to, SOL)], latest.blockhash, payer)
        opts = TxOpts(preflight_commitment=Confirmed)
        sent = await client.send_raw_transaction(bytes(transaction), opts)
        await client.confirm_transaction(
            sent.value,
            Confirmed,
            sleep_seconds=0.02,
            last_valid_block_height=latest.last_valid_block_height,
        )
        again = TxOpts(preflight_commitment=Processed)
        with pytest.raises(RPCException) as refused:
            await client.send_raw_transaction(bytes(transaction), again)
        assert isinstance(refused.value.args[0], SendTransactionPreflightFailureMessage)
        for encoding in ("json", "jsonParsed", "base64"):
            seen = await client.get_transaction(sent.value, encoding, Confirmed, 1)
            assert seen.value is not None
            assert seen.value.transaction.meta is not None
            assert seen.value.transaction.meta.fee == 5_000
        accounts = await client.get_multiple_accounts([to, Keypair().pubkey()], Confirmed)
        assert accounts.value[0] is not None
        assert accounts.value[0].lamports == SOL
        assert accounts.value[1] is None
        history = await client.get_signatures_for_address(to, commitment=Confirmed)
        assert [row.signature for row in history.value] == [sent.value]
        await client.confirm_transaction(sent.value, Finalized, sleep_seconds=0.02)
        status = (await client.get_signature_statuses([sent.value])).value[0]
        assert status is not None
        block = await client.get_block(status.slot, max_supported_transaction_version=1)
        assert block.value is not None
        assert block.value.block_time == history.value[0].block_time
        epoch = (await client.get_epoch_info()).value
        assert epoch.block_height < epoch.absolute_slot


async def test_solana_pys_websocket_hears_of_a_signature(
    solana: RunningSolana, rich: Keypair
) -> None:
    async with AsyncClient(solana.url) as client, SolanaWsClient(solana.ws_url) as socket:
        latest = (await client.get_latest_blockhash(Processed)).value
        transaction = version_1([pay(rich, Keypair().pubkey(), SOL)], latest.blockhash, rich)
        await socket.signature_subscribe(signature=transaction.signatures[0], commitment=Confirmed)
        await client.send_raw_transaction(
            bytes(transaction), TxOpts(preflight_commitment=Processed)
        )
        solana.control.advance(1)
        async with asyncio.timeout(5):
            note = await socket.recv()
    assert isinstance(note, SignatureNotification)
    assert note.result.value.err is None
