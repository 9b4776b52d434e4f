"""Recipients: outside addresses, looked at on the chain right before money is signed for them.

In        planned transfers.
Out       those that may be signed; the rest given back to its owner, with what was wrong.
Promises  no withdrawal is signed to an address of ours, a program, a token account, or so small
          that the network would refuse it; an address that cannot be read now waits.
Why       lamports that reach a program are gone for good, and any address can become one.
"""

from collections.abc import Sequence

import structlog

from chain.addresses import recipient_gate
from chain.token_gates import token_recipient_gate
from chain.trouble import NotKnown
from rooms.refusal import Refused
from rooms.transfer import TransferKind
from storage import addresses, attempts
from storage.attempts import DueTransfer, PlannedTransfer
from storage.connections import transaction
from streams import releases
from streams.custody import Custody
from streams.tokens import read_tokens

log = structlog.get_logger()


async def that_may_be_signed(custody: Custody, due: Sequence[DueTransfer]) -> list[DueTransfer]:
    """Return what may be signed, in its order, and give back what never may."""
    passed: list[DueTransfer] = []
    for each in due:
        transfer = each.transfer
        try:
            if transfer.kind is TransferKind.WITHDRAWAL:
                await _look(custody, transfer)
        except Refused as refusal:
            await _give_back(custody, transfer, refusal)
        except NotKnown as trouble:
            log.warning("recipient waits", transfer=transfer.id, why=str(trouble))
        else:
            passed.append(each)
    return passed


async def _look(custody: Custody, transfer: PlannedTransfer) -> None:
    async with custody.connections.acquire() as connection:
        ours = await addresses.owners(connection, [transfer.destination])
        known = await read_tokens(connection)
    if ours:
        raise Refused("our_address", "This address belongs to us.")
    if transfer.asset.is_token:
        token = known[transfer.asset.name]
        await token_recipient_gate(custody.providers, transfer.destination, token)
    else:
        await recipient_gate(custody.providers, transfer.destination, transfer.lamports)


async def _give_back(custody: Custody, transfer: PlannedTransfer, refusal: Refused) -> None:
    async with transaction(custody.connections) as connection:
        await custody.fence(connection)
        if await attempts.lock_planned(connection, transfer.id):
            await releases.release(connection, [transfer], why=refusal.sentence)
    log.warning("recipient refused", transfer=transfer.id, code=refusal.code)
