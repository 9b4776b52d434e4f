"""What a source has done decides whether it counts; together they are judged as one by one."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooms.feed import Guards
from rooms.index_price import (
    IndexPrice,
    LeftOut,
    Reason,
    Silence,
    index_price,
    is_clock_off,
)
from rooms.sources import Sources, SourcesMemory
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value

START = 1_000_000_000
FIVE = "abcde"
GUARDS = Guards()


@dataclass
class Heard:
    """Plays sources, and shows what they say together."""

    guards: Guards = GUARDS
    sequence: int = 0
    sources: Sources = field(init=False)

    def __post_init__(self) -> None:
        self.sources = Sources(self.guards, SourcesMemory(), UnixMs(START))

    def say(self, at: int, source: str, value: int, source_at: int | None = None) -> None:
        self.sequence += 1
        moment = UnixMs(START + at)
        said_at = moment if source_at is None else UnixMs(START + source_at)
        tick = Tick(source, self.sequence, Value(value), said_at, moment)
        if self.sources.is_new(tick):
            self.sources.hear(tick, moment)

    def all_say(self, at: int, value: int, sources: str = FIVE) -> None:
        for source in sources:
            self.say(at, source, value)

    def steady(self, since: int, until: int, value: int, sources: str = FIVE) -> None:
        for at in range(since, until, 500):
            self.all_say(at, value, sources)

    def shown(self, at: int) -> str:
        now = UnixMs(START + at)
        self.sources.look(now)
        if self.sources.value is None:
            return f"{self.sources.reason} {self.sources.agreeing} of {self.sources.known}"
        price = self.sources.price(now)
        without = "".join(f" -{tick.source}:{why}" for tick, why in price.left_out)
        return f"{price.value}{without}"


def test_a_wick_is_left_out_at_once_and_for_a_minute_after_it_came_back() -> None:
    heard = Heard()
    heard.steady(0, 5_000, 100_000)
    heard.say(5_000, "a", 130_000)
    during = heard.shown(5_000)
    heard.say(5_200, "a", 100_000)
    after = heard.shown(5_200)
    heard.steady(5_500, 65_000, 100_000)
    at_the_end = heard.shown(64_900)
    heard.steady(65_000, 66_000, 100_000)

    assert during == "100000 -a:outlier"
    assert after == "100000 -a:probation"
    assert at_the_end == "100000 -a:probation"
    assert heard.shown(65_700) == "100000"


def test_who_leads_a_real_move_is_not_punished_for_it() -> None:
    heard = Heard()
    heard.steady(0, 5_000, 100_000)
    shown = []
    for number, source in enumerate(FIVE):
        heard.say(5_000 + 50 * number, source, 101_000)
        shown.append(heard.shown(5_000 + 50 * number))

    assert shown == [
        "100000 -a:outlier",
        "100000 -a:outlier -b:outlier",
        "101000 -d:outlier -e:outlier",
        "101000 -e:outlier",
        "101000",
    ]


def test_a_source_that_strays_four_times_in_half_an_hour_is_told() -> None:
    heard = Heard(Guards(probation_ms=1))
    for at in range(0, 40_000, 10_000):
        heard.steady(at, at + 9_000, 100_000)
        heard.say(at + 9_000, "a", 103_000)
        heard.sources.look(UnixMs(START + at + 9_000))

    assert heard.sources.strayed == ["a"]


def test_a_source_that_repeats_itself_while_others_move_is_stuck_until_it_moves() -> None:
    heard = Heard()
    heard.steady(0, 1_000, 100_000)
    for at in range(1_000, 12_000, 500):
        heard.all_say(at, 100_000 + at // 100, "abcd")
        heard.say(at, "e", 100_000)
        if at == 10_500:
            early = heard.shown(9_999)
    stuck = heard.shown(11_500)
    heard.say(11_600, "e", 100_115)

    assert "stuck" not in early
    assert stuck == "100115 -e:stuck"
    assert heard.shown(11_600) == "100115"


def test_a_source_has_time_to_follow_when_others_move_after_a_calm() -> None:
    heard = Heard()
    heard.steady(0, 20_000, 100_000)
    heard.all_say(20_000, 100_200, "ab")
    heard.all_say(21_900, 100_200, "abd")
    heard.all_say(21_900, 100_000, "ce")

    assert heard.shown(21_999) == "100200"
    assert heard.shown(22_000) == "100200 -c:stuck -e:stuck"


def test_a_quiet_market_sticks_nobody() -> None:
    heard = Heard()
    heard.steady(0, 60_000, 100_000)

    assert heard.shown(60_000) == "100000"


def test_a_source_that_was_dead_returns_by_saying_enough() -> None:
    heard = Heard()
    heard.steady(0, 1_000, 100_000)
    heard.steady(1_000, 12_000, 100_000, "abcd")
    shown = []
    for number in range(10):
        heard.say(12_000 + 10 * number, "e", 100_000)
        shown.append(heard.shown(12_000 + 10 * number))

    assert shown == ["100000 -e:returning"] * 9 + ["100000"]


def test_a_tick_of_the_future_does_not_count_and_bars_none_that_follows() -> None:
    heard = Heard()
    heard.steady(0, 1_000, 100_000)
    heard.say(1_000, "e", 100_000, source_at=1_251)
    ahead = heard.shown(1_000)
    heard.say(1_100, "e", 100_000)

    assert ahead == "100000 -e:ahead"
    assert heard.shown(1_100) == "100000"


def test_a_tick_that_was_long_on_its_way_does_not_count() -> None:
    heard = Heard()
    heard.steady(0, 2_000, 100_000)
    heard.say(2_500, "e", 100_000, source_at=1_600)
    fits = heard.shown(2_500)
    heard.say(3_000, "e", 100_000, source_at=1_999)

    assert fits == "100000"
    assert heard.shown(3_000) == "100000 -e:late"


def test_when_most_are_ahead_of_us_our_clock_is_off_and_the_price_is_held_until_it_is_right() -> (
    None
):
    heard = Heard()
    heard.steady(0, 2_000, 100_000)
    shown = []
    for number, source in enumerate("abcde"):
        heard.say(2_000 + number, source, 100_000, 2_230 + number)
        shown.append(heard.shown(2_000 + number))
    for number, source in enumerate("abc"):
        heard.say(2_500 + number, source, 100_000, 2_500 + number)
        shown.append(heard.shown(2_500 + number))

    assert shown == ["100000", "100000", *["clock 5 of 5"] * 5, "100000"]


def test_when_too_few_count_as_most_come_late_the_silence_speaks_of_clocks() -> None:
    heard = Heard()
    for source in FIVE:
        heard.say(2_000, source, 100_000, 500 if source in "abc" else 2_000)
    late = heard.shown(2_000)
    heard.sources.look(UnixMs(START + 4_001))

    assert late == "clock 2 of 5"
    assert heard.shown(4_001) == "too_few 0 of 5", "nobody speaks any more"


def test_a_tick_from_before_the_last_is_passed_over_whatever_its_number() -> None:
    heard = Heard()
    heard.steady(0, 1_000, 100_000)
    heard.say(1_000, "e", 100_400, source_at=400)

    assert heard.shown(1_000) == "100000"
    assert heard.sources.memory().sources[4].tick.value == 100_000


def test_a_jump_must_last_and_a_larger_one_must_outlast_its_mean() -> None:
    heard = Heard()
    heard.steady(0, 5_000, 100_000)
    heard.steady(5_000, 8_000, 106_000)
    held = heard.shown(7_999)
    heard.steady(8_000, 8_500, 106_000)
    lasted = heard.shown(8_000)
    heard.steady(8_500, 30_000, 120_000)

    assert held == "jump 5 of 5"
    assert lasted == "106000"
    assert heard.shown(29_999) == "jump 5 of 5"
    for second in range(400):
        heard.steady(30_000 + 1_000 * second, 31_000 + 1_000 * second, 120_000)
        heard.sources.close_second(1)
    assert heard.shown(430_000) == "120000"


def test_a_witness_is_not_counted_but_contradicts() -> None:
    heard = Heard()
    heard.steady(0, 1_000, 100_000, "ab")
    heard.say(1_000, "pyth", 100_000)
    two = heard.shown(1_000)
    heard.all_say(1_000, 100_000)
    heard.say(1_000, "pyth", 100_600)
    against = heard.shown(1_000)
    heard.steady(1_500, 11_500, 100_000)

    assert two == "too_few 2 of 2"
    assert against == "contradicted 5 of 5"
    assert heard.shown(11_001) == "100000 -pyth:witness"


def test_sources_that_drift_apart_hold_the_price_and_scatter() -> None:
    heard = Heard()
    found = []
    for bps in (20, 90, 110, 190, 210):
        for number, source in enumerate(FIVE):
            heard.say(1_000, source, 100_000 + (number - 2) * bps * 10 // 4)
        found.append((bps, heard.shown(1_000), heard.sources.scattered))

    assert found == [
        (20, "100000", False),
        (90, "100000", False),
        (110, "too_wide 5 of 5", False),
        (190, "too_wide 5 of 5", False),
        (210, "too_wide 5 of 5", True),
    ]


@pytest.mark.parametrize("liars", ["a", "ab"])
@given(st.integers(5_000, 200_000).filter(lambda lie: abs(lie - 100_000) > 600))
def test_one_or_two_liars_of_five_move_the_price_less_than_a_thousandth(
    liars: str, lie: int
) -> None:
    heard = Heard()
    for number, source in enumerate(FIVE):
        heard.say(0, source, 100_000 + 10 * number)
    heard.all_say(100, lie, liars)

    assert heard.shown(100).split()[0] in {"100010", "100020", "100030"}


said = st.lists(
    st.tuples(
        st.sampled_from([*FIVE, "pyth"]),
        st.sampled_from([0, 1, 20, 300, 2_500, 11_000]),
        st.one_of(st.integers(99_900, 100_100), st.integers(98_000, 108_000)),
        st.sampled_from([0, 0, 0, 0, 300, -230, -300, 1_500]),
    ),
    max_size=80,
)


@settings(max_examples=300)
@given(said)
def test_judged_tick_by_tick_is_judged_from_the_ticks_alone(
    said: list[tuple[str, int, int, int]],
) -> None:
    guards = replace(GUARDS, jump_ms=1, jump_bps_max=Bps(9_999))
    heard = Heard(guards)
    at = 0
    for source, wait, value, lag in said:
        at += wait
        heard.say(at, source, value, at - lag)
        now = UnixMs(START + at)
        if heard.sources.due <= now:
            heard.sources.look(now)
        newest = [each.tick for each in heard.sources.memory().sources]
        if heard.sources.value is None:
            if heard.sources.reason is Reason.CLOCK:
                assert is_clock_off(newest, now, guards, is_priced=False)
            continue
        price = heard.sources.price(now)
        barred = {tick.source: why for tick, why in price.left_out if why is not LeftOut.OUTLIER}
        assert index_price(newest, now, guards, barred) == price


@settings(max_examples=150)
@given(said, st.integers(0, 79))
def test_what_was_remembered_goes_on_exactly_there(
    said: list[tuple[str, int, int, int]], cut: int
) -> None:
    one, other = Heard(), Heard()
    at = 0
    for place, (source, wait, value, lag) in enumerate(said):
        at += wait
        now = UnixMs(START + at)
        if place == cut:
            other.sources = Sources(GUARDS, one.sources.memory(), now)
            other.sequence = one.sequence
        for heard in (one, other) if place >= cut else (one,):
            heard.say(at, source, value, at - lag)
            if heard.sources.due <= now:
                heard.sources.look(now)
        if place >= cut:
            assert _answer(one, now) == _answer(other, now)
            assert one.sources.memory() == other.sources.memory()


def _answer(heard: Heard, now: UnixMs) -> IndexPrice | Silence:
    sources = heard.sources
    return sources.silence(now) if sources.value is None else sources.price(now)
