"""Waits before a connection: growing, spread out, and within the venue's limit."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.feeds.patience import Pace, Patience, retry_ms
from streams.feeds.sources import SOCKETS
from streams.feeds.venue import Attempts


@pytest.mark.parametrize(
    ("failures", "ceiling"),
    [(0, 0), (1, 500), (2, 1_000), (3, 2_000), (6, 16_000), (7, 30_000), (10_000, 30_000)],
)
def test_waits_fill_their_whole_range(failures: int, ceiling: int) -> None:
    random = Random(5)
    waits = [retry_ms(failures, Patience(), random) for _ in range(2_000)]
    assert 0 <= min(waits) <= ceiling // 100
    assert ceiling - ceiling // 100 <= max(waits) <= ceiling


@given(
    count=st.integers(1, 5),
    window_ms=st.integers(1, 1_000),
    gaps=st.lists(st.integers(0, 700), min_size=1, max_size=60),
)
def test_no_window_ever_holds_more_than_the_venue_allows(
    count: int, window_ms: int, gaps: list[int]
) -> None:
    pace, now, tried = Pace(Attempts(count, window_ms)), 0, []
    for gap in gaps:
        now += gap
        now += pace.wait_ms(now)
        pace.tried(now)
        tried.append(now)
        assert sum(now - window_ms < each <= now for each in tried) <= count


@pytest.mark.parametrize(
    ("venue", "count", "window_ms"),
    [("binance", 300, 300_000), ("bybit", 500, 300_000), ("okx", 3, 1_000), ("coinbase", 8, 1_000)],
)
def test_ours_lie_below_the_venues_published_limits(venue: str, count: int, window_ms: int) -> None:
    attempts = SOCKETS[venue].attempts
    assert attempts.window_ms == window_ms
    assert attempts.count < count
