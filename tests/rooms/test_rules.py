"""Rooms, bets, withdrawals, books of targets and ledger entries refuse what must not be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms import ledger
from rooms.bet import Standing, check_bet
from rooms.book import Book
from rooms.feed import Guards
from rooms.refusal import Impossible, Refused
from rooms.room import (
    Comparator,
    Room,
    RoomLimits,
    RoomRequest,
    Side,
    State,
    room_code,
    room_from_code,
    room_from_request,
    target_of_move,
)
from rooms.units import Address, Bps, Lamports, Signature, UnixMs, Value

SOL = 1_000_000_000
NOW = UnixMs(1_000_000_000_000)
MINUTE = 60_000

REQUEST = RoomRequest(
    creator=7,
    feed="SOL/USD",
    move_bps=200,
    fixed_value=None,
    lock_in_ms=10 * MINUTE,
    deadline_in_ms=60 * MINUTE,
    stake_lamports_min=Lamports(SOL // 10),
    stake_lamports_max=Lamports(5 * SOL),
)


def room_of(request: RoomRequest) -> Room:
    return room_from_request(
        request, id=1, now=NOW, price_now=Value(15_000), scale=2, volatility_bps=Bps(9_000),
        guards=Guards(), limits=RoomLimits(),
    )  # fmt: skip


def test_a_room_keeps_the_order_of_its_moments() -> None:
    room = room_of(REQUEST)

    assert [
        (at - NOW) // 1_000
        for at in (room.opened_at, room.lock_at, room.cut_at, room.watch_at, room.deadline_at)
    ] == [0, 600, 610, 630, 3_600]
    assert room.comparator is Comparator.UP
    assert room.target is None
    assert room.gap_ms_max == 60_000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"lock_in_ms": 1_000}, "lock_too_soon"),
        ({"deadline_in_ms": 14 * MINUTE}, "deadline_too_soon"),
        ({"deadline_in_ms": 31 * 86_400_000}, "deadline_too_late"),
        ({"lock_in_ms": 60 * MINUTE}, "no_watch"),
        ({"move_bps": None}, "one_target"),
        ({"fixed_value": Value(20_000)}, "one_target"),
        ({"move_bps": 0}, "bad_move"),
        ({"move_bps": -5_001}, "bad_move"),
        ({"move_bps": None, "fixed_value": Value(0)}, "bad_value"),
        ({"move_bps": None, "fixed_value": Value(15_000)}, "target_passed"),
        ({"seats": 1}, "bad_seats"),
        ({"stake_lamports_min": Lamports(6 * SOL)}, "bad_stake_limits"),
        ({"stake_lamports_min": Lamports(0)}, "bad_stake_limits"),
    ],
)
def test_a_room_that_breaks_a_rule_is_refused_with_its_code(
    change: dict[str, object], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        room_of(replace(REQUEST, **change))  # type: ignore[arg-type]
    assert refused.value.code == code
    assert refused.value.sentence.endswith(".")


def test_a_fixed_value_that_the_price_has_passed_never_becomes_the_opposite_bet() -> None:
    shown = replace(REQUEST, move_bps=None, fixed_value=Value(14_900), comparator=Comparator.UP)
    with pytest.raises(Refused) as refused:
        room_of(shown)
    assert refused.value.code == "target_passed"


def test_a_fixed_value_below_the_price_is_reached_from_above() -> None:
    room = room_of(replace(REQUEST, move_bps=None, fixed_value=Value(14_000)))

    assert (room.comparator, room.target) == (Comparator.DOWN, 14_000)


@given(st.integers(1, 10**14), st.integers(1, 5_000))
def test_a_target_is_never_easier_than_what_the_room_says(base: int, move: int) -> None:
    up = target_of_move(Comparator.UP, Bps(move), Value(base))
    down = target_of_move(Comparator.DOWN, Bps(move), Value(base))

    assert up * 10_000 >= base * (10_000 + move) > (up - 1) * 10_000
    assert down == 1 or (down * 10_000 <= base * (10_000 - move) < (down + 1) * 10_000)


@given(st.integers(0, 2**62 - 1))
def test_a_code_names_one_room(room: int) -> None:
    assert room_from_code(room_code(room)) == room


@pytest.mark.parametrize("code", ["", "l0o1", "ABC", "z" * 13, "z" * 14, "a b"])
def test_what_is_no_code_names_no_room(code: str) -> None:
    with pytest.raises(Refused):
        room_from_code(code)


STANDING = Standing(
    state=State.OPEN,
    own_side=None,
    own_lamports=Lamports(0),
    bettors=1,
    available_lamports=Lamports(2 * SOL),
    can_land=True,
)


@pytest.mark.parametrize(
    ("standing", "side", "lamports", "later_ms", "code"),
    [
        ({"state": State.DRAFT}, Side.YES, SOL, 0, "not_open"),
        ({"state": State.LOCKED}, Side.YES, SOL, 0, "locked"),
        ({}, Side.YES, SOL, 10 * MINUTE, "locked"),
        ({"can_land": False}, Side.YES, SOL, 0, "cannot_land"),
        ({"own_side": Side.NO}, Side.YES, SOL, 0, "other_side"),
        ({}, Side.YES, 1, 0, "below_min"),
        ({"own_lamports": Lamports(4 * SOL)}, Side.YES, SOL + 1, 0, "above_max"),
        ({"bettors": 2}, Side.YES, SOL, 0, "full"),
        ({}, Side.YES, 2 * SOL + 1, 0, "too_little"),
    ],
)
def test_a_bet_that_breaks_a_rule_is_refused_with_its_code(
    standing: dict[str, object], side: Side, lamports: int, later_ms: int, code: str
) -> None:
    room = room_of(replace(REQUEST, seats=2))
    with pytest.raises(Refused) as refused:
        check_bet(
            room, replace(STANDING, **standing), side, Lamports(lamports),  # type: ignore[arg-type]
            UnixMs(NOW + later_ms),
        )  # fmt: skip
    assert refused.value.code == code


def test_a_bettor_may_add_to_the_side_though_the_seats_are_taken() -> None:
    standing = replace(STANDING, own_side=Side.YES, own_lamports=Lamports(SOL), bettors=2)

    check_bet(room_of(replace(REQUEST, seats=2)), standing, Side.YES, Lamports(2 * SOL), NOW)


targets = st.lists(st.tuples(st.sampled_from(Comparator), st.integers(1, 1_000)), max_size=30)


@given(targets, st.lists(st.integers(1, 1_000), max_size=30))
def test_a_book_gives_each_room_once_as_soon_as_its_target_is_reached(
    wanted: list[tuple[Comparator, int]], values: list[int]
) -> None:
    book = Book()
    for room, (comparator, target) in enumerate(wanted):
        book.add(room, comparator, Value(target))
    waiting = dict(enumerate(wanted))
    for value in values:
        expected = {
            room
            for room, (comparator, target) in waiting.items()
            if (value >= target if comparator is Comparator.UP else value <= target)
        }
        taken = book.take_reached(Value(value))
        assert sorted(taken) == sorted(expected)
        for room in taken:
            del waiting[room]


def test_an_entry_that_makes_or_loses_money_cannot_be() -> None:
    place, owner = ledger.chain(Address("A")), ledger.available(1)
    for postings in (
        (ledger.Posting(place, 5), ledger.Posting(owner, 4)),
        (ledger.Posting(place, 5),),
        (ledger.Posting(place, 5), ledger.Posting(place, -5)),
    ):
        with pytest.raises(Impossible):
            ledger.Entry("deposit:x", postings)


@given(st.integers(1, 10**15), st.integers(1, 10**15), st.booleans())
def test_the_life_of_a_stake_leaves_every_lamport_somewhere(
    lamports: int, rent: int, in_time: bool
) -> None:
    user, vault, fees = Address("U"), Address("V"), Address("F")
    signature = Signature("s")
    amount = Lamports(lamports)
    entries = [
        ledger.deposit(signature, fees, Lamports(rent + 10_000), ledger.HOUSE),
        ledger.deposit(signature, user, amount, ledger.available(1)),
        ledger.hold("stake:1", 1, amount),
        ledger.fee(signature, fees, Lamports(10_000)),
        ledger.floor_laid(signature, fees, vault, Lamports(rent)),
        ledger.stake(1, 1, 9, user, vault, amount, in_time=in_time),
    ]
    if in_time:
        entries.append(ledger.settlement(9, amount))
    entries.append(ledger.refund(1, 9, 1, vault, user, amount))
    left = {account.name: n for account, n in ledger.balances(entries).items() if n}

    assert left == {
        "chain:U": lamports, "available:1": lamports, "chain:V": rent, "floor:V": rent,
    }  # fmt: skip
    undone = [*entries, *(ledger.undo(entry) for entry in entries)]
    assert not any(ledger.balances(undone).values())
