"""Cards for tests: rooms and prices as the bot reads them, without a database."""

from dataclasses import replace
from typing import Any

from rooms.feed import Feed, Guards
from rooms.index_price import Reason
from rooms.room import Comparator, Room, State
from rooms.units import Bps, Lamports, UnixMs, Value
from storage.cards import RoomCard, SidePool
from storage.live import LivePrice

NOW = UnixMs(1_763_793_600_000)
SOL = 1_000_000_000

FEED = Feed(name="SOL/USD", unit="USD", scale=2, symbols={}, volatility_bps=Bps(8_000))

ROOM = Room(
    id=31,
    creator=7,
    feed="SOL/USD",
    scale=2,
    comparator=Comparator.UP,
    move_bps=Bps(200),
    target=None,
    opened_at=NOW,
    lock_at=UnixMs(NOW + 260_000),
    cut_at=UnixMs(NOW + 270_000),
    watch_at=UnixMs(NOW + 290_000),
    deadline_at=UnixMs(NOW + 3_600_000),
    target_wait_ms=10_000,
    gap_ms_max=60_000,
    protocol_fee_bps=Bps(200),
    host_fee_bps=Bps(100),
    stake_lamports_min=Lamports(10_000_000),
    stake_lamports_max=Lamports(5 * SOL),
    seats=None,
    volatility_bps=Bps(8_000),
    guards=Guards(),
)

FIXED = replace(ROOM, move_bps=None, target=Value(20_500))


def pool(lamports: int, weight: int = 10_000) -> SidePool:
    """Return a side with one weight."""
    return SidePool(lamports=Lamports(lamports), weighed=lamports * weight)


def card(room: Room = ROOM, *, yes: int = 0, no: int = 0, **changes: Any) -> RoomCard:  # noqa: ANN401
    """Return a room as somebody without a bet sees it."""
    plain = RoomCard(
        room=room,
        unit="USD",
        name=room.feed,
        state=State.OPEN,
        outcome=None,
        void_reason=None,
        sealed_at=None,
        sealed_slot=None,
        vault=None,
        evidence_hash=None,
        value=None,
        yes=pool(yes),
        no=pool(no),
        bettors=(yes > 0) + (no > 0),
        own_side=None,
        own_lamports=Lamports(0),
        own_weighed=0,
    )
    return replace(plain, **changes)


def live(value: int | None = 20_037, **changes: Any) -> LivePrice:  # noqa: ANN401
    """Return a price of SOL/USD that four of five sources agree on."""
    plain = LivePrice(
        feed="SOL/USD",
        value=None if value is None else Value(value),
        at=NOW,
        seen_at=NOW,
        silence=None if value is not None else Reason.TOO_FEW,
        agreeing=4 if value is not None else 2,
        known=5,
        quorum=3,
        position=1,
        told_at=NOW,
    )
    return replace(plain, **changes)
