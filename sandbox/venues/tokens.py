"""Tokens: what the market's coins are on Solana: mints, supplies, pools and curves.

In        a coin of the market.
Out       its mint, how many there are, what lies in its market.
Promises  mints and supplies never change; what a curve holds follows from the price.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SLOT_MS = 400
WRAPPED_SOL = "So11111111111111111111111111111111111111112"
_ADDRESS_LENGTH = 44


@dataclass(frozen=True, slots=True)
class Token:
    """A coin as a token: whole tokens, dollars in its pools."""

    mint: str
    decimals: int
    supply: int
    liquidity: int


KNOWN: Mapping[str, Token] = MappingProxyType(
    {
        "SOL": Token(WRAPPED_SOL, 9, 590_000_000, 600_000_000),
        "BONK": Token(
            "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5, 87_995_000_000_000, 4_000_000
        ),
    }
)


def token(coin: str) -> Token:
    """Return what a coin is on Solana; of most coins that is made up."""
    return KNOWN.get(coin) or Token(_address(coin), 6, 1_000_000_000, 60_000)


def mint(coin: str) -> str:
    """Return a coin's mint."""
    return token(coin).mint


def curve(coin: str) -> str:
    """Return the address of a coin's bonding curve."""
    return _address(f"{coin}curve")


def _address(name: str) -> str:
    return name + "1" * (_ADDRESS_LENGTH - len(name))
