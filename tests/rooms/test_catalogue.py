"""The catalogue's feeds meet the rules that every feed must meet."""

import pytest

from rooms.catalogue import CATALOGUE
from rooms.feed import Feed
from streams.feeds.pyth import IDS
from streams.feeds.sources import SOCKETS, made_with


@pytest.mark.parametrize("feed", CATALOGUE.values(), ids=lambda feed: feed.name)
def test_a_feed_of_the_catalogue_has_a_quorum_and_one_to_spare(feed: Feed) -> None:
    assert CATALOGUE[feed.name] is feed
    if feed.offered:
        priced = feed if feed.price is None else CATALOGUE[feed.price]
        assert len(priced.symbols) > feed.guards.quorum
    assert {feed.price, feed.supply, feed.liquidity} <= {None, *CATALOGUE}
    assert set(made_with(feed)) <= set(CATALOGUE)


@pytest.mark.parametrize(
    "feed",
    [feed for feed in CATALOGUE.values() if "coinbase" in feed.symbols],
    ids=lambda feed: feed.name,
)
def test_a_coin_is_called_the_same_at_every_source(feed: Feed) -> None:
    coin = feed.name.removesuffix(f"/{feed.unit}")
    assert feed.symbols["pyth"] == IDS[coin]
    for source, symbol in feed.symbols.items():
        called = SOCKETS[source].symbol
        assert called is not None
        assert called(coin) == symbol


def test_a_cap_says_what_it_is() -> None:
    for feed in CATALOGUE.values():
        assert bool(feed.meaning) == (feed.price is not None)
