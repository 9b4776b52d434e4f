"""Asset: what is staked in a room: SOL, or a token that the operator allows.

Holds     a name and how many decimals an amount of it has.
Promises  an amount is a whole number of the asset's smallest unit, and is never added to one of
          another asset; a room is in one asset for its whole life.
Why       in names *lamports* counts the smallest unit of whatever asset stands beside it.
"""

from dataclasses import dataclass
from typing import Final

from rooms.decimal_text import text_from_whole
from rooms.refusal import must

DECIMALS_MAX: Final = 12


@dataclass(frozen=True, slots=True)
class Asset:
    """What amounts are counted in."""

    name: str
    decimals: int

    def __post_init__(self) -> None:
        must(self.name.isalnum() and self.name == self.name.upper(), "an asset has a plain name")
        must(0 <= self.decimals <= DECIMALS_MAX, "an asset has so many decimals at most")

    @property
    def is_token(self) -> bool:
        """Say whether it is anything but SOL."""
        return self.name != SOL.name

    def text(self, amount: int) -> str:
        """Write an amount for people, such as ``1.5 SOL``."""
        return f"{text_from_whole(amount, self.decimals)} {self.name}"

    @property
    def facts(self) -> dict[str, object]:
        """Say in an event what its amounts are counted in; of SOL nothing need be said."""
        return {"asset": self.name, "decimals": self.decimals} if self.is_token else {}


SOL: Final = Asset("SOL", 9)
