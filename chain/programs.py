"""Programs: addresses that belong to Solana itself or to a program everybody uses.

Holds     the programs we call, and the names that are no one's wallet.
Why       the System Program's own address passes every check of a person's address: base58, 32
          bytes, on the curve; money sent there is gone.
"""

from typing import Final

from solders.pubkey import Pubkey

SYSTEM_PROGRAM: Final = Pubkey.from_string("11111111111111111111111111111111")
MEMO_PROGRAM: Final = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")

SYSVAR_PREFIX: Final = "Sysvar"

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
