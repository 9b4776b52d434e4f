"""Hot wallet: what custody may spend now, and the alarms that go with it.

In        the ledger; what was signed in this hour; the fee payer's floor.
Out       planned transfers that may be signed now; alarms, each told when it begins and when it
          ends.
Promises  below its floor the fee payer signs nothing; what leaves to outside addresses in an hour
          stays within a limit that is PostgreSQL's own, whoever cleared it.
Why       to stop at a floor is one alarm; to fail transaction by transaction is a thousand.
"""

from collections.abc import Sequence

import structlog

from rooms.transfer import TransferKind
from rooms.units import Lamports
from storage import attempts
from storage.attempts import DueTransfer, HotWallet
from streams.custody import Custody

log = structlog.get_logger()


async def read(custody: Custody) -> HotWallet:
    """Return what custody can and may spend now."""
    async with custody.connections.acquire() as connection:
        return await attempts.hot_wallet(connection, custody.operator.fee_payer)


async def look(custody: Custody) -> HotWallet:
    """Return what custody can and may spend now, and sound the fee payer's alarms."""
    wallet = await read(custody)
    lamports = {"lamports": wallet.fee_payer, "send_to": custody.operator.fee_payer}
    empty = wallet.fee_payer < custody.fee_payer_lamports_min
    _alarm(custody, "fee payer below its floor, nothing is signed", empty, lamports)
    low = wallet.fee_payer < custody.fee_payer_lamports_low
    _alarm(custody, "fee payer runs low", low and not empty, lamports)
    return wallet


def has_fees(custody: Custody, wallet: HotWallet) -> bool:
    """Say whether the fee payer is at its floor or above."""
    return wallet.fee_payer >= custody.fee_payer_lamports_min


def that_may_leave(
    custody: Custody, wallet: HotWallet, due: Sequence[DueTransfer]
) -> list[DueTransfer]:
    """Keep back withdrawals that this hour has no room for: the first of them and all after it."""
    left: int = wallet.outgoing
    staying: list[DueTransfer] = []
    kept_back = 0
    for each in due:
        if each.transfer.kind is TransferKind.WITHDRAWAL:
            left -= each.transfer.lamports
            if left < 0:
                kept_back += each.transfer.lamports
                continue
        staying.append(each)
    _alarm(
        custody, "as much as may leave in an hour was signed", kept_back > 0,
        {"kept_back": kept_back},
    )  # fmt: skip
    return staying


def floors_fit(custody: Custody, wallet: HotWallet, floors: Sequence[Lamports]) -> bool:
    """Say whether these floors may be signed for in this hour."""
    fit = sum(floors) <= wallet.floors
    _alarm(custody, "as many floors as may be laid in an hour were signed", not fit, {})
    return fit


def _alarm(custody: Custody, what: str, sounds: bool, facts: dict[str, object]) -> None:  # noqa: FBT001
    if sounds and what not in custody.alarms:
        custody.alarms.add(what)
        log.error("alarm", what=what, **facts)
    elif not sounds and what in custody.alarms:
        custody.alarms.discard(what)
        log.info("alarm is over", what=what, **facts)
