"""Seals: writes a room's pool down once the finalized chain has passed its cut.

In        the newest moment that two providers have finalized; rooms whose cut lies before it.
Out       the sealed pool; a room whose pool is no contest is void.
Promises  the pool is every stake in a finalized block whose time is at or before the cut; a room
          waits until each of its stakes has its fate, so that nothing can still join it. What
          landed in a live room after the cut that its touch made goes back.
"""

import structlog

from chain.trouble import NotKnown
from rooms.event import Event, Kind
from rooms.pool import pool_of, void_of_pool
from rooms.room import Outcome
from storage import outbox, plans, seals
from storage.connections import transaction
from streams.custody import Custody

log = structlog.get_logger()


async def seal_due(custody: Custody) -> int:
    """Seal every room that can be sealed; return how many."""
    async with custody.connections.acquire() as connection:
        if not await seals.any_waiting(connection):
            return 0
    try:
        moment = await custody.providers.final_moment()
    except NotKnown as trouble:
        log.warning("seal waits", why=str(trouble))
        return 0
    async with custody.connections.acquire() as connection:
        due = await seals.due(connection, moment.at)
    sealed = 0
    for room_id in due:
        async with transaction(custody.connections) as connection:
            room = await seals.lock(connection, room_id, moment.at)
            if room is None:
                continue
            late = await seals.miss_late(connection, room.id)
            await plans.plan_refunds(connection, [stake for stake, _, _ in late])
            stakes = await seals.stakes(connection, room.id)
            pool = pool_of(stakes)
            await seals.seal(connection, room.id, moment.slot, pool)
            facts = {
                "yes": str(pool.yes),
                "no": str(pool.no),
                "bettors": len({stake.user for stake in stakes}),
                "slot": moment.slot,
            }
            events = [Event(Kind.ROOM_SEALED, moment.at, room=room.id, facts=facts)]
            events += [
                Event(
                    Kind.STAKE_MISSED,
                    moment.at,
                    room=room.id,
                    user=user,
                    facts={"lamports": str(lamports)},
                )
                for _, user, lamports in late
            ]
            reason = void_of_pool(stakes)
            if reason is not None and not room.decided:
                await seals.void(connection, room.id, reason, room.cut_at)
                await outbox.to_log(
                    connection, room.feed, {"kind": "stopped", "room": str(room.id)}
                )
                facts = {"outcome": Outcome.VOID.value, "reason": reason.value}
                events.append(Event(Kind.ROOM_DECIDED, room.cut_at, room=room.id, facts=facts))
            await outbox.tell(connection, events)
            await outbox.wake(connection, "settlements")
        log.info("sealed", room=room.id, yes=pool.yes, no=pool.no, slot=moment.slot)
        sealed += 1
    return sealed
