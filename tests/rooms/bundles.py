"""Bundles for tests: rooms that ended in each way, with evidence that holds together."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from rooms.catalogue import BONK_SUPPLY
from rooms.coverage import Coverage
from rooms.crossing import Crossing
from rooms.derived import RATIO_SCALE
from rooms.evidence import (
    RULE_VERSION,
    Counted,
    Evidence,
    LandedStake,
    Made,
    MadeOf,
    RecordedSegment,
    Seal,
    Span,
    bundle_of,
    division_of,
)
from rooms.expression.form import formula
from rooms.feed import Guards
from rooms.index_price import IndexPrice, Input, LeftOut, index_price
from rooms.pool import Stake
from rooms.room import Comparator, Outcome, Room, Side, VoidReason
from rooms.settlement import settle
from rooms.tick import Tick
from rooms.units import Address, Bps, Lamports, Signature, Slot, UnixMs, Value

START: Final = 1_800_000_000_000
WATCH: Final = UnixMs(START + 100_000)
DEADLINE: Final = UnixMs(START + 160_000)
SOL: Final = 10**9
ROOM: Final = Room(
    id=7, creator=1, feed="SOL/USD", scale=2, comparator=Comparator.UP, move_bps=Bps(200),
    target=Value(20_400), opened_at=UnixMs(START), lock_at=UnixMs(START + 60_000),
    cut_at=UnixMs(START + 70_000), watch_at=WATCH, deadline_at=DEADLINE, target_wait_ms=10_000,
    gap_ms_max=3_000, protocol_fee_bps=Bps(200), host_fee_bps=Bps(100),
    stake_lamports_min=Lamports(1), stake_lamports_max=Lamports(5 * SOL), seats=None,
    volatility_bps=Bps(8_000), guards=Guards(),
)  # fmt: skip
BETS: Final = (
    (1, 1, "Ann", Side.YES, 3 * SOL, False),
    (2, 2, "Bo", Side.NO, 2 * SOL + 1, True),
    (3, 3, "Cy", Side.YES, SOL // 3, True),
    (4, 1, "Ann", Side.YES, 7, False),
)


def price(at: int, value: int, times: int = 1) -> IndexPrice:
    """Make an index price of three sources that count, one that is stale and a stuck one.

    ``times``: of a market cap, how many there are.
    """
    said = [("binance", value, 0), ("coinbase", value - 1, 0), ("kraken", value + 1, 0),
            ("okx", value + 3, 5_000), ("bybit", value + 2, 0)]  # fmt: skip
    ticks = [
        Tick(
            source, 2**60 + at % 1000, Value(says * times), UnixMs(at - age - 20), UnixMs(at - age)
        )
        for source, says, age in said
    ]
    found = index_price(ticks, UnixMs(at), ROOM.guards, {"bybit": LeftOut.STUCK})
    assert isinstance(found, IndexPrice)
    assert found.value == value * times
    return found


def spans(until: int, value: int = 20_100, *, silent: Iterable[int] = ()) -> tuple[Span, ...]:
    """Make a stored second for each of the watch before ``until``."""
    gaps = set(silent)
    return tuple(
        Span(
            at=UnixMs(at), until=UnixMs(at + 1000), seconds=1, silent=int(number in gaps),
            low=None if number in gaps else Value(value - 5),
            high=None if number in gaps else Value(value + 5),
            last=None if number in gaps else Value(value), position=number * 4,
        )
        for number, at in enumerate(range(WATCH, until, 1000))
    )  # fmt: skip


def landed(bets: Iterable[tuple[int, int, str, Side, int, bool]] = BETS) -> tuple[LandedStake, ...]:
    return tuple(
        LandedStake(
            id=number, bet=bet, address=Address(address), side=side, lamports=Lamports(lamports),
            weight_bps=Bps(10_000), is_referred=referred, landed_at=UnixMs(START + number),
            slot=Slot(100 + number), signature=Signature(f"signature{number}"),
        )
        for number, bet, address, side, lamports, referred in bets
    )  # fmt: skip


def evidence(outcome: Outcome, reason: VoidReason | None = None, **changes: Any) -> Evidence:  # noqa: ANN401 - as Evidence takes it
    """Put evidence together, the pool divided as it must be."""
    stakes = changes.pop("stakes", landed())
    room = changes.pop("room", ROOM)
    at = changes.pop("decided_at", room.deadline_at)
    people = {address: number for number, address in enumerate(sorted({s.address for s in stakes}))}
    plain = [
        Stake(s.id, s.bet, people[s.address], s.side, s.lamports, s.weight_bps,
              -2 if s.is_referred else None)
        for s in stakes
    ]  # fmt: skip
    settled = settle(
        plain, outcome, reason, host=-1, protocol_fee_bps=room.protocol_fee_bps,
        host_fee_bps=room.host_fee_bps,
    )  # fmt: skip
    given: dict[str, Any] = {
        "rule_version": RULE_VERSION, "room": room, "vault": Address("Vault"),
        "treasury": Address("Treasury"), "base": price(WATCH + 100, 20_000), "outcome": outcome,
        "reason": reason, "decided_at": UnixMs(at), "crossing": None,
        "coverage": Coverage(WATCH, UnixMs(at), 0, 0), "spans": spans(at),
        "segments": (
            RecordedSegment(
                hash="ab" * 32, segments=1, from_at=UnixMs(min(WATCH, at)), to_at=UnixMs(at),
                first_offset=3, last_offset=400,
            ),
        ),
        "seal": Seal(
            slot=Slot(1_000),
            yes=Lamports(sum(s.lamports for s in stakes if s.side is Side.YES)),
            no=Lamports(sum(s.lamports for s in stakes if s.side is Side.NO)),
        ),
        "stakes": stakes,
        "division": division_of(settled, plain, {n: a for a, n in people.items()}),
    }  # fmt: skip
    return Evidence(**{**given, **changes})


def crossing(at: int, room: Room = ROOM, **changes: Any) -> Crossing:  # noqa: ANN401 - as Crossing takes it
    assert room.target is not None
    given: dict[str, Any] = {
        "room": room.id, "comparator": room.comparator, "target": room.target,
        "before": price(at - 50, 20_399), "price": price(at, 20_402),
    }  # fmt: skip
    return Crossing(**{**given, **changes})


CROSSED: Final = WATCH + 20_500
HELD_ROOM: Final = replace(ROOM, held_ms=3_000)
FIXED_ROOM: Final = replace(ROOM, move_bps=None)
RATIO: Final = formula("price(SOL) / price(ETH)")
RATIO_ROOM: Final = replace(ROOM, feed=RATIO.name, scale=RATIO_SCALE, target=Value(2_040_000_000))


def ratio(at: int, sol: int, eth: int) -> IndexPrice:
    """Make a price of the ratio, from dollars of each."""
    values = {"SOL/USD": sol, "ETH/USD": eth}
    inputs = tuple(Input(feed, price(at - 9, 100 * values[feed]), ()) for feed in RATIO.feeds)
    return IndexPrice(Value(sol * 10**RATIO_SCALE // eth), UnixMs(at), (), (), inputs)


COUNT: Final = 1_000
CAP_ROOM: Final = replace(ROOM, feed="mcap:BONK", target=Value(20_400 * COUNT))


def counted() -> Counted:
    """Say how many there are, as one source said it before the watch."""
    said = Tick("solana", 9, Value(COUNT), UnixMs(WATCH - 900), UnixMs(WATCH - 900))
    found = index_price([said], UnixMs(WATCH - 900), BONK_SUPPLY.guards)
    assert isinstance(found, IndexPrice)
    return Counted(
        cap="mcap:BONK", scale=2, price_scale=2, supply="supply:BONK", supply_scale=0,
        guards=BONK_SUPPLY.guards, counts=(found,),
    )  # fmt: skip


ENDINGS: Final[dict[str, Evidence]] = {
    "yes": evidence(Outcome.YES, decided_at=CROSSED, crossing=crossing(CROSSED)),
    "yes, held": evidence(
        Outcome.YES, room=HELD_ROOM, decided_at=CROSSED + 3_000,
        crossing=crossing(
            CROSSED + 3_000, HELD_ROOM, before=price(CROSSED - 50, 20_399),
            began=price(CROSSED, 20_401), between=(price(CROSSED + 900, 20_405),),
        ),
    ),
    "yes, fixed": evidence(
        Outcome.YES, room=FIXED_ROOM, base=None, decided_at=CROSSED,
        crossing=crossing(CROSSED, FIXED_ROOM),
    ),
    "no": evidence(Outcome.NO),
    "void: gap": evidence(
        Outcome.VOID, VoidReason.GAP, spans=spans(DEADLINE, silent=range(10, 15)),
        coverage=Coverage(WATCH, DEADLINE, 5_400, 5_400),
    ),
    "void: silent": evidence(
        Outcome.VOID, VoidReason.SILENT_AT_END, spans=spans(DEADLINE, silent=(58, 59)),
        coverage=Coverage(WATCH, DEADLINE, 2_000, 2_000),
    ),
    "void: no price": evidence(
        Outcome.VOID, VoidReason.NO_PRICE_AT_WATCH, room=replace(ROOM, target=None), base=None,
        decided_at=WATCH + 10_000, spans=spans(WATCH + 10_000, silent=range(10)),
        coverage=Coverage(WATCH, UnixMs(WATCH + 10_000), 10_000, 10_000),
    ),
    "void: reached early": evidence(
        Outcome.VOID, VoidReason.REACHED_BEFORE_WATCH, room=FIXED_ROOM, base=None,
        decided_at=WATCH - 5_000, crossing=crossing(WATCH - 5_000, FIXED_ROOM), spans=(),
        coverage=None,
    ),
    "yes, derived": evidence(
        Outcome.YES, room=RATIO_ROOM, decided_at=CROSSED, base=ratio(WATCH + 100, 100, 50),
        made=Made(
            expression=RATIO.text,
            inputs=tuple(MadeOf(feed=each, scale=2, guards=ROOM.guards) for each in RATIO.feeds),
        ),
        crossing=crossing(
            CROSSED, RATIO_ROOM, before=ratio(CROSSED - 50, 101, 50),
            price=ratio(CROSSED, 103, 50),
        ),
        spans=spans(CROSSED, 2_010_000_000),
    ),
    "yes, market cap": evidence(
        Outcome.YES, room=CAP_ROOM, decided_at=CROSSED, caps=(counted(),),
        base=price(WATCH + 100, 20_000, COUNT),
        crossing=crossing(
            CROSSED, CAP_ROOM, before=price(CROSSED - 50, 20_399, COUNT),
            price=price(CROSSED, 20_402, COUNT),
        ),
        spans=spans(CROSSED, 20_100 * COUNT),
    ),
    "void: one side": evidence(Outcome.NO, stakes=landed([BETS[0], BETS[2]])),
}  # fmt: skip


def bundle(ending: str) -> dict[str, Any]:
    """Return the bundle of a room that ended so."""
    return bundle_of(ENDINGS[ending])
