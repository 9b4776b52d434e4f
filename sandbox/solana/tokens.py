"""tokens: what a node tells of token accounts, and a mint of the chain's own to try things with.

In        accounts of the token programs; a wallet and an amount.
Out       token balances as a transaction's meta has them; instructions that mint.
Promises  the token programs are the real ones: a mint is made, and minted, by transactions.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from sandbox.solana.refusals import Json
from sandbox.solana.runtime import SYSTEM_PROGRAM

TOKEN_PROGRAM = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
TOKEN_PROGRAMS = frozenset({TOKEN_PROGRAM, TOKEN_2022_PROGRAM})
MINT_BYTES = 82
DECIMALS = 6
_ACCOUNT_BYTES = 165
_KIND_AT = 165
_KIND_ACCOUNT = 2
_DECIMALS_AT = 44
_INITIALIZE_MINT_2 = 20
_MINT_TO = 7
_CREATE_IDEMPOTENT = 1


@dataclass(frozen=True, slots=True)
class Holding:
    """What a token account held: the place of its address in the transaction, and whose it was."""

    index: int
    mint: Pubkey
    owner: Pubkey
    program: Pubkey
    amount: int


def holdings(accounts: Mapping[int, Account]) -> tuple[Holding, ...]:
    """Read those of a transaction's accounts that hold tokens."""
    found: list[Holding] = []
    for index, account in accounts.items():
        data = bytes(account.data)
        if account.owner not in TOKEN_PROGRAMS or len(data) < _ACCOUNT_BYTES:
            continue
        if len(data) > _ACCOUNT_BYTES and data[_KIND_AT] != _KIND_ACCOUNT:
            continue
        amount = int.from_bytes(data[64:72], "little")
        found.append(Holding(index, Pubkey(data[:32]), Pubkey(data[32:64]), account.owner, amount))
    return tuple(found)


def balances_json(held: Sequence[Holding], decimals: Mapping[Pubkey, int]) -> list[Json]:
    """Write token balances the way a transaction's meta has them."""
    return [_balance_json(each, decimals.get(each.mint, 0)) for each in held]


def _balance_json(held: Holding, decimals: int) -> Json:
    whole, part = divmod(held.amount, 10**decimals)
    text = f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)
    return {
        "accountIndex": held.index,
        "mint": str(held.mint),
        "owner": str(held.owner),
        "programId": str(held.program),
        "uiTokenAmount": {
            "amount": str(held.amount),
            "decimals": decimals,
            "uiAmount": None if not held.amount else held.amount / 10**decimals,
            "uiAmountString": text,
        },
    }


def decimals_of(account: Account | None) -> int:
    """Read from a mint's account how many decimals its tokens have."""
    return account.data[_DECIMALS_AT] if account and len(account.data) >= MINT_BYTES else 0


def mint_key(secret: bytes) -> Keypair:
    """Return the key of the chain's own mint."""
    return Keypair.from_seed(hashlib.sha256(b"mint" + secret).digest())


def associated(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """Return where an owner's tokens of a mint lie."""
    seeds = [bytes(owner), bytes(TOKEN_PROGRAM), bytes(mint)]
    return Pubkey.find_program_address(seeds, ASSOCIATED_PROGRAM)[0]


def make_mint(payer: Pubkey, mint: Pubkey, lamports: int) -> list[Instruction]:
    """Write the instructions that make the mint; the payer may mint and freeze, as Circle may."""
    made = create_account(
        CreateAccountParams(
            from_pubkey=payer,
            to_pubkey=mint,
            lamports=lamports,
            space=MINT_BYTES,
            owner=TOKEN_PROGRAM,
        )
    )
    data = bytes([_INITIALIZE_MINT_2, DECIMALS]) + bytes(payer) + b"\x01" + bytes(payer)
    return [made, Instruction(TOKEN_PROGRAM, data, [AccountMeta(mint, False, True)])]


def mint_to(payer: Pubkey, mint: Pubkey, owner: Pubkey, amount: int) -> list[Instruction]:
    """Write the instructions that give an owner tokens, and an account for them where none is."""
    place = associated(owner, mint)
    opened = Instruction(
        ASSOCIATED_PROGRAM,
        bytes([_CREATE_IDEMPOTENT]),
        [
            AccountMeta(payer, True, True),
            AccountMeta(place, False, True),
            AccountMeta(owner, False, False),
            AccountMeta(mint, False, False),
            AccountMeta(SYSTEM_PROGRAM, False, False),
            AccountMeta(TOKEN_PROGRAM, False, False),
        ],
    )
    given = Instruction(
        TOKEN_PROGRAM,
        bytes([_MINT_TO]) + amount.to_bytes(8, "little"),
        [
            AccountMeta(mint, False, True),
            AccountMeta(place, False, True),
            AccountMeta(payer, True, False),
        ],
    )
    return [opened, given]
