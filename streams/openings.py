"""Openings: the stage that makes requests into rooms, and opens them when all is ready.

In        requests; then drafts whose vault is known and whose feed is warm.
Out       drafts; open rooms, told to people and sent into their feed's log; refusals.
Promises  a room opens once, its times counted from that moment; a request that breaks a rule
          becomes no room and says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import structlog

from rooms.asset import SOL, Asset
from rooms.derived import CONDITION
from rooms.event import Event, Kind
from rooms.feed_log import OpenRoom
from rooms.liquidity import SOL_FEED, side_lamports
from rooms.refusal import Refused
from rooms.room import Comparator, Room, RoomRequest, reached, room_from_request
from rooms.units import Lamports, UnixMs, Value
from storage import feeds, flags, openings, outbox, rooms, set_aside, tokens
from storage.connections import Connection, transaction
from storage.flags import Flag
from storage.live import LivePrice
from storage.openings import Asked, Draft
from streams import messages
from streams.money import Money

log = structlog.get_logger()


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a request says, as it lies in its row."""

    move_bps: int | None
    fixed_value: int | None
    lock_in_ms: int
    deadline_in_ms: int
    stake_lamports_min: int
    stake_lamports_max: int
    seats: int | None = None
    comparator: Comparator | None = None
    held_ms: int | None = None
    is_live: bool = False
    asset: str = SOL.name


async def claim_requests(money: Money) -> int:
    """Make requests into drafts, or refuse them; return how many were looked at."""
    async with transaction(money.connections) as connection:
        requests = await openings.claim(connection, money.batch_max)
        if not requests:
            return 0
        is_open = await flags.is_open(connection, Flag.ROOMS)
        measured = {asked.feed.liquidity for asked in requests if asked.feed.liquidity}
        needed = {asked.feed.name for asked in requests} | measured
        prices = await money.prices.prices_of(needed | ({SOL_FEED} if measured else set()))
        sides = await _sides(connection, requests, prices)
        known = await tokens.assets(connection)
        drafted = 0
        for asked in requests:
            try:
                if not is_open:
                    raise Refused("paused", "New rooms are paused just now; try again later.")
                name = asked.feed.name
                room = _room(asked, prices.get(name), sides.get(name), money, known)
            except Refused as refusal:
                await _refuse(connection, asked.id, asked.creator, refusal, asked.now)
            except msgspec.ValidationError as wrong:
                await set_aside.set_aside(
                    connection, f"room_requests/{asked.id}", repr(asked.request), str(wrong)
                )
                sorry = Refused("bad_request", "This cannot be a room; please start again.")
                await _refuse(connection, asked.id, asked.creator, sorry, asked.now)
            else:
                await rooms.insert_draft(connection, room)
                await openings.drafted(connection, asked.id, room.id)
                drafted += 1
                log.info("room_drafted", room=room.id, feed=room.feed)
        if drafted:
            await outbox.wake(connection, "custody")
    return len(requests)


async def claim_drafts(money: Money) -> int:
    """Open drafts that are ready, and refuse those that have waited too long; return how many."""
    async with transaction(money.connections) as connection:
        drafts = await openings.claim_drafts(
            connection,
            warm_ms=money.room_limits.warm_ms,
            wait_ms_max=money.draft_wait_ms,
            limit=money.batch_max,
        )
        ready: dict[int, Draft] = {}
        for draft in drafts:
            try:
                _check_draft(draft)
                ready[draft.room_id] = draft
            except Refused as refusal:
                await _refuse(connection, draft.request_id, draft.creator, refusal, draft.now)
        if not ready:
            return len(drafts)
        vaults = await rooms.vaults(connection, ready)
        opened = await rooms.open_drafts(connection, ready)
        await openings.opened(connection, [draft.request_id for draft in ready.values()])
        await outbox.tell(
            connection,
            [
                Event(
                    Kind.ROOM_OPENED,
                    room.rule.opened_at,
                    room=room.rule.id,
                    facts={**opened_facts(room.rule), "vault": vaults[room.rule.id]},
                )
                for room in opened
            ],
        )
        for room in opened:
            await outbox.to_log(connection, room.rule.feed, messages.opened(_followed(room.rule)))
            log.info("room_opened", room=room.rule.id, feed=room.rule.feed)
    return len(drafts)


def opened_facts(room: Room) -> Mapping[str, Any]:
    """Return what everybody hears of a room that opens."""
    return {
        "feed": room.feed,
        "scale": room.scale,
        "comparator": int(room.comparator),
        "move_bps": room.move_bps,
        "target": None if room.target is None else str(room.target),
        "lock_at": room.lock_at,
        "cut_at": room.cut_at,
        "watch_at": room.watch_at,
        "deadline_at": room.deadline_at,
        "held_ms": room.held_ms,
        "is_live": room.is_live,
        **room.money.facts,
    }


async def _sides(
    connection: Connection,
    requests: Sequence[Asked],
    prices: Mapping[str, LivePrice],
) -> dict[str, Lamports]:
    """Return half of what lies in the market of each thin feed, where it is known now."""
    wanted = {asked.feed.name: asked.feed.liquidity for asked in requests if asked.feed.liquidity}
    if not wanted:
        return {}
    measured = await feeds.named(connection, {SOL_FEED, *wanted.values()})
    now = requests[0].now

    def value(name: str) -> Value | None:
        price = prices.get(name)
        return price.value_at(now) if price and name in measured else None

    sol = value(SOL_FEED)
    return {
        name: side_lamports(market, measured[source].scale, sol, measured[SOL_FEED].scale)
        for name, source in wanted.items()
        if sol is not None and (market := value(source)) is not None
    }


def _room(
    asked: Asked,
    price: LivePrice | None,
    side: Lamports | None,
    money: Money,
    known: Mapping[str, Asset],
) -> Room:
    wish, feed = msgspec.convert(asked.request, _Wish), asked.feed
    if wish.is_live and feed.unit == CONDITION:
        raise Refused(
            "not_live", "Bets on a condition cannot be weighed, so they end before it is watched."
        )
    asset, limits = SOL, money.room_limits
    if wish.asset != SOL.name:
        stakes = money.token_stakes.get(wish.asset)
        if stakes is None or wish.asset not in known:
            raise Refused("no_asset", f"No room can be made in {wish.asset} here.")
        asset = known[wish.asset]
        least, most = stakes
        limits = replace(limits, stake_lamports_min=least, stake_lamports_max=most)
    price_now = price.value_at(asked.now) if price else None
    if wish.fixed_value is not None and price_now is None:
        raise Refused(
            "no_price", f"There is no live price of {feed.name} just now; try again in a moment."
        )
    return room_from_request(
        RoomRequest(
            creator=asked.creator,
            feed=feed.name,
            move_bps=wish.move_bps,
            fixed_value=None if wish.fixed_value is None else Value(wish.fixed_value),
            lock_in_ms=wish.lock_in_ms,
            deadline_in_ms=wish.deadline_in_ms,
            stake_lamports_min=Lamports(wish.stake_lamports_min),
            stake_lamports_max=Lamports(wish.stake_lamports_max),
            seats=wish.seats,
            comparator=wish.comparator,
            held_ms=wish.held_ms,
            is_live=wish.is_live,
            asset=asset,
        ),
        id=money.new_room_id(),
        now=asked.now,
        # Only a fixed value looks at it: a move starts from the first price of its watch.
        price_now=Value(1) if price_now is None else price_now,
        scale=feed.scale,
        volatility_bps=feed.volatility_bps,
        guards=feed.guards,
        limits=limits,
        is_thin=feed.is_thin,
        side_lamports=side,
    )


def _followed(room: Room) -> OpenRoom:
    return OpenRoom(
        id=room.id,
        comparator=room.comparator,
        move_bps=room.move_bps,
        target=room.target,
        opened_at=room.opened_at,
        lock_at=room.lock_at,
        watch_at=room.watch_at,
        deadline_at=room.deadline_at,
        target_wait_ms=room.target_wait_ms,
        gap_ms_max=room.gap_ms_max,
        held_ms=room.held_ms,
    )


def _check_draft(draft: Draft) -> None:
    if not draft.ready:
        raise Refused("never_warm", "There was no steady price for this room; try another feed.")
    if draft.move_bps is None:
        assert draft.target is not None, "a fixed value is known"
        assert draft.last is not None, "a warm feed has a price"
        if reached(draft.comparator, draft.target, draft.last):
            raise Refused("target_passed", "The price got there before the room could open.")


async def _refuse(
    connection: Connection, request: int, creator: int, refusal: Refused, now: UnixMs
) -> None:
    await openings.refuse(connection, request, refusal)
    facts = {"code": refusal.code, "sentence": refusal.sentence}
    await outbox.tell(connection, [Event(Kind.ROOM_REFUSED, now, user=creator, facts=facts)])
    log.info("room_refused", request=request, code=refusal.code)
