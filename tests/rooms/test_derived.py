"""Derived feeds: their inputs meet in the order of time, whoever is late; silent when one is."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooms.derived import Word, scale_of
from rooms.derived_log import DerivedLog, derivation_of, log_of
from rooms.expression.form import formula
from rooms.feed import Feed, Guards
from rooms.feed_log import Decided, Effect, FeedLog, Memory, OpenRoom, SecondClosed, Told
from rooms.index_price import IndexPrice, Reason, Silence
from rooms.look_back import LookBack, Step, Steps, step_ms_of
from rooms.meeting import PATIENCE_MS, Given
from rooms.refusal import Impossible
from rooms.room import Comparator, Outcome
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value

T = 1_700_000_000_000


def feed(text: str, **changes: Any) -> Feed:  # noqa: ANN401 - as Feed takes it
    """Give the derived feed of an expression over feeds of scale 2."""
    found = formula(text)
    scales = dict.fromkeys(found.feeds, 2)
    return replace(
        Feed(
            name=found.name, unit="", scale=scale_of(found, scales.values()), symbols={},
            volatility_bps=Bps(100), guards=Guards(quorum=len(scales)), expression=found.text,
            inputs=scales,
        ),
        **changes,
    )  # fmt: skip


def price(value: int, at: int) -> IndexPrice:
    tick = Tick("venue", 1, Value(value), UnixMs(at - 5), UnixMs(at))
    return IndexPrice(Value(value), UnixMs(at), (tick,), ())


def silence(at: int) -> Silence:
    return Silence(Reason.TOO_FEW, UnixMs(at), 0, 3, 3)


def give(
    coin: str,
    position: int,
    at: int,
    value: int | str | None = "as before",
    looks: tuple[LookBack, ...] = (),
) -> Given:
    """Give a value, a silence (None), or that nothing is new."""
    known, at = f"{coin}/USD", T + at
    word = Word(feed=known, position=position, nth=0, at=UnixMs(at), looks=looks)
    if value is None:
        word = replace(word, silence=silence(at))
    elif isinstance(value, int):
        word = replace(word, price=price(value, at))
    return Given(feed=known, position=position, at=UnixMs(at), words=(word,))


def log(of: Feed, rooms: Iterable[OpenRoom] = (), memory: Memory | None = None) -> DerivedLog:
    made = log_of(of, memory=memory, rooms=rooms)
    assert isinstance(made, DerivedLog)
    return made


def play(at: DerivedLog, story: Iterable[Given]) -> list[Effect]:
    return [effect for each in story for effect in at.hear_given(each)]


def values(effects: Iterable[Effect]) -> list[tuple[int, int | str]]:
    """Return what was told, in milliseconds since the beginning."""
    return [
        (each.price.at - T, each.price.value)
        if isinstance(each.price, IndexPrice)
        else (each.price.at - T, each.price.reason.value)
        for each in effects
        if isinstance(each, Told) and each.price.at >= T
    ]


def test_a_ratio_is_told_with_the_prices_that_it_is_made_of() -> None:
    effects = play(
        log(feed("price(A) / price(B)")),
        [give("A", 1, 0, 100), give("B", 1, 10, 200), give("A", 2, 20, 101), give("B", 2, 30)],
    )
    told = [each.price for each in effects if isinstance(each, Told)]
    assert values(effects)[-2:] == [(10, 500_000_000), (20, 505_000_000)]
    last = told[-1]
    assert isinstance(last, IndexPrice)
    assert [(each.feed, each.price.value) for each in last.inputs] == [
        ("A/USD", 101),
        ("B/USD", 200),
    ]
    assert last.sources == ("A/USD", "B/USD")
    assert last.source_at == T + 5
    assert last.known == 2


@pytest.mark.parametrize(
    ("text", "a", "b", "told"),
    [
        ("price(A) - price(B)", 300, 100, 200),
        ("price(A) - price(B)", 100, 300, "no_value"),
        ("price(A) / (price(B) - 1)", 100, 100, "no_value"),
        ("price(A) > 1 and price(B) > 1", 200, 200, 1),
        ("price(A) > 1 and price(B) > 1", 200, 100, 0),
        ("price(A) > 1 or price(B) > 1", 200, None, "input_silent"),
        ("high(A, 1h) > price(B)", 200, 100, "past_unknown"),
    ],
)
def test_it_has_a_value_or_says_why_it_has_none(
    text: str, a: int | None, b: int | None, told: int | str
) -> None:
    effects = play(log(feed(text)), [give("A", 1, 0, a), give("B", 1, 0, b), give("A", 2, 9)])
    assert values(effects)[-1][1] == told


def test_it_is_silent_as_soon_as_an_input_is_and_has_a_value_when_all_have() -> None:
    story = [
        give("A", 1, 0, 100), give("B", 1, 0, 100), give("A", 2, 100, None), give("B", 2, 200, 50),
        give("A", 3, 300, 100), give("B", 3, 400),
    ]  # fmt: skip
    assert values(play(log(feed("price(A) / price(B)")), story))[-3:] == [
        (0, 1_000_000_000),
        (100, "input_silent"),
        (300, 2_000_000_000),
    ]


def test_a_price_holds_for_as_long_as_its_log_says_so_and_no_longer() -> None:
    of = feed("price(A) / price(B)")
    quiet = [give(coin, n, 250 * n) for n in range(1, 60) for coin in "AB"]
    effects = play(log(of), [give("A", 0, 0, 100), give("B", 0, 0, 100), *quiet])
    assert values(effects)[-1] == (0, 1_000_000_000)
    # One stays behind: it is waited for, and then it is not known.
    alone = [give("A", n, 250 * n) for n in range(60, 400)]
    at = log(of)
    effects = play(at, [give("A", 0, 0, 100), give("B", 0, 0, 100), *quiet, *alone])
    assert values(effects)[-1][1] == "input_silent"
    assert at.at == T + 250 * 399 - PATIENCE_MS


def test_a_room_on_a_condition_is_decided_when_it_comes_true() -> None:
    room = OpenRoom(
        id=7, comparator=Comparator.UP, move_bps=None, target=Value(1), opened_at=UnixMs(T),
        lock_at=UnixMs(T + 100), watch_at=UnixMs(T + 300), deadline_at=UnixMs(T + 9_000),
        target_wait_ms=1_000, gap_ms_max=2_000,
    )  # fmt: skip
    steady = [give(coin, n, 100 * n, 100) for n in range(1, 9) for coin in "AB"]
    effects = play(
        log(feed("price(A) > 1 and price(B) > 1"), [room]),
        [*steady, give("A", 9, 900, 101), give("B", 9, 950, 101), give("A", 10, 1_000)],
    )
    (decided,) = [each for each in effects if isinstance(each, Decided)]
    assert (decided.outcome, decided.at) == (Outcome.YES, T + 950)
    assert decided.crossing is not None
    assert [each.price.value for each in decided.crossing.price.inputs] == [101, 101]
    # What is kept of it can be read again.
    kept = msgspec.to_builtins(decided.crossing)
    assert msgspec.convert(kept, type(decided.crossing)) == decided.crossing


# Laws ---------------------------------------------------------------------------------------------

STORY = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(1, 400), st.integers(-3, 12)),
    min_size=4,
    max_size=40,
)


def told_by(coin: str, story: Sequence[tuple[str, int, int]]) -> list[Given]:
    """Make one input's log: its times rise, no two inputs say something in one millisecond."""
    found, at = [], 0
    for n, (who, later, value) in enumerate(story):
        at += later
        if who == coin:
            said: int | str | None = value if value > 0 else None if value else "as before"
            found.append(give(coin, n, 2 * at + (coin == "B"), said))
    return [*found, give(coin, len(story), 2 * at + 500)]


@given(STORY, st.randoms())
@settings(deadline=None)
def test_it_does_not_matter_in_what_order_its_inputs_arrive(
    story: list[tuple[str, int, int]],
    random: Any,  # noqa: ANN401 - hypothesis's own
) -> None:
    logs = {coin: told_by(coin, story) for coin in "AB"}
    prompt = sorted([*logs["A"], *logs["B"]], key=lambda each: each.at)
    late = [*logs["A"], *logs["B"]]
    left = {coin: list(each) for coin, each in logs.items()}
    mixed = []
    while any(left.values()):
        coin = random.choice([coin for coin, each in left.items() if each])
        mixed.append(left[coin].pop(0))
    of = feed("price(A) / price(B)")
    expected = values(play(log(of), prompt))
    assert values(play(log(of), late)) == expected
    assert values(play(log(of), mixed)) == expected


@given(STORY, st.integers(0, 60))
@settings(deadline=None)
def test_what_is_heard_twice_is_heard_once(story: list[tuple[str, int, int]], back: int) -> None:
    whole = sorted([*told_by("A", story), *told_by("B", story)], key=lambda each: each.at)
    again = [*whole[: back + 1], *whole[max(0, back - 5) :]]
    of = feed("price(A) / price(B)")
    assert values(play(log(of), again)) == values(play(log(of), whole))


@given(STORY, st.integers(0, 60))
@settings(deadline=None)
def test_whoever_takes_it_over_at_a_stored_second_goes_on_exactly_there(
    story: list[tuple[str, int, int]], until: int
) -> None:
    whole = sorted([*told_by("A", story), *told_by("B", story)], key=lambda each: each.at)
    of = feed("price(A) / price(B)")
    first, stored = log(of), None
    effects: list[Effect] = []
    for place, each in enumerate(whole):
        before = len(effects)
        for effect in first.hear_given(each):
            effects.append(effect)
            if isinstance(effect, SecondClosed) and place <= until:
                # Its row says that the message before was handled.
                stored = place, len(effects), effect.memory
        assert before <= len(effects)
    if stored is None:
        return
    place, count, memory = stored
    plain = msgspec.json.decode(msgspec.json.encode(memory), type=Memory)
    assert plain == memory
    second = log(of, memory=plain)
    assert values(play(second, whole[place:])) == values(effects[count:])
    assert second.memory() == first.memory()


def test_its_times_never_go_back() -> None:
    story = [("A", 3, 5), ("B", 400, 7), ("A", 250, 9), ("B", 1, 2)] * 6
    given = [*told_by("A", story), *told_by("B", story)]
    told = values(play(log(feed("price(A) / price(B)")), given))
    assert all(one[0] <= other[0] for one, other in pairwise(told))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "expr:" + "0" * 32},
        {"expression": "price(B) / price(A) + 0 "},
        {"expression": "price(A) >"},
        {"scale": 3},
        {"inputs": {"A/USD": 2}},
    ],
)
def test_a_feed_that_is_not_what_its_name_says_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Impossible):
        derivation_of(feed("price(A) / price(B)", **wrong))


def test_a_plain_feed_has_a_plain_log() -> None:
    plain = Feed(name="A/USD", unit="USD", scale=2, symbols={"x": "A"}, volatility_bps=Bps(1))
    assert type(log_of(plain)) is FeedLog


# Looks back ---------------------------------------------------------------------------------------

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(1, 5), (15, 5), (20, 5), (21, 6), (60, 15), (90, 23), (1_440, 360)]
)
def test_a_look_back_has_at_most_240_steps_of_whole_seconds(minutes: int, seconds: int) -> None:
    assert step_ms_of(minutes * 60_000) == seconds * 1_000


def stored(
    seconds: Iterable[tuple[int, int | None, int | None, int | None]], step_ms: int
) -> list[Step]:
    """Group seconds as the database does."""
    found: dict[int, Step] = {}
    for second, low, high, last in seconds:
        if low is None or high is None:
            continue
        number = second * 1000 // step_ms
        known = found.get(number)
        lasts = last if last is not None else (known.last if known else None)
        found[number] = Step(
            number=number,
            low=Value(min(low, known.low) if known else low),
            high=Value(max(high, known.high) if known else high),
            last=None if lasts is None else Value(lasts),
        )
    return list(found.values())


def test_an_hour_is_looked_back_at() -> None:
    steps, start = Steps(HOUR), T // HOUR * HOUR
    steps.read([])
    for second in range(7_200):
        value = Value(1_000 + second)
        steps.close(UnixMs(start + 1_000 * second), value, value, value)
    look = steps.look(UnixMs(start + 7_200_000), Value(9_000))
    # The step that ran an hour ago ends 14 s into it; what lies after it counts.
    assert (look.then, look.low, look.high) == (4_614, 4_615, 9_000)
    assert look.count == 240
    assert look.total == sum(range(4_629, 8_200, 15)) + 9_000


def test_a_step_without_a_price_makes_the_past_unknown() -> None:
    steps = Steps(60_000)
    steps.read([])
    for second in range(80):
        value = None if 30 <= second < 40 else Value(5)
        steps.close(UnixMs(T + 1_000 * second), value, value, value)
    look = steps.look(UnixMs(T + 80_000), Value(5))
    assert (look.low, look.high, look.total, look.then) == (None, None, None, 5)


SECONDS = st.lists(
    st.tuples(st.integers(1, 50), st.integers(0, 9), st.booleans(), st.integers(0, 9)), max_size=80
)


@given(SECONDS, st.integers(0, 80))
@settings(deadline=None)
def test_following_is_the_same_as_reading_what_was_stored(
    drawn: list[tuple[int, int, bool, int]], taken_over: int
) -> None:
    seconds = [
        (T // 1000 + n, low, low + more, low + more // 2 if ends else None)
        if more != 9
        else (T // 1000 + n, None, None, None)
        for n, (low, more, ends, _) in enumerate(drawn)
    ]
    followed, taken = Steps(60_000), Steps(60_000)
    followed.read([])
    for second in seconds:
        followed.close(UnixMs(second[0] * 1000), *second[1:])
    for second in seconds[taken_over:]:
        taken.close(UnixMs(second[0] * 1000), *second[1:])
    # What was stored is read while it goes on: some of it is known already.
    taken.read(stored(seconds[: taken_over + 3], taken.step_ms))
    at = UnixMs((T // 1000 + len(seconds)) * 1000)
    assert followed.look(at, Value(7)) == taken.look(at, Value(7))
