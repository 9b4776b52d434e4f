"""What an operator says of a token becomes feeds that can be stood behind, or nothing."""

import pytest

from rooms.feed import Feed
from rooms.refusal import Impossible
from rooms.token import token_feeds
from rooms.units import Bps

POOLS = {"jupiter": "Mint", "dexscreener": "Mint"}
DEEP = {"dexscreener": "Mint#liquidity"}
VENUES = {"binance": "TUSDT", "kraken": "T/USD", "coinbase": "T-USD"}


def feeds(
    symbols: dict[str, str],
    *,
    liquidity: dict[str, str] | None = None,
    supply: str | None = None,
    quorum: int = 3,
    token: str = "T",
) -> dict[str, Feed]:
    made = token_feeds(
        token=token, symbols=symbols, liquidity=liquidity or {}, supply=supply, quorum=quorum,
        age_ms_max=10_000, volatility_bps=Bps(20_000),
    )  # fmt: skip
    return {feed.name: feed for feed in made}


def test_a_token_of_pools_is_thin_and_its_cap_too() -> None:
    made = feeds(POOLS, liquidity=DEEP, supply="Mint-KeptA-KeptB", quorum=2)
    assert list(made) == ["liquidity:T", "T/USD", "supply:T", "mcap:T"]
    assert made["T/USD"].is_thin
    assert made["mcap:T"].is_thin
    assert [feed.name for feed in made.values() if feed.offered] == ["T/USD", "mcap:T"]
    assert made["supply:T"].symbols == {"solana": "Mint-KeptA-KeptB"}
    assert "2 named accounts" in made["mcap:T"].meaning


@pytest.mark.parametrize(
    ("supply", "means"),
    [
        ("Mint", "total supply: all T on the chain now, locked ones too"),
        ("Mint-A", "circulating supply: all T on the chain now but what 1 named account keeps"),
        ("Mint-A-B", "circulating supply: all T on the chain now but what 2 named accounts keep"),
    ],
)
def test_a_cap_says_whether_it_counts_the_total_or_the_circulating_supply(
    supply: str, means: str
) -> None:
    assert feeds(VENUES, supply=supply)["mcap:T"].meaning == f"its price times the {means}"


def test_three_venues_need_no_liquidity() -> None:
    made = feeds(VENUES)
    assert list(made) == ["T/USD"]
    assert not made["T/USD"].is_thin


@pytest.mark.parametrize(
    ("symbols", "quorum", "token", "why"),
    [
        (POOLS, 2, "T", "1 of its sources are independent"),
        (VENUES, 2, "T", "say where its liquidity"),  # Two could agree on anything.
        ({"binance": "TUSDT", **POOLS}, 3, "T", "2 of its sources are independent"),
        (VENUES, 4, "T", "at most all sources"),
        ({}, 1, "T", "has a source"),
        (VENUES, 3, "t/x", "capitals"),
    ],
)
def test_what_cannot_be_stood_behind_is_refused(
    symbols: dict[str, str], quorum: int, token: str, why: str
) -> None:
    with pytest.raises(Impossible, match=why):
        feeds(symbols, quorum=quorum, token=token)
