"""The index price: a value that a source said, which enough others agree with; else silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.feed import Guards
from rooms.index_price import IndexPrice, Silence, index_price
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value

NOW = UnixMs(1_000_000)


def ticks_from(table: str) -> list[Tick]:
    """Read a table: source, value, age of its source time, age of its receipt, in milliseconds."""
    found: list[Tick] = []
    for line in table.strip().splitlines():
        source, value, source_age, age = line.split()
        found.append(
            Tick(
                source, 1, Value(int(value)), UnixMs(NOW - int(source_age)), UnixMs(NOW - int(age))
            )
        )
    return found


def shown(price: IndexPrice | Silence) -> str:
    if isinstance(price, Silence):
        return f"silence {price.reason} {price.agreeing} of {price.known}"
    left_out = ", ".join(f"{tick.source} {why}" for tick, why in price.left_out)
    return f"{price.value} by {len(price.ticks)}" + (f" without {left_out}" if left_out else "")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param("a 100000 0 0\nb 100100 0 0\nc 100200 0 0", "100100 by 3", id="median"),
        pytest.param(
            "a 100000 0 0\nb 100100 0 0\nc 100200 0 0\nd 100300 0 0",
            "100100 by 4",
            id="lower of two middles, never an average",
        ),
        pytest.param("a 100000 0 0\nb 100100 0 0", "silence too_few 2 of 2", id="two are few"),
        pytest.param(
            "a 100000 0 0\nb 100000 0 0\nc 100000 2001 0",
            "silence too_few 2 of 3",
            id="stale by its own time",
        ),
        pytest.param(
            "a 100000 0 0\nb 100000 0 0\nc 100000 0 2001",
            "silence too_few 2 of 3",
            id="stale by its receipt",
        ),
        pytest.param(
            "a 100000 0 0\nb 100000 0 0\nc 100000 0 0\nd 100000 -251 0",
            "100000 by 3 without d ahead",
            id="from the future",
        ),
        pytest.param(
            "a 100000 0 0\nb 100100 0 0\nc 100200 0 0\nd 105000 0 0",
            "100100 by 3 without d outlier",
            id="one wick is left out",
        ),
        pytest.param(
            "a 100000 0 0\nb 100000 0 0\nc 101000 0 0",
            "silence disagree 2 of 3",
            id="too few near the median",
        ),
        pytest.param(
            "a 100000 0 0\nb 100500 0 0\nc 100000 0 0\nd 99500 0 0",
            "100000 by 4",
            id="at the outlier bound is inside",
        ),
    ],
)
def test_an_index_price_needs_enough_fresh_sources_that_agree(table: str, expected: str) -> None:
    assert shown(index_price(ticks_from(table), NOW, Guards())) == expected


def test_sources_too_far_apart_hold_the_price() -> None:
    wide = Guards(outlier_bps_max=Bps(300), dispersion_bps_max=Bps(100))
    table = "a 100000 0 0\nb 100900 0 0\nc 101100 0 0"

    assert shown(index_price(ticks_from(table), NOW, wide)) == "silence too_wide 3 of 3"


some_ticks = st.lists(
    st.tuples(st.integers(90_000, 110_000), st.integers(-500, 3_000), st.integers(0, 3_000)),
    max_size=7,
).map(
    lambda rows: [
        Tick(f"s{n}", n, Value(value), UnixMs(NOW - source_age), UnixMs(NOW - age))
        for n, (value, source_age, age) in enumerate(rows)
    ]
)


@given(some_ticks, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(ticks: list[Tick], random: object) -> None:
    shuffled = list(ticks)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert index_price(shuffled, NOW, Guards()) == index_price(ticks, NOW, Guards())


@given(some_ticks)
def test_the_value_is_one_that_was_said_and_everybody_is_accounted_for(ticks: list[Tick]) -> None:
    price = index_price(ticks, NOW, Guards())
    if isinstance(price, Silence):
        assert price.known == len(ticks)
        return
    said = {tick.source: tick.value for tick in ticks}
    assert price.value in said.values()
    assert len(price.ticks) >= 3
    assert [t.source for t, _ in price.left_out] == sorted(t.source for t, _ in price.left_out)
    assert {t.source for t in price.ticks} | {t.source for t, _ in price.left_out} == set(said)
    assert all(abs(t.value - price.value) * 10_000 <= price.value * 101 for t in price.ticks)


@given(st.integers(50_000, 150_000), st.integers(1, 10**9))
def test_one_liar_among_five_moves_the_price_less_than_a_thousandth(honest: int, lie: int) -> None:
    values = [honest, honest + 10, honest + 20, honest + 30, lie]
    ticks = [Tick(f"s{n}", 1, Value(v), NOW, NOW) for n, v in enumerate(values)]
    price = index_price(ticks, NOW, Guards())

    assert isinstance(price, IndexPrice)
    assert abs(price.value - (honest + 15)) * 1_000 < honest
