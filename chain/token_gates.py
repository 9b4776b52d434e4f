"""Token gates: looks at a mint before it is counted in, and at an account before it is paid.

In        a name and a mint of the operator's; an outside wallet.
Out       the token, or its trap; nothing, or a refusal that says what to do.
Promises  two providers say the same, or nothing is said.
"""

from typing import Final

from chain.providers import Providers
from chain.rpc import Rpc
from chain.tokens import ACCOUNT_BYTES, Token, judge_mint, read_holding, token_account
from chain.wire import StoredAccount
from rooms.refusal import Refused
from rooms.units import Address
from rooms.wallet_address import wallet_address

MINT_BYTES_MAX: Final = 4_096


async def mint_gate(providers: Providers, name: str, mint: Address) -> Token:
    """Look at a mint before anything is counted in it; two providers must agree.

    Raises:
        Trap: as `judge_mint`.
        NotKnown: when the chain cannot be read now.
    """

    async def look(rpc: Rpc) -> StoredAccount | None:
        _, found = await rpc.stored([mint], "confirmed", MINT_BYTES_MAX)
        account = found[mint]
        # How much was minted changes all the time and decides nothing here.
        return None if account is None else account.without_supply()

    return judge_mint(name, mint, await providers.agreed(look))


async def token_recipient_gate(providers: Providers, owner: Address, token: Token) -> None:
    """Look at where an outside wallet keeps a token, before any is planned for it.

    Raises:
        Refused: ``no_token_account`` when it has none; ``bad_address`` when it is no wallet's, or
            not its own.
        NotKnown: when the chain cannot be read now.
    """
    place = token_account(wallet_address(owner), token)

    async def look(rpc: Rpc) -> tuple[Address, bool] | None:
        _, found = await rpc.stored([place], "confirmed", ACCOUNT_BYTES + 1)
        holding = read_holding(found[place], token)
        return None if holding is None else (holding.owner, holding.is_plain)

    there = await providers.agreed(look)
    if there is None:
        raise Refused(
            "no_token_account",
            f"This wallet has no account for {token.name} yet. Let it get any {token.name} from "
            "somewhere else once, which opens one; then take yours out.",
        )
    if there != (owner, True):
        raise Refused(
            "bad_address",
            f"The account for {token.name} of this wallet is frozen, or not its own any more.",
        )
