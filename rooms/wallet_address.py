"""Wallet address: is this text a Solana address for which a person can hold a key?

In        text that a person typed.
Out       the address; or a refusal that says in a sentence what is wrong with it.
Promises  base58 of 32 bytes, a point of the curve, no known program and no sysvar; said at once,
          without asking the chain. What a program owns on the curve only the chain can tell.
Why       lamports sent to a program are gone for good; and the System Program's own address passes
          every other check.
"""

from typing import Final

from rooms.base58 import bytes_from_base58
from rooms.refusal import Impossible, Refused
from rooms.units import Address

LETTERS_MIN: Final = 32
LETTERS_MAX: Final = 44
KEY_BYTES: Final = 32

_PRIME: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _PRIME) % _PRIME
_SYSVAR_PREFIX: Final = "Sysvar"

NOBODYS: Final[dict[str, str]] = {
    "11111111111111111111111111111111": "the System Program",
    "1nc1nerator11111111111111111111111111111111": "the incinerator, which burns what it is sent",
    "AddressLookupTab1e1111111111111111111111111": "the Address Lookup Table program",
    "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL": "the Associated Token program",
    "BPFLoader1111111111111111111111111111111111": "a program loader",
    "BPFLoader2111111111111111111111111111111111": "a program loader",
    "BPFLoaderUpgradeab1e11111111111111111111111": "a program loader",
    "ComputeBudget111111111111111111111111111111": "the Compute Budget program",
    "Config1111111111111111111111111111111111111": "the Config program",
    "Ed25519SigVerify111111111111111111111111111": "the Ed25519 program",
    "Feature111111111111111111111111111111111111": "the Feature program",
    "KeccakSecp256k11111111111111111111111111111": "the Secp256k1 program",
    "LoaderV411111111111111111111111111111111111": "a program loader",
    "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo": "the Memo program",
    "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr": "the Memo program",
    "NativeLoader1111111111111111111111111111111": "a program loader",
    "Secp256r1SigVerify1111111111111111111111111": "the Secp256r1 program",
    "So11111111111111111111111111111111111111112": "the wrapped SOL mint",
    "Stake11111111111111111111111111111111111111": "the Stake program",
    "StakeConfig11111111111111111111111111111111": "the Stake program's settings",
    "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA": "the Token program",
    "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb": "the Token-2022 program",
    "Vote111111111111111111111111111111111111111": "the Vote program",
    "ZkE1Gama1Proof11111111111111111111111111111": "a proof program",
    "ZkTokenProof1111111111111111111111111111111": "a proof program",
}
"""Addresses of programs, loaders and mints, each with what it is."""


def wallet_address(text: str) -> Address:
    """Read a Solana address that can be a person's wallet.

    Raises:
        Refused: ``bad_address``, with what is wrong.
    """
    if not LETTERS_MIN <= len(text) <= LETTERS_MAX:
        raise _bad("A Solana address has 32 to 44 letters and digits. Please paste it whole.")
    try:
        key = bytes_from_base58(text)
    except Impossible:
        key = b""
    if len(key) != KEY_BYTES:
        raise _bad("This is not a Solana address. Please copy it again from your wallet.")
    if text in NOBODYS:
        raise _bad(f"This is the address of {NOBODYS[text]}, not of a wallet.")
    if text.startswith(_SYSVAR_PREFIX):
        raise _bad("This is an address of Solana itself, not of a wallet.")
    if not is_on_curve(key):
        raise _bad(
            "Nobody holds a key for this address: it belongs to a program. "
            "Please use your wallet's own address."
        )
    return Address(text)


def is_on_curve(key: bytes) -> bool:
    """Say whether 32 bytes are a point of Ed25519's curve, so that somebody may hold the key.

    They are when (y² - 1) / (dy² + 1) is a square, which Euler's criterion tells.
    """
    y = int.from_bytes(key, "little") % 2**255
    u, v = y * y - 1, _D * y * y + 1
    return pow(u * v, (_PRIME - 1) // 2, _PRIME) in (0, 1)


def _bad(sentence: str) -> Refused:
    return Refused("bad_address", sentence)
