"""Addresses: is this text an address that a person's money may be sent to?

In        text that a person typed; what lies at the address now.
Out       the address; or a refusal that says in a sentence what is wrong with it.
Promises  base58, 32 bytes, on the curve, no program and no sysvar; nothing is sent to an account
          that a program owns, and nothing so small that the network would refuse it.
Why       lamports sent to a program, or to a token account, are gone for good.
"""

from solders.pubkey import Pubkey

from chain.programs import NOBODYS, SYSTEM_PROGRAM, SYSVAR_PREFIX
from chain.providers import Providers
from chain.rpc import AccountAt, Rpc
from rooms.decimal_text import text_from_whole
from rooms.refusal import Refused
from rooms.units import Address, Lamports

LETTERS_MIN = 32
LETTERS_MAX = 44
SOL_SCALE = 9


def address_from_text(text: str) -> Address:
    """Read a Solana address that can be a person's wallet.

    Raises:
        Refused: ``bad_address``, with what is wrong.
    """
    if not LETTERS_MIN <= len(text) <= LETTERS_MAX:
        raise _bad("A Solana address has 32 to 44 letters and digits. Please paste it whole.")
    try:
        key = Pubkey.from_string(text)
    except ValueError:
        raise _bad("This is not a Solana address. Please copy it again from your wallet.") from None
    if str(key) != text:
        raise _bad("This is not a Solana address. Please copy it again from your wallet.")
    if text in NOBODYS:
        raise _bad(f"This is the address of {NOBODYS[text]}, not of a wallet.")
    if text.startswith(SYSVAR_PREFIX):
        raise _bad("This is an address of Solana itself, not of a wallet.")
    if not key.is_on_curve():
        raise _bad(
            "Nobody holds a key for this address: it belongs to a program. "
            "Please use your wallet's own address."
        )
    return Address(text)


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
        Refused: as `address_from_text` and `judge_recipient`.
        NotKnown: when the chain cannot be read now.
    """
    address_from_text(address)

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
