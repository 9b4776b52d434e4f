"""Withdrawals: the stage that judges what people ask to take out, and lets it go when it is due.

In        withdrawals in the order of asking; those whose moment has come.
Out       holds and moments; planned transfers; refusals with what to do.
Promises  what is allowed is reserved in the same commit; nothing leaves to an address of ours, to
          a program, above the limits or while withdrawals are paused.
"""

import structlog

from chain.addresses import address_from_text
from rooms import ledger
from rooms.event import Event, Kind
from rooms.ledger import Entry
from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs
from rooms.withdrawal import WithdrawalLimits, due_at
from storage import flags, outbox, plans, withdrawals
from storage import ledger as accounts
from storage.connections import transaction
from storage.flags import Flag
from storage.withdrawals import Asked, History
from streams.money import Money

log = structlog.get_logger()


async def claim_asked(money: Money) -> int:
    """Judge withdrawals that are asked for; return how many."""
    async with transaction(money.connections) as connection:
        asked = await withdrawals.claim_asked(connection, money.batch_max)
        if not asked:
            return 0
        is_open = await flags.is_open(connection, Flag.WITHDRAWALS)
        users = {each.user for each in asked}
        lying = await accounts.lock(
            connection,
            [account(user) for user in users for account in (ledger.available, ledger.held)],
        )
        available = {user: lying[ledger.available(user)] for user in users}
        taken = dict.fromkeys(users, 0)
        histories = await withdrawals.histories(connection, [each.id for each in asked])
        accepted: list[tuple[int, UnixMs]] = []
        refused: list[tuple[int, Refused]] = []
        holds: list[Entry] = []
        events: list[Event] = []
        for each in asked:
            history = histories[each.id]
            try:
                if not is_open:
                    raise Refused("paused", "Withdrawals are paused just now; nothing has moved.")
                moment = judge(
                    each,
                    history,
                    available=available[each.user],
                    taken_before=Lamports(taken[each.user]),
                    limits=money.withdrawal_limits,
                )
            except Refused as refusal:
                refused.append((each.id, refusal))
                events.append(_refused(each, refusal, history.now))
                continue
            available[each.user] = Lamports(available[each.user] - each.lamports)
            taken[each.user] += each.lamports
            accepted.append((each.id, moment))
            holds.append(ledger.hold(f"withdrawal:{each.id}", each.user, each.lamports))
            events.append(_accepted(each, moment, history.now))
        await accounts.post(connection, holds)
        await withdrawals.accept(connection, accepted)
        await withdrawals.refuse(connection, refused)
        await outbox.tell(connection, events)
    log.info("withdrawals_judged", accepted=len(accepted), refused=len(refused))
    return len(asked)


async def claim_due(money: Money) -> int:
    """Plan withdrawals that may leave now; return how many. Paused ones wait."""
    async with transaction(money.connections) as connection:
        due = await withdrawals.claim_due(connection, money.batch_max)
        if not due or not await flags.is_open(connection, Flag.WITHDRAWALS):
            return 0
        await withdrawals.leave(connection, due)
        await plans.plan_withdrawals(connection, due)
        await outbox.wake(connection, "custody")
    log.info("withdrawals_leave", count=len(due))
    return len(due)


def judge(
    asked: Asked,
    history: History,
    *,
    available: Lamports,
    taken_before: Lamports,
    limits: WithdrawalLimits,
) -> UnixMs:
    """Say when a withdrawal may leave.

    Args:
        asked: the withdrawal.
        history: what came before it and is written down.
        available: what the person has left.
        taken_before: what was allowed to the person just now and is not written down yet.
        limits: what this installation allows.

    Raises:
        Refused: with what to do.
    """
    address_from_text(asked.to_address)
    if history.is_ours:
        raise Refused("our_address", "This address belongs to us; give one of a wallet of yours.")
    if not history.has_address:
        raise Refused("no_wallet", "You have no wallet yet; send /start to get one.")
    return due_at(
        asked.lamports,
        available=available,
        taken_today=Lamports(history.taken_today + taken_before),
        address_since=history.address_since,
        now=history.now,
        limits=limits,
    )


def _accepted(asked: Asked, moment: UnixMs, now: UnixMs) -> Event:
    return Event(
        Kind.WITHDRAWAL_ACCEPTED,
        now,
        user=asked.user,
        facts={
            "withdrawal": str(asked.id),
            "lamports": str(asked.lamports),
            "to_address": asked.to_address,
            "due_at": moment,
        },
    )


def _refused(asked: Asked, refusal: Refused, now: UnixMs) -> Event:
    return Event(
        Kind.WITHDRAWAL_REFUSED,
        now,
        user=asked.user,
        facts={
            "withdrawal": str(asked.id),
            "lamports": str(asked.lamports),
            "to_address": asked.to_address,
            "code": refusal.code,
            "sentence": refusal.sentence,
        },
    )
