"""Addresses: may a person's money be sent to this address, as it is on the chain now?

In        an address; what lies there.
Out       nothing; or a refusal that says in a sentence what is wrong with it.
Promises  nothing is sent to what can be no wallet, to an account that a program owns, or so little
          that the network would refuse it.
Why       lamports sent to a program, or to a token account, are gone for good.
"""

from chain.programs import SYSTEM_PROGRAM
from chain.providers import Providers
from chain.rpc import AccountAt, Rpc
from rooms.decimal_text import text_from_whole
from rooms.refusal import Refused
from rooms.units import Address, Lamports
from rooms.wallet_address import wallet_address

SOL_SCALE = 9


def judge_recipient(account: AccountAt | None, lamports: Lamports, rent_minimum: Lamports) -> None:
    """Refuse a recipient that would lose the money, or that the network would refuse.

    Raises:
        Refused: ``bad_address`` when a program owns it; ``too_small`` when it is new and the
            amount is below what a new address must hold.
    """
    if account is None:
        if lamports < rent_minimum:
            least = text_from_whole(rent_minimum, SOL_SCALE)
            raise Refused(
                "too_small",
                f"This address is new on Solana, and a new address must get at least {least} SOL.",
            )
        return
    if account.executable:
        raise _bad("This is the address of a program, not of a wallet.")
    if account.owner != str(SYSTEM_PROGRAM):
        raise _bad(
            "This address belongs to a program (a token account, perhaps), not to a wallet. "
            "Please use your wallet's own address."
        )


async def recipient_gate(providers: Providers, address: Address, lamports: Lamports) -> None:
    """Look at an outside address before money is planned for it; two providers must agree.

    Whether the address is one of our own is for the caller to say.

    Raises:
        Refused: as `wallet_address` and `judge_recipient`.
        NotKnown: when the chain cannot be read now.
    """
    wallet_address(address)

    async def look(rpc: Rpc) -> tuple[str | None, bool, Lamports]:
        _, accounts = await rpc.accounts([address], "confirmed")
        account = accounts[address]
        # The balance may differ between two providers and decides nothing here.
        kind = (None, False) if account is None else (str(account.owner), account.executable)
        return *kind, await rpc.rent_minimum()

    owner, executable, rent_minimum = await providers.agreed(look)
    account = None if owner is None else AccountAt(Lamports(0), Address(owner), executable)
    judge_recipient(account, lamports, rent_minimum)


def _bad(sentence: str) -> Refused:
    return Refused("bad_address", sentence)
