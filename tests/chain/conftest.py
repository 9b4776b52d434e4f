"""What the tests of money on Solana share: a keystore with known randomness."""

from pathlib import Path
from random import Random

import pytest

from chain.keystore import Keystore, PassphraseCost


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    cheap = PassphraseCost(memory_kib=64, rounds=1, lanes=1)
    return Keystore.create(tmp_path / "keystore", "a passphrase", Random(1).randbytes, cheap)
