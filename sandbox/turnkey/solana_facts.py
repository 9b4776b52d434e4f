"""Solana facts: what a policy can see of an unsigned transaction.

In        the bytes of a transaction, legacy, version 0 or 1.
Out       keys, programs, instructions, System and token transfers, lookups; as the policy language
          names them.
Promises  only top-level System transfers are transfers: what another program moves is not seen,
          as at Turnkey's.
"""

from typing import Any, Final

from solders.transaction import VersionedTransaction

SYSTEM: Final = "11111111111111111111111111111111"
TOKENS: Final = frozenset(
    {
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
    }
)
TRANSFER: Final = 2
TOKEN_TRANSFER: Final = 3
TOKEN_TRANSFER_CHECKED: Final = 12
LOOKED_UP: Final = "ADDRESS_TABLE_LOOKUP"


def read(raw: bytes) -> tuple[VersionedTransaction, dict[str, Any]]:
    """Read a transaction and what policies see of it.

    Raises:
        ValueError: when it is none, or calls a program out of a lookup table.
    """
    transaction = VersionedTransaction.from_bytes(raw)
    message = transaction.message
    keys = [str(key) for key in message.account_keys]
    lookups = [
        {"address_table_key": str(each.account_key)}
        for each in getattr(message, "address_table_lookups", ())
    ]
    instructions: list[dict[str, Any]] = []
    transfers: list[dict[str, Any]] = []
    tokens: list[dict[str, Any]] = []
    for each in message.instructions:
        if each.program_id_index >= len(keys):
            raise ValueError("a program out of a lookup table cannot be judged")
        program = keys[each.program_id_index]
        named = [keys[index] if index < len(keys) else LOOKED_UP for index in each.accounts]
        data = bytes(each.data)
        instructions.append(
            {
                "program_key": program,
                "accounts": [{"account_key": key} for key in named],
                "instruction_data_hex": data.hex(),
            }
        )
        if program == SYSTEM and len(data) == 12 and int.from_bytes(data[:4], "little") == TRANSFER:
            amount = int.from_bytes(data[4:], "little")
            transfers.append({"from": named[0], "to": named[1], "amount": amount})
        if program in TOKENS and data[:1] in (b"\x03", b"\x0c"):
            tokens.append(_token_transfer(named, data))
    return transaction, {
        "account_keys": keys,
        "program_keys": sorted({each["program_key"] for each in instructions}),
        "instructions": instructions,
        "transfers": transfers,
        "spl_transfers": tokens,
        "address_table_lookups": lookups,
    }


def _token_transfer(named: list[str], data: bytes) -> dict[str, Any]:
    amount = int.from_bytes(data[1:9], "little")
    if data[0] == TOKEN_TRANSFER_CHECKED:
        source, mint, destination, owner = named[:4]
    else:
        source, destination, owner = named[:3]
        mint = ""
    return {
        "from": source,
        "to": destination,
        "amount": amount,
        "owner": owner,
        "signers": named[4 if mint else 3 :],
        "token_mint": mint,
    }
