"""replay_speed: how fast a sandbox chain lands transactions, and how fast it comes back.

Run  python -m tests.sandbox_solana.replay_speed [transactions]
Out  one line a figure; nothing is asserted, since a machine is as fast as it is.
"""

import sys
import tempfile
import time
from pathlib import Path

from solders.keypair import Keypair

from sandbox.solana.chain import Chain
from sandbox.solana.chain_log import ChainLog
from sandbox.solana.settings import SolanaSettings
from tests.sandbox_solana.wire import SOL, legacy, pay

TRANSACTIONS = 5_000


def measure(count: int) -> None:
    """Land transactions, open the chain again, and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        settings = SolanaSettings(data_dir=Path(folder))
        rich, people = Keypair(), [Keypair().pubkey() for _ in range(50)]
        with ChainLog(settings.data_dir) as log:
            chain = Chain(settings, log)
            chain.airdrop(rich.pubkey(), 1_000 * SOL)
            blockhash = chain.blockhash(chain.heads().processed)
            signed = [
                bytes(legacy([pay(rich, people[n % 50], 650_240 + n)], blockhash, rich))
                for n in range(count)
            ]
            began = time.perf_counter()
            for raw in signed:
                assert chain.submit(raw) is None, "each of them lands"
            told("landed", count, began)
        began = time.perf_counter()
        with ChainLog(settings.data_dir) as log:
            chain = Chain(settings, log)
            told("replayed", len(chain.history), began)
            began = time.perf_counter()
            chain.fork(drop=[chain.history.between(count, count + 1)[0].signature])
            told("rebuilt by a fork", len(chain.history), began)


def told(what: str, count: int, began: float) -> None:
    """Print one figure."""
    took = time.perf_counter() - began
    sys.stdout.write(f"{what:<20}{count:>8} in {took:6.3f} s {count / took:>10,.0f}/s\n")


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else TRANSACTIONS)
