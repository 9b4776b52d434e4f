"""A feed's log fixes targets and decides rooms; the same log gives the same effects."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooms.coverage import Coverage
from rooms.feed import Guards
from rooms.feed_log import (
    Decided,
    Effect,
    FeedLog,
    Locked,
    OpenRoom,
    SecondClosed,
    Told,
    WatchStarted,
)
from rooms.index_price import IndexPrice, Silence
from rooms.room import Comparator
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value

START = 1_000_000
SOURCES = ("a", "b", "c")

ROOM = OpenRoom(
    id=1,
    comparator=Comparator.UP,
    move_bps=Bps(200),
    target=None,
    opened_at=UnixMs(START),
    lock_at=UnixMs(START + 5_000),
    watch_at=UnixMs(START + 8_000),
    deadline_at=UnixMs(START + 20_000),
    target_wait_ms=10_000,
    gap_ms_max=2_000,
)


@dataclass
class Log:
    """Writes messages in which all sources say the same price at once."""

    feed: FeedLog
    sequence: int = 0

    def say(self, at: int, price: int | None) -> list[Effect]:
        """Let every source say a price; None is a message with no tick."""
        self.sequence += 1
        moment = UnixMs(START + at)
        ticks = [
            Tick(source, self.sequence, Value(price), moment, moment)
            for source in SOURCES
            if price is not None
        ]
        return list(self.feed.hear(moment, ticks))

    def play(self, text: str) -> list[str]:
        """Play lines of ``milliseconds price``; show what follows but prices and seconds."""
        found: list[str] = []
        for line in text.strip().splitlines():
            at, price = line.split()
            heard = self.say(int(at), None if price == "-" else int(price))
            found += [_shown(each) for each in heard if not isinstance(each, Told | SecondClosed)]
        return found


def _shown(effect: Effect) -> str:
    match effect:
        case Locked():
            return f"locked {effect.at - START}"
        case WatchStarted():
            return f"watch {effect.at - START} target {effect.target}"
        case Decided():
            return f"{effect.outcome} {effect.at - START} {effect.reason or ''}".strip()
        case _:
            raise AssertionError(effect)


def log_with(*rooms: OpenRoom) -> Log:
    return Log(FeedLog(Guards(), rooms=rooms))


def steady(since: int, until: int, price: int, step: int = 1_000) -> str:
    return "\n".join(f"{at} {price}" for at in range(since, until, step))


def test_a_move_is_fixed_by_the_first_price_of_the_watch_and_crossed_when_reached() -> None:
    told = log_with(ROOM).play(
        steady(0, 8_000, 1_000) + "\n8100 1000\n9000 1019\n9500 1020\n10000 1500"
    )

    assert told == ["locked 5000", "watch 8100 target 1020", "YES 9500"]


def test_a_price_at_the_deadline_comes_too_late() -> None:
    told = log_with(ROOM).play(steady(0, 20_000, 1_000, 250) + "\n20000 2000")

    assert told == ["locked 5000", "watch 8000 target 1020", "NO 20000"]


def test_no_needs_a_price_in_four_fifths_of_the_watch() -> None:
    def ended(*, gap_ms: int) -> str:
        """Play a watch of 12 s in which nothing is said for so long, three times."""
        spoken = [
            at for at in range(0, 20_001, 250)
            if not any(0 < at - since < gap_ms for since in (10_000, 13_000, 16_000))
        ]  # fmt: skip
        return log_with(ROOM).play("\n".join(f"{at} 1000" for at in spoken))[-1]

    assert ended(gap_ms=1_500) == "NO 20000"
    assert ended(gap_ms=1_750) == "VOID 20000 thin_coverage"


@pytest.mark.parametrize(
    ("whole_ms", "missing_ms", "thin"),
    [
        (60_000, 12_000, False),
        (60_000, 12_001, True),
        (10_000, 5_000, False),
        (10_000, 5_001, True),
    ],
)
def test_coverage_is_thin_below_four_fifths_and_forgives_five_seconds(
    whole_ms: int, missing_ms: int, thin: bool
) -> None:
    covered = Coverage(UnixMs(START), UnixMs(START + whole_ms), missing_ms, 500)

    assert covered.is_thin(Guards().coverage_bps_min) is thin


def test_no_price_in_the_first_seconds_of_the_watch_is_void() -> None:
    told = log_with(ROOM).play(steady(0, 8_000, 1_000, 500) + "\n18500 -")

    assert told == ["locked 5000", "VOID 18000 no_price_at_watch"]


def test_silence_at_the_end_is_void_and_never_no() -> None:
    told = log_with(ROOM).play(steady(0, 17_000, 1_000) + "\n19500 -\n20100 -")

    assert told[-1] == "VOID 20000 silent_at_end"


def test_a_gap_in_the_watch_is_void_though_prices_came_back() -> None:
    told = log_with(ROOM).play(steady(0, 12_001, 1_000) + "\n" + steady(15_000, 20_001, 1_000))

    assert told[-1] == "VOID 20000 gap"


def test_a_touch_after_a_gap_is_a_touch() -> None:
    told = log_with(ROOM).play(steady(0, 12_001, 1_000) + "\n15500 1030")

    assert told[-1] == "YES 15500"


def test_a_fixed_value_reached_before_the_watch_is_void_at_that_moment() -> None:
    fixed = replace(ROOM, move_bps=None, target=Value(1_040))

    assert log_with(fixed).play("0 1000\n6000 1040") == [
        "locked 5000",
        "VOID 6000 reached_before_watch",
    ]


def test_a_fixed_value_counts_in_the_watch() -> None:
    fixed = replace(ROOM, move_bps=None, target=Value(960), comparator=Comparator.DOWN)
    told = log_with(fixed).play(steady(0, 9_000, 1_000) + "\n9500 960")

    assert told == ["locked 5000", "watch 8000 target 960", "YES 9500"]


def test_a_crossing_carries_the_last_price_short_of_the_target() -> None:
    log = log_with(ROOM)
    log.play(steady(0, 9_000, 1_000))
    (decided,) = [each for each in log.say(9_500, 1_030) if isinstance(each, Decided)]

    assert decided.crossing is not None
    assert decided.crossing.before is not None
    assert decided.crossing.before.value == 1_000
    assert [tick.source for tick in decided.crossing.price.ticks] == list(SOURCES)
    assert decided.crossing.source_at == START + 9_500


HELD = replace(ROOM, held_ms=3_000)


def test_a_held_target_is_decided_when_it_was_held_and_not_before() -> None:
    told = log_with(HELD).play(
        steady(0, 8_001, 1_000) + "\n9000 1020\n10000 1019\n" + steady(11_000, 14_001, 1_021)
    )

    assert told == ["locked 5000", "watch 8000 target 1020", "YES 14000"]


def test_a_hold_is_broken_by_silence_and_by_a_log_that_says_nothing() -> None:
    silent = steady(0, 8_001, 1_000) + "\n9000 1030\n10000 -\n11000 -\n11500 1030\n"
    unheard = steady(0, 8_001, 1_000) + "\n9000 1030\n10500 1030\n"

    assert log_with(HELD).play(silent + steady(12_000, 16_001, 1_030, 500))[-1] == "YES 14500"
    assert log_with(HELD).play(unheard + steady(11_000, 16_001, 1_030, 500))[-1] == "YES 13500"


def test_a_hold_that_ends_at_the_deadline_comes_too_late() -> None:
    base = steady(0, 17_000, 1_000, 250)

    assert log_with(HELD).play(base + "\n" + steady(17_000, 21_000, 1_030, 250))[-1] == "NO 20000"
    assert (
        log_with(HELD).play(base + "\n16999 1030\n" + steady(17_000, 21_000, 1_030))[-1]
        == "YES 19999"
    )


def test_a_held_crossing_carries_its_beginning_its_course_and_its_end() -> None:
    log = log_with(HELD)
    log.play(steady(0, 9_000, 1_000))
    prices = ((9_000, 1_020), (9_300, 1_025), (9_600, 1_022), (10_500, 1_021), (11_400, 1_024))
    for at, price in prices:
        assert not [each for each in log.say(at, price) if isinstance(each, Decided)]
    (decided,) = [each for each in log.say(12_200, 900) if isinstance(each, Decided)]

    found = decided.crossing
    assert found is not None and found.before is not None and found.began is not None
    assert (found.before.value, found.began.value, found.price.value) == (1_000, 1_020, 1_024)
    assert [each.value for each in found.between] == [1_025, 1_022, 1_021, 1_024]
    assert (found.began.at - START, found.price.at - START) == (9_000, 12_000)
    assert found.source_at == START + 9_000
    assert decided.at == START + 12_000


def test_sources_far_apart_for_three_seconds_void_what_is_watched_and_nothing_else() -> None:
    later = replace(ROOM, id=2, watch_at=UnixMs(START + 19_000))
    log = log_with(ROOM, later)
    log.play(steady(0, 10_000, 1_000))
    found: list[str] = []
    for at in range(10_000, 14_000, 500):
        log.sequence += 1
        moment = UnixMs(START + at)
        ticks = [
            Tick(source, log.sequence, Value(value), moment, moment)
            for source, value in zip(SOURCES, (989, 1_000 + at // 500 % 2, 1_012), strict=True)
        ]
        effects = list(log.feed.hear(moment, ticks))
        found += [_shown(each) for each in effects if isinstance(each, Decided)]

    assert found == ["VOID 13000 sources_scattered"]


def test_a_no_says_how_much_of_its_watch_was_without_a_price() -> None:
    log = log_with(ROOM)
    log.play(steady(0, 10_000, 1_000) + "\n11500 1000\n" + steady(12_000, 20_000, 1_000, 250))
    (decided,) = [each for each in log.say(20_000, 1_000) if isinstance(each, Decided)]

    assert decided.coverage is not None
    assert (decided.coverage.longest_gap_ms, decided.coverage.missing_ms) == (2_500, 4_000)


def test_a_stopped_room_is_decided_no_more() -> None:
    log = log_with(ROOM)
    log.play(steady(0, 9_000, 1_000))
    log.feed.stop(ROOM.id)

    assert log.play("9500 2000\n21000 2000") == []


def test_to_hear_of_a_room_twice_is_to_hear_of_it_once() -> None:
    log = log_with(ROOM)
    log.feed.open(ROOM)

    assert log.play(steady(0, 8_001, 1_000) + "\n9000 1030").count("YES 9000") == 1


def test_an_old_sequence_is_passed_over_and_a_new_beginning_after_a_minute_is_not() -> None:
    feed = FeedLog(Guards(quorum=1, return_ticks=1))
    moment = UnixMs(START)
    list(feed.hear(moment, [Tick("a", 10, Value(100), moment, moment)]))
    again = list(feed.hear(moment, [Tick("a", 9, Value(300), moment, moment)]))
    later = UnixMs(START + 60_000)
    anew = list(feed.hear(later, [Tick("a", 1, Value(103), later, later)]))

    assert [each for each in again if isinstance(each, Told)] == []
    assert [each.price.value for each in anew if _is_price(each)] == [103]  # type: ignore[union-attr]


def _is_price(effect: Effect) -> bool:
    return isinstance(effect, Told) and isinstance(effect.price, IndexPrice)


def test_silence_is_told_once_with_its_reason() -> None:
    log = log_with()
    log.say(0, 1_000)
    told = [each for at in (3_000, 3_250, 3_500) for each in log.say(at, None)]

    silences = [each.price for each in told if isinstance(each, Told)]
    assert [type(each) for each in silences] == [Silence]


messages = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.lists(
            st.tuples(
                st.sampled_from(SOURCES),
                st.one_of(st.integers(900, 1_100), st.integers(996, 1_004)),
                st.integers(-300, 300),
            ),
            max_size=3,
        ),
    ),
    max_size=60,
)
moves = st.tuples(st.sampled_from(Comparator), st.integers(1, 600))


@settings(max_examples=150)
@given(messages, moves, st.integers(0, 59), st.sampled_from([0, 1_000, 3_000]))
def test_a_memory_goes_on_exactly_where_the_log_was(
    said: list[tuple[int, list[tuple[str, int, int]]]],
    move: tuple[Comparator, int],
    cut: int,
    held_ms: int,
) -> None:
    room = replace(ROOM, comparator=move[0], move_bps=Bps(move[1]), held_ms=held_ms)
    heard = _messages(said)
    whole = FeedLog(Guards(), rooms=[room])
    all_effects = [list(whole.hear(at, ticks)) for at, ticks in heard]

    first = FeedLog(Guards(), rooms=[room])
    memory, position, open_room, locked = None, -1, room, False
    for number, (at, ticks) in enumerate(heard[: cut + 1]):
        for effect in first.hear(at, ticks):
            if isinstance(effect, SecondClosed):
                memory, position = effect.memory, number - 1
            elif isinstance(effect, Locked):
                locked = True
            elif isinstance(effect, WatchStarted):
                # What a worker would read from the database: the target, once it is fixed.
                open_room = replace(open_room, target=effect.target)
            elif isinstance(effect, Decided):
                open_room = replace(open_room, id=0)
    if memory is None or open_room.id == 0:
        return
    second = FeedLog(Guards(), memory=memory)
    second.open(open_room, locked=locked)
    for number in range(position + 1, len(heard)):
        again = list(second.hear(*heard[number]))
        assert not (locked and any(isinstance(effect, Locked) for effect in again))
        assert _outcomes(again) == _outcomes(all_effects[number])


@given(messages)
def test_the_same_log_gives_the_same_effects(
    said: list[tuple[int, list[tuple[str, int, int]]]],
) -> None:
    heard = _messages(said)
    one, other = FeedLog(Guards(), rooms=[ROOM]), FeedLog(Guards(), rooms=[ROOM])

    assert [list(one.hear(*each)) for each in heard] == [list(other.hear(*each)) for each in heard]


@given(messages)
def test_a_room_is_decided_at_most_once_and_time_never_goes_back(
    said: list[tuple[int, list[tuple[str, int, int]]]],
) -> None:
    log = FeedLog(Guards(), rooms=[ROOM])
    decided, last = 0, 0
    for at, ticks in _messages(said):
        decided += sum(isinstance(each, Decided) for each in log.hear(at, ticks))
        assert log.at >= last
        last = log.at

    assert decided <= 1


def _messages(
    said: list[tuple[int, list[tuple[str, int, int]]]],
) -> list[tuple[UnixMs, list[Tick]]]:
    at, heard = START, []
    for number, (wait, prices) in enumerate(said, 1):
        at += wait
        moment = UnixMs(at)
        ticks = [
            Tick(source, number, Value(price), UnixMs(at + skew), moment)
            for source, price, skew in {each[0]: each for each in prices}.values()
        ]
        heard.append((moment, ticks))
    return heard


def _outcomes(effects: list[Effect]) -> list[Effect]:
    """Leave out what a restart may say again: a lock that was passed, and the seconds."""
    return [each for each in effects if isinstance(each, Decided | Told)]
