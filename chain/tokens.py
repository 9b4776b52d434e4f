"""Tokens: which mints may be staked, where somebody's tokens lie, and what a token account is.

In        a name and a mint that the operator allows; accounts as a provider has them.
Out       a `Token`, or the trap that its mint has; what lies in a token account.
Promises  a mint of Token-2022 is taken only when all its extensions are on a list that was read
          through; tokens lie in the account that follows from owner and mint, and nowhere else.
Why       a mint can take a fee of each transfer, run code in it, or take tokens back: what it does
          is decided by whoever made it. A freeze authority is told and not refused: USDC has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey
from solders.token.state import Mint, TokenAccount, TokenAccountState
from spl.token.instructions import get_associated_token_address

from chain.programs import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from chain.wire import StoredAccount
from rooms.units import Address

MINT_BYTES: Final = 82
ACCOUNT_BYTES: Final = 165
DECIMALS_MAX: Final = 12

# Token-2022 writes into an associated account that its owner stays.
_LOCKED_ACCOUNT_BYTES: Final = 170
_KIND_AT: Final = ACCOUNT_BYTES
_KIND_MINT: Final = 1
_KIND_ACCOUNT: Final = 2
_HARMLESS: Final[Mapping[int, str]] = {
    18: "metadata pointer",
    19: "metadata",
    20: "group pointer",
    21: "group",
    22: "group member pointer",
    23: "group member",
}
_TRAPS: Final[Mapping[int, str]] = {
    1: "it takes a fee of each transfer",
    3: "its mint can be closed and made again as another",
    4: "its transfers can be confidential, so that nobody sees what came in",
    6: "its accounts are frozen when they are made",
    9: "its tokens cannot be transferred",
    10: "its amounts grow with time",
    12: "somebody may take tokens out of any account",
    14: "each transfer runs a program of its maker's",
    16: "it takes a fee of each transfer, and hides it",
    24: "its tokens are minted in secret",
    25: "its amounts are shown as others than they are",
    26: "its transfers can be stopped",
}


class Trap(ValueError):
    """A mint that may not be staked; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that may be staked: its name here, its mint, and which program keeps it."""

    name: str
    mint: Address
    decimals: int
    program: Address

    @property
    def account_bytes(self) -> int:
        """Return how large an account for it is, which its rent follows from."""
        return ACCOUNT_BYTES if self.program == str(TOKEN_PROGRAM) else _LOCKED_ACCOUNT_BYTES


@dataclass(frozen=True, slots=True)
class Holding:
    """What lies in a token account, and who may move it.

    Attributes:
        owner: the wallet that signs for it; whoever it is now, it need not be who it was made for.
        is_plain: nobody else may move, close or keep it, and it is not frozen.
    """

    mint: Address
    owner: Address
    amount: int
    is_plain: bool


def token_account(owner: Address, token: Token) -> Address:
    """Return where an owner's tokens lie: the associated account, always the same."""
    return Address(
        str(
            get_associated_token_address(
                Pubkey.from_string(owner),
                Pubkey.from_string(token.mint),
                Pubkey.from_string(token.program),
            )
        )
    )


def judge_mint(name: str, mint: Address, account: StoredAccount | None) -> Token:
    """Say what a mint is.

    Raises:
        Trap: when it is no mint, or one that nobody may stake.
    """
    if account is None or account.owner not in (str(TOKEN_PROGRAM), str(TOKEN_2022_PROGRAM)):
        raise Trap(f"{mint} is not the mint of a token")
    body = account.body
    if len(body) != MINT_BYTES and not (
        account.owner == str(TOKEN_2022_PROGRAM)
        and len(body) > ACCOUNT_BYTES
        and body[_KIND_AT] == _KIND_MINT
    ):
        raise Trap(f"{mint} is not the mint of a token")
    for kind in _extensions(body):
        if kind not in _HARMLESS:
            why = _TRAPS.get(kind, f"its extension {kind} was never read through here")
            raise Trap(f"{name} ({mint}) may not be staked: {why}")
    try:
        read = Mint.from_bytes(body[:MINT_BYTES])
    except ValueError:
        raise Trap(f"{mint} is a mint that was never begun") from None
    if read.decimals > DECIMALS_MAX:
        raise Trap(f"{mint} is not a mint that can be counted in")
    return Token(name, mint, read.decimals, Address(account.owner))


def read_holding(account: StoredAccount | None, token: Token) -> Holding | None:
    """Read what lies in a token account; nothing where there is none of this token."""
    if account is None or account.owner != token.program:
        return None
    body = account.body
    if len(body) < ACCOUNT_BYTES or (len(body) > ACCOUNT_BYTES and body[_KIND_AT] != _KIND_ACCOUNT):
        return None
    try:
        read = TokenAccount.from_bytes(body[:ACCOUNT_BYTES])
    except ValueError:
        return None
    if str(read.mint) != token.mint:
        return None
    return Holding(
        mint=token.mint,
        owner=Address(str(read.owner)),
        amount=read.amount,
        is_plain=(
            read.state == TokenAccountState.Initialized
            and read.delegate is None
            and read.close_authority is None
        ),
    )


def _extensions(body: bytes) -> list[int]:
    """List the kinds of a mint's extensions: after the base, each a kind, a length and a value."""
    found: list[int] = []
    if len(body) == MINT_BYTES:
        return found
    at = _KIND_AT + 1
    while at + 4 <= len(body):
        kind = int.from_bytes(body[at : at + 2], "little")
        if kind == 0:
            break
        found.append(kind)
        at += 4 + int.from_bytes(body[at + 2 : at + 4], "little")
    if at > len(body):
        raise Trap("its extensions do not add up")
    return found
