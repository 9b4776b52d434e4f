"""Restarts and deaths: the chain is its log."""

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from solders.keypair import Keypair

from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana, serve
from tests.sandbox_solana.conftest import MANUAL
from tests.sandbox_solana.wire import SOL, Wire, legacy, pay, version_1

AS_A_PROCESS = """
import asyncio, sys
from pathlib import Path
from sandbox.solana.serve import SolanaSettings, serve
settings = SolanaSettings(port=0, second_port=0, control_port=0, data_dir=Path(sys.argv[1]))
def ready(solana):
    sys.stdout.write(solana.url + "\\n")
    sys.stdout.flush()
asyncio.run(serve(settings, ready))
"""


async def started(folder: Path) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AS_A_PROCESS, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    return process, line.decode().strip()


async def ended(process: asyncio.subprocess.Process) -> None:
    await process.wait()
    # Lets the pipe's transport notice, so that nothing is left open.
    assert process.stdout is not None
    await process.stdout.read()


async def test_a_chain_killed_under_load_keeps_every_transaction_it_acknowledged(
    tmp_path: Path, http: httpx.AsyncClient
) -> None:
    process, url = await started(tmp_path)
    wire, rich = Wire(url, http), Keypair()
    await wire.call("requestAirdrop", str(rich.pubkey()), 1_000 * SOL)
    people = [Keypair().pubkey() for _ in range(4)]
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def send(number: int) -> None:
        for n in range(1_000):
            blockhash = await wire.blockhash()
            transaction = legacy([pay(rich, people[number], 650_240 + n)], blockhash, rich)
            acknowledged.append(await wire.send(transaction))
            if len(acknowledged) >= 60:
                enough.set()

    async with asyncio.TaskGroup() as senders:
        sending = [senders.create_task(until_dead(send, number)) for number in range(4)]
        await enough.wait()
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*sending)
    await ended(process)

    process, url = await started(tmp_path)
    wire = Wire(url, http)
    for signature in acknowledged:
        status = await wire.status(signature, search=True)
        assert status is not None, "an acknowledged transaction is in the chain"
        assert status["err"] is None
    paid = sum([await wire.balance(one) for one in people])
    count = await wire.call("getTransactionCount", {"commitment": "processed"}) - 1
    assert count >= len(acknowledged)
    assert await wire.balance(rich.pubkey()) == 1_000 * SOL - paid - count * 5_000
    process.terminate()
    await ended(process)


async def until_dead(send: object, number: int) -> None:
    assert callable(send)
    try:
        await send(number)
    except httpx.TransportError:
        return


async def test_a_restart_goes_on_with_the_same_chain(
    tmp_path: Path, http: httpx.AsyncClient
) -> None:
    settings = replace(MANUAL, data_dir=tmp_path)
    rich, to = Keypair(), Keypair().pubkey()
    facts: list[object] = []

    async def look(solana: RunningSolana) -> list[object]:
        wire = Wire(solana.url, http)
        row: list[object] = [await wire.call("getGenesisHash")]
        for commitment in ("processed", "confirmed", "finalized"):
            row += [
                await wire.call("getSlot", {"commitment": commitment}),
                await wire.call("getBlockHeight", {"commitment": commitment}),
                str(await wire.blockhash(commitment)),
                await wire.balance(to, commitment),
                await wire.balance(rich.pubkey(), commitment),
            ]
        row.append(
            await wire.call(
                "getSignaturesForAddress", str(rich.pubkey()), {"commitment": "confirmed"}
            )
        )
        row.append(await wire.call("getMinimumBalanceForRentExemption", 0))
        return row

    async with running_solana(settings) as solana:
        wire = Wire(solana.url, http)
        solana.control.airdrop(str(rich.pubkey()), 1_000 * SOL)
        solana.control.advance(3)
        await wire.send(version_1([pay(rich, to, SOL)], await wire.blockhash(), rich))
        solana.control.set_rent(6_960)
        solana.control.set_slot_ms(400)
        solana.control.advance(2)
        await wire.send(legacy([pay(rich, to, SOL)], await wire.blockhash(), rich))
        solana.control.fork(solana.control.chain.heads().processed)
        await wire.send(legacy([pay(rich, to, 3 * SOL)], await wire.blockhash(), rich))
        solana.control.advance(1)
        facts = await look(solana)
    async with running_solana(replace(settings, slot_ms=400)) as solana:
        assert await look(solana) == facts


async def test_idle_blocks_take_no_room_and_heights_go_on(
    tmp_path: Path, http: httpx.AsyncClient
) -> None:
    settings = SolanaSettings(port=0, second_port=0, control_port=0, data_dir=tmp_path, slot_ms=1)
    log = tmp_path / "chain.log"
    async with running_solana(settings) as solana:
        wire = Wire(solana.url, http)
        size = log.stat().st_size
        asked = ("getBlockHeight", {"commitment": "processed"})
        first = await wire.call(*asked)
        while (height := await wire.call(*asked)) < first + 50:
            pass
        assert log.stat().st_size == size
    async with running_solana(settings) as solana:
        assert await Wire(solana.url, http).call(*asked) >= height


async def test_a_wall_clock_set_back_between_two_starts_takes_no_block_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SolanaSettings(port=0, second_port=0, control_port=0, data_dir=tmp_path)
    async with running_solana(settings) as solana:
        slot = solana.control.chain.now_slot()
    monkeypatch.setattr("sandbox.solana.wall.time.time_ns", lambda: 1_000_000_000)
    async with running_solana(settings) as solana:
        assert solana.control.chain.now_slot() >= slot


async def test_a_full_disk_refuses_a_transaction_and_forgets_it(
    tmp_path: Path, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_solana(replace(MANUAL, data_dir=tmp_path)) as solana:
        wire, rich, to = Wire(solana.url, http), Keypair(), Keypair().pubkey()
        solana.control.airdrop(str(rich.pubkey()), 10 * SOL)
        transaction = legacy([pay(rich, to, SOL)], await wire.blockhash(), rich)
        with monkeypatch.context() as broken:
            broken.setattr("sandbox.solana.chain_log.os.write", lambda _file, data: len(data) - 1)
            answer = (await wire.raw("getHealth")).json()
            assert answer["result"] == "ok"
            with pytest.raises(Exception, match="Internal error"):
                await wire.send(transaction)
        assert await wire.balance(to) == 0
        assert await wire.balance(rich.pubkey()) == 10 * SOL
        await wire.send(transaction)
        assert await wire.balance(to) == SOL


async def test_a_cancelled_server_stops_and_can_start_again(tmp_path: Path) -> None:
    settings = SolanaSettings(port=0, second_port=0, control_port=0, data_dir=tmp_path)
    for _ in range(2):
        up: asyncio.Future[RunningSolana] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(settings, up.set_result))
        url = (await up).url
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def test_a_port_in_use_is_told_in_one_sentence(solana: RunningSolana) -> None:
    port = int(solana.url.rpartition(":")[2])
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}.*choose another"):
        async with running_solana(replace(MANUAL, port=port)):
            raise AssertionError("it must not start")
