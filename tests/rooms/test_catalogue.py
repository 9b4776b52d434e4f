"""The catalogue's feeds meet the rules that every feed must meet."""

import pytest

from rooms.catalogue import CATALOGUE
from rooms.feed import Feed
from streams.feeds.pyth import IDS


@pytest.mark.parametrize("feed", CATALOGUE.values(), ids=lambda feed: feed.name)
def test_a_feed_of_the_catalogue_has_a_quorum_and_one_to_spare(feed: Feed) -> None:
    assert CATALOGUE[feed.name] is feed
    assert len(feed.symbols) > feed.guards.quorum
    assert feed.symbols["pyth"] == IDS[feed.name.partition("/")[0]]
    assert feed.name == f"{feed.symbols['coinbase'].removesuffix('-USD')}/{feed.unit}"
