"""Bets: the stage that takes what people ask to stake, or says why not.

In        requests, in the order of asking; rooms, accounts and prices as they are now.
Out       bets with their stakes, holds and planned transfers; what is told.
Promises  a request is decided once, under the row of its room and the accounts of its owner; a bet
          is in time by the database's clock; whatever is taken can be signed and land before the
          cut; a batch is written whole, one statement for many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from rooms import ledger
from rooms.bet import Standing, check_bet
from rooms.event import Event, Kind
from rooms.refusal import Refused
from rooms.room import Room, Side, freeze_distance, reached
from rooms.units import BPS_WHOLE, Bps, Lamports, UnixMs
from rooms.weight import chance_bps, weight_bps
from storage import bets, flags, outbox, plans, rooms
from storage import ledger as accounts
from storage.bets import Asked, Bet, TakenStake
from storage.connections import Connection, transaction
from storage.flags import Flag
from storage.live import LivePrice
from storage.rooms import KeptRoom
from streams.money import Money, SigningPace

log = structlog.get_logger()


async def claim_bets(money: Money) -> int:
    """Decide bets that are asked for; return how many."""
    async with transaction(money.connections) as connection:
        asked = await bets.claim(connection, money.batch_max)
        if not asked:
            return 0
        # Asked for before anything but the requests is locked: Redis may be slow.
        feeds = await bets.fixed_value_feeds(connection, {each.room for each in asked})
        prices = await money.prices.prices_of(feeds) if feeds else {}
        table = await _table(connection, asked, prices, money.signing)
        for each, stake_id in zip(asked, await bets.stake_ids(connection, len(asked)), strict=True):
            table.decide(each, stake_id)
        await _write(connection, table)
    log.info("bets_decided", taken=len(table.taken), refused=len(table.refused))
    return len(asked)


@dataclass(kw_only=True)
class Table:
    """What a batch of requests is decided by, kept up to date as they are allowed.

    Attributes:
        known: the bets that are there, by room and user.
        bettors: of rooms with seats.
        pools: of rooms whose pool has a cap.
        available: of people who have a place for it, by asset.
        frozen: people a fork took a deposit from that they have used already.
        costly: people whose bets that came back have cost as much as they may in an hour.
        queues: how many stakes are signed before or with those of each cut.
    """

    now: UnixMs
    is_open: bool
    signing: SigningPace
    prices: Mapping[str, LivePrice]
    rooms: Mapping[int, KeptRoom]
    known: Mapping[tuple[int, int], Bet]
    bettors: dict[int, int]
    pools: dict[int, int]
    available: dict[tuple[int, str], Lamports]
    frozen: frozenset[int]
    costly: frozenset[int]
    queues: dict[UnixMs, int]
    taken: list[TakenStake] = field(default_factory=list)
    refused: list[tuple[Asked, Refused]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bets = dict(self.known)

    def decide(self, asked: Asked, stake_id: int) -> None:
        """Take a request as the stake of this id, or refuse it."""
        try:
            weight = self._judge(asked)
        except Refused as refusal:
            self.refused.append((asked, refusal))
            return
        self.taken.append(TakenStake(id=stake_id, asked=asked, weight_bps=weight, at=self.now))
        pair = asked.room, asked.user
        bet = self._bets.get(pair)
        if bet is None:
            bet = Bet(0, asked.side, Lamports(0))
            self.bettors[asked.room] = self.bettors.get(asked.room, 0) + 1
        self._bets[pair] = replace(bet, lamports=Lamports(bet.lamports + asked.lamports))
        if asked.room in self.pools:
            self.pools[asked.room] += asked.lamports
        rule = self.rooms[asked.room].rule
        own = asked.user, rule.asset
        self.available[own] = Lamports(self.available[own] - asked.lamports)
        cut_at = rule.cut_at
        for each in self.queues:
            if each >= cut_at:
                self.queues[each] += 1

    def _judge(self, asked: Asked) -> Bps:
        if not self.is_open:
            raise Refused("paused", "Bets are paused just now; nothing of yours has moved.")
        room = self.rooms[asked.room]
        own = asked.user, room.rule.asset
        if own not in self.available:
            raise Refused("no_wallet", "You have no wallet yet; send /start to get one.")
        if asked.user in self.frozen:
            raise Refused(
                "frozen",
                "The network dropped a payment to your wallet after you had used it. Add what is "
                "missing, or wait until your stakes are back; then you can bet again.",
            )
        if asked.user in self.costly:
            raise Refused(
                "too_many_returned",
                "So many of your bets came back that their network fees are used up for this hour. "
                "Bet again from the next full hour on: early, and where others bet too.",
            )
        bet = self._bets.get((asked.room, asked.user))
        standing = Standing(
            state=room.state,
            own_side=bet.side if bet else None,
            own_lamports=bet.lamports if bet else Lamports(0),
            bettors=self.bettors.get(asked.room, 0),
            available_lamports=self.available[own],
            pool_lamports=Lamports(self.pools.get(asked.room, 0)),
            can_land=can_land(room.rule, self.queues[room.rule.cut_at], self.now, self.signing),
        )
        check_bet(room.rule, standing, asked.side, asked.lamports, self.now)
        return weigh(room.rule, asked.side, self.prices.get(room.rule.feed), self.now)


def can_land(room: Room, waiting: int, now: UnixMs, pace: SigningPace) -> bool:
    """Say whether a stake behind ``waiting`` others is signed before lock and lands before cut."""
    signed_at = now + pace.sign_ms + waiting * 1000 // pace.stakes_per_s
    return signed_at < room.lock_at and signed_at + pace.land_ms < room.cut_at


def weigh(room: Room, side: Side, price: LivePrice | None, now: UnixMs) -> Bps:
    """Return what a stake weighs; in a room about a move every stake weighs the same.

    Raises:
        Refused: when there is no price to weigh it by, or the price is at the target already.
    """
    if room.is_move:
        return BPS_WHOLE
    assert room.target is not None, "a fixed value is known"
    value = price.value_at(now) if price else None
    if value is None:
        raise Refused(
            "no_price",
            f"There is no live price of {room.feed} just now, so a stake here cannot be weighed; "
            "try again in a moment.",
        )
    if room.is_live and abs(room.target - value) <= freeze_distance(
        room.target, room.volatility_bps
    ):
        raise Refused(
            "near_target",
            "The price is so near the target that no stake is taken just now; wait until it moves "
            "away.",
        )
    if reached(room.comparator, room.target, value):
        raise Refused("target_passed", "The price has reached the target; this room is ending.")
    return weight_bps(
        chance_bps(
            value=value,
            target=room.target,
            left_ms=room.deadline_at - now,
            volatility_bps=room.volatility_bps,
            side=side,
        )
    )


async def _table(
    connection: Connection,
    asked: Sequence[Asked],
    prices: Mapping[str, LivePrice],
    signing: SigningPace,
) -> Table:
    """Lock what the requests depend on, rooms before accounts, and read it."""
    users = {each.user for each in asked}
    is_open = await flags.is_open(connection, Flag.BETS)
    kept = await rooms.lock(connection, {each.room for each in asked})
    wanted = {(each.user, kept[each.room].rule.asset) for each in asked}
    places = sorted(wanted & await rooms.user_places(connection, users))
    lying = await accounts.lock(
        connection,
        [
            account(user).of(asset)
            for user, asset in places
            for account in (ledger.available, ledger.held)
        ],
    )
    seated = [room for room, each in kept.items() if each.rule.seats is not None]
    known = await bets.standings(connection, {(each.room, each.user) for each in asked})
    bettors = await bets.bettors(connection, seated) if seated else {}
    queues = await bets.queues(connection, [each.rule.cut_at for each in kept.values()])
    # Last, when nothing can make us wait any more.
    moment = await bets.moment(connection, users)
    capped = [room for room, each in kept.items() if each.rule.pool_lamports_max is not None]
    return Table(
        is_open=is_open,
        signing=signing,
        prices=prices,
        rooms=kept,
        known=known,
        bettors=bettors,
        pools=await bets.pools(connection, capped) if capped else {},
        available={
            (user, asset): lying[ledger.available(user).of(asset)] for user, asset in places
        },
        frozen=moment.frozen,
        costly=moment.costly,
        queues=queues,
        now=moment.now,
    )


async def _write(connection: Connection, table: Table) -> None:
    await bets.insert(connection, table.taken, table.known)
    await accounts.post(
        connection,
        [
            ledger.hold(f"stake:{stake.id}", stake.asked.user, stake.asked.lamports).of(
                table.rooms[stake.asked.room].rule.asset
            )
            for stake in table.taken
        ],
    )
    await plans.plan_stakes(connection, [stake.id for stake in table.taken])
    await bets.answer(connection, table.taken, table.refused)
    await outbox.tell(
        connection,
        [
            *(_taken(stake, table) for stake in table.taken),
            *(_refused(asked, refusal, table) for asked, refusal in table.refused),
        ],
    )
    if table.taken:
        await outbox.wake(connection, "custody")


def _taken(stake: TakenStake, table: Table) -> Event:
    return Event(
        Kind.BET_TAKEN,
        table.now,
        room=stake.asked.room,
        user=stake.asked.user,
        facts={
            "stake": str(stake.id),
            "side": stake.asked.side.value,
            "lamports": str(stake.asked.lamports),
            "weight_bps": stake.weight_bps,
            **table.rooms[stake.asked.room].rule.money.facts,
        },
    )


def _refused(asked: Asked, refusal: Refused, table: Table) -> Event:
    return Event(
        Kind.BET_REFUSED,
        table.now,
        room=asked.room,
        user=asked.user,
        facts={
            "side": asked.side.value,
            "lamports": str(asked.lamports),
            "code": refusal.code,
            "sentence": refusal.sentence,
            **table.rooms[asked.room].rule.money.facts,
        },
    )
