"""Releases: what follows when an attempt moved nothing: sign anew, or give back what was held.

In        the transfers of an attempt that was refused or lapsed; stakes nobody signed in time.
Out       transfers planned again, or released with the entry that returns the money.
Promises  only what can never land is signed anew or given back; it is given back once.
"""

from collections.abc import Sequence

from rooms.event import Event, Kind
from rooms.transfer import Fate, Next, TransferKind, next_step
from rooms.units import UnixMs
from storage import attempts, outbox
from storage.attempts import OpenTransfer, PlannedTransfer
from storage.connections import Connection, transaction
from streams.custody import Custody

REFUSALS_MAX = 6
"""A transfer of these that a simulation refused so often is given up."""
_GIVEN_UP = (TransferKind.STAKE, TransferKind.WITHDRAWAL, TransferKind.RETURN)


async def follow(
    connection: Connection, open_transfers: Sequence[OpenTransfer], fate: Fate, *, restoring: bool
) -> None:
    """Do with each transfer what the fate of its attempt asks for.

    While a restore is open nothing is given back: another attempt of it, that this database has
    forgotten, may have landed.
    """
    released: list[PlannedTransfer] = []
    for each in open_transfers:
        step = next_step(each.transfer.kind, fate, may_sign=each.may_sign)
        if step is Next.RELEASE and not restoring:
            released.append(each.transfer)
        else:
            assert step in (Next.SIGN_ANEW, Next.RELEASE), "a fate that is known asks for something"
            await attempts.plan_again(
                connection,
                [each.transfer.id],
                refused=fate is Fate.REFUSED,
                alone=fate is Fate.REFUSED and len(open_transfers) > 1,
            )
    await release(connection, released)


async def follow_simulation(connection: Connection, open_transfers: Sequence[OpenTransfer]) -> None:
    """Try again what a simulation refused, by itself; after too many times give it back."""
    released: list[PlannedTransfer] = []
    for each in open_transfers:
        transfer = each.transfer
        if transfer.kind in _GIVEN_UP and transfer.refused_count + 1 >= REFUSALS_MAX:
            released.append(transfer)
        else:
            await attempts.plan_again(
                connection, [transfer.id], refused=True, alone=len(open_transfers) > 1
            )
    await release(connection, released)


async def release_overdue(custody: Custody) -> int:
    """Give up what is signed no more, such as stakes after lock; return how many."""
    async with transaction(custody.connections) as connection:
        overdue = await attempts.overdue(connection, 500)
        await release(connection, overdue)
    return len(overdue)


async def release(
    connection: Connection, transfers: Sequence[PlannedTransfer], *, why: str = ""
) -> None:
    """Give back what was held for transfers that will never move; ``why`` is for their owners.

    For a return nothing was held: the floor stays where it lies.
    """
    if not transfers:
        return
    at = UnixMs(await connection.fetchval("SELECT now_ms()"))
    events: list[Event] = []
    returning = [each for each in transfers if each.kind is TransferKind.RETURN]
    await attempts.release(connection, [each.id for each in returning])
    transfers = [each for each in transfers if each.kind is not TransferKind.RETURN]
    for each in transfers:
        assert each.user is not None, "only a person's money is released"
        assert each.subject is not None, "it was held for something"
        facts = {
            "lamports": str(each.lamports), **({"sentence": why} if why else {}),
            **each.asset.facts,
        }  # fmt: skip
        if each.kind is TransferKind.STAKE:
            await attempts.release_stake(connection, each.subject)
            events.append(
                Event(Kind.STAKE_RELEASED, at, room=each.room, user=each.user, facts=facts)
            )
        else:
            await attempts.end_withdrawal(connection, each.subject, "RELEASED")
            events.append(Event(Kind.WITHDRAWAL_RELEASED, at, user=each.user, facts=facts))
    await attempts.release(connection, [each.id for each in transfers])
    await outbox.tell(connection, events)
    await attempts.post_releases(connection, [each.id for each in transfers])
