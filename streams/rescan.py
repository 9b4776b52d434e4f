"""Rescan: reads every address's whole history on the second provider, once a day.

In        all that the second provider lists; attempts and deposits that are known.
Out       deposits that nobody had found, through the same intake; what one provider alone tells, or
          does not tell, set aside for a person.
Promises  nothing is posted that two providers do not say alike; what was posted is looked for too;
          a history that cannot be read now is read at the next look.
Why       between two looks by the clock everything follows from the balances that differ: what both
          providers once kept quiet about, or the first keeps quiet about always, is found here.
"""

from collections.abc import Mapping
from functools import partial

import structlog

from chain.deposits import Incoming, SecondHistory, Stop, Stopped, incoming_of, second_history
from chain.health import AGREEING_MIN
from chain.reading import LandedTransaction
from chain.rpc import Rpc
from chain.trouble import NotKnown, UnknownVersion
from rooms.units import Address, Signature, Slot
from storage import addresses, attempts, audit, set_aside
from storage import deposits as deposit_rows
from storage.addresses import OwnAddress
from storage.connections import transaction
from streams.custody import Custody
from streams.deposits import post_one, theft_of

log = structlog.get_logger()


async def rescan_due(custody: Custody, every_ms: int) -> None:
    """Read every history, when it is time."""
    async with custody.connections.acquire() as connection:
        if await deposit_rows.until_rescan(connection, every_ms):
            return
    posted = await rescan(custody)
    async with custody.connections.acquire() as connection:
        await deposit_rows.rescanned(connection)
    log.info("rescanned", posted=posted)


async def rescan(custody: Custody) -> int:
    """Read every history on the second provider; return how many deposits were new.

    Raises:
        NotKnown: when one could not be read; what was found before it is posted.
    """
    async with custody.connections.acquire() as connection:
        known = await addresses.with_balances(connection)
    return sum([await _rescan(custody, owner) for owner in known])


async def _rescan(custody: Custody, owner: OwnAddress) -> int:
    history = await second_history(custody.providers, owner.address, custody.deposits)
    there = [each.signature for each in history.listed]
    async with custody.connections.acquire() as connection:
        ours = await attempts.are_ours(connection, there)
        posted = await deposit_rows.final_of(connection, owner.address)
    found = 0
    for each in history.listed:
        if each.error is None and each.signature not in ours and each.signature not in posted:
            found += await _take(custody, owner, each.signature)
    for signature in _missing(posted, history):
        await _doubt(custody, owner.address, signature, "is posted, and the second has not got it")
    return found


async def _take(custody: Custody, owner: OwnAddress, signature: Signature) -> bool:
    try:
        said, failed = await custody.providers.each(partial(_transaction, signature))
    except UnknownVersion as unknown:
        await _doubt(custody, owner.address, signature, f"cannot be read: {unknown}")
        return False
    if len(said) < AGREEING_MIN:
        raise NotKnown("; ".join(("too few providers read it", *(str(each) for each in failed))))
    first = said[0].answer
    if first is None or any(each.answer != first for each in said):
        silent = ", ".join(each.provider for each in said if each.answer is None)
        why = f"{silent} has not got it" if silent else "providers say different things of it"
        await _doubt(custody, owner.address, signature, f"is on the second, and {why}")
        return False
    if first.block_time is None:
        raise NotKnown(f"nobody knows when {signature} was made")
    brought = incoming_of(owner.address, first, finalized=True)
    if isinstance(brought, Stopped):
        assert brought.stop is Stop.LEFT_BY_STRANGER, "an incoming stops for nothing else"
        async with transaction(custody.connections) as connection:
            await audit.report(connection, theft_of(brought))
        return False
    return isinstance(brought, Incoming) and await post_one(custody, owner, brought)


def _missing(posted: Mapping[Signature, Slot], history: SecondHistory) -> list[Signature]:
    """Return deposits that the second provider should list and does not."""
    there = {each.signature for each in history.listed}
    return [
        signature
        for signature, slot in posted.items()
        if signature not in there and history.since <= slot <= history.until
    ]


async def _doubt(custody: Custody, address: Address, signature: Signature, why: str) -> None:
    log.error("alarm", what="providers differ about a deposit", address=address,
              signature=signature, why=why)  # fmt: skip
    async with transaction(custody.connections) as connection:
        await set_aside.set_aside(
            connection, f"rescan/{address}/{signature}", signature, f"{signature} {why}"
        )


async def _transaction(signature: Signature, rpc: Rpc) -> LandedTransaction | None:
    """Read a transaction with its block's time; nothing when the provider has not got it."""
    if await rpc.transaction(signature, "finalized") is None:
        return None
    return await rpc.landed(signature, "finalized")
