"""SLIP-0010: from one seed to a tree of Ed25519 keys.

In        a seed of 16 to 64 bytes and hardened child numbers.
Out       the 32-byte private key at the end of that path.
Why       every Solana wallet derives so; Ed25519 has hardened children only.
          https://github.com/satoshilabs/slips/blob/master/slip-0010.md
"""

import hashlib
import hmac
from collections.abc import Iterable

CURVE = b"ed25519 seed"
HARDENED = 2**31


def derive(seed: bytes, indexes: Iterable[int]) -> bytes:
    """Walk from the seed down the path and return the private key there."""
    assert 16 <= len(seed) <= 64, "SLIP-0010 seeds have 16 to 64 bytes"
    node = hmac.digest(CURVE, seed, hashlib.sha512)
    for index in indexes:
        assert HARDENED <= index < 2 * HARDENED, "Ed25519 has hardened children only"
        data = b"\x00" + node[:32] + index.to_bytes(4, "big")
        node = hmac.digest(node[32:], data, hashlib.sha512)
    return node[:32]
