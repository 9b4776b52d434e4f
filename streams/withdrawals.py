"""Withdrawals: the stage that judges what people ask to take out, and lets it go when it is due.

In        withdrawals in the order of asking; those whose moment has come; those called off.
Out       holds and moments; planned transfers; refusals with what to do; what was held, given back.
Promises  what is allowed is reserved in the same commit; nothing leaves to an address of ours, to
          a program, above the limits or while withdrawals are paused; what was called off never
          leaves, and what is leaving cannot be called off.
"""

from dataclasses import replace

import structlog

from rooms import ledger
from rooms.event import Event, Kind
from rooms.ledger import Entry
from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs
from rooms.wallet_address import wallet_address
from rooms.withdrawal import WithdrawalLimits, due_at
from storage import flags, outbox, outlooks, plans, withdrawal_limits, withdrawals
from storage import ledger as accounts
from storage.connections import transaction
from storage.flags import Flag
from storage.outlooks import Parties
from storage.withdrawals import Asked
from streams.money import Money

log = structlog.get_logger()


async def claim_asked(money: Money) -> int:
    """Judge withdrawals that are asked for; return how many."""
    async with transaction(money.connections) as connection:
        asked = await withdrawals.claim_asked(connection, money.batch_max)
        if not asked:
            return 0
        is_open = await flags.is_open(connection, Flag.WITHDRAWALS)
        limits = {
            asset: await withdrawal_limits.read(connection, asset)
            for asset in sorted({each.asset.name for each in asked})
        }
        # Locked before anything is read, so that what is available stays what it is.
        await accounts.lock(
            connection,
            [account(user).of(asset)
             for user, asset in sorted({(each.user, each.asset.name) for each in asked})
             for account in (ledger.available, ledger.held)],
        )  # fmt: skip
        parties = await outlooks.read(
            connection, [(each.user, each.to_address, each.asset) for each in asked]
        )
        accepted: list[tuple[Asked, UnixMs]] = []
        refused: list[tuple[int, Refused]] = []
        events: list[Event] = []
        for each, known in zip(asked, parties, strict=True):
            try:
                if not is_open:
                    raise Refused("paused", "Withdrawals are paused just now; nothing has moved.")
                moment = judge(
                    each,
                    known,
                    [one for one, _ in accepted if one.asset == each.asset],
                    limits[each.asset.name],
                )
            except Refused as refusal:
                refused.append((each.id, refusal))
                events.append(_refused(each, refusal, known.outlook.now))
                continue
            accepted.append((each, moment))
            events.append(_accepted(each, moment, known.outlook.now))
        await accounts.post(
            connection,
            [
                ledger.hold(f"withdrawal:{each.id}", each.user, each.lamports).of(each.asset.name)
                for each, _ in accepted
            ],
        )
        await withdrawals.accept(connection, [(each.id, moment) for each, moment in accepted])
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


async def claim_cancelled(money: Money) -> int:
    """Give back what was held for withdrawals that were called off; return how many."""
    async with transaction(money.connections) as connection:
        wanted = await withdrawals.claim_cancelled(connection, money.batch_max)
        if not wanted:
            return 0
        entries: list[Entry] = []
        events: list[Event] = []
        now = UnixMs(await connection.fetchval("SELECT now_ms()"))
        for each in wanted:
            entry = ledger.release(f"withdrawal:{each.id}", each.user, each.lamports)
            entries.append(entry.of(each.asset.name))
            facts = {"lamports": str(each.lamports), "cancelled": True, **each.asset.facts}
            events.append(Event(Kind.WITHDRAWAL_RELEASED, now, user=each.user, facts=facts))
        await withdrawals.call_off(connection, [each.id for each in wanted])
        await accounts.post(connection, entries)
        await outbox.tell(connection, events)
    log.info("withdrawals_called_off", count=len(wanted))
    return len(wanted)


def judge(asked: Asked, parties: Parties, before: list[Asked], limits: WithdrawalLimits) -> UnixMs:
    """Say when a withdrawal may leave.

    Args:
        asked: the withdrawal.
        parties: what is known of its person and its address, and is written down.
        before: what was allowed just now in the same asset and is not written down yet.
        limits: what this installation allows.

    Raises:
        Refused: with what to do.
    """
    if asked.cancelled:
        raise Refused("cancelled", "You called it off.")
    wallet_address(asked.to_address)
    if parties.is_ours:
        raise Refused("our_address", "This address belongs to us; give one of a wallet of yours.")
    if not parties.has_address:
        raise Refused("no_wallet", "You have no wallet yet; send /start to get one.")
    if parties.is_locked:
        raise Refused("locked", "Your wallet is locked just now: see /security.")
    own = sum(each.lamports for each in before if each.user == asked.user)
    there = sum(each.lamports for each in before if each.to_address == asked.to_address)
    outlook = replace(
        parties.outlook,
        available=Lamports(parties.outlook.available - own),
        taken=parties.outlook.taken.and_also(person=own, address=there),
    )
    return due_at(asked.lamports, outlook, limits)


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
            **asked.asset.facts,
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
            **asked.asset.facts,
        },
    )
