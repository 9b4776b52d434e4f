"""Assets: what a person may stake and take out here: SOL, and the tokens of this place.

In        the settings; the tokens that custody has looked at.
Out       an asset by its name; a refusal when there is none of it.
Promises  rooms are made only in what the settings allow; what somebody has can always be taken out.
"""

from dataclasses import replace

from bot.turn import Turn
from rooms.asset import SOL, Asset
from rooms.refusal import Refused
from rooms.room import RoomLimits
from storage import tokens


async def every(turn: Turn) -> list[Asset]:
    """Return SOL, and every token that was ever allowed here."""
    return [SOL, *(await tokens.assets(turn.connection)).values()]


async def named(turn: Turn, name: str) -> Asset:
    """Return an asset by its name.

    Raises:
        Refused: when there is none of this name here.
    """
    if name == SOL.name:
        return SOL
    for asset in await every(turn):
        if asset.name == name:
            return asset
    raise Refused("no_asset", f"There is no {name} here.")


async def offered(turn: Turn) -> list[Asset]:
    """Return what a room may be made in."""
    allowed = turn.place.settings.token_stakes
    if not allowed:
        return [SOL]
    return [each for each in await every(turn) if each == SOL or each.name in allowed]


async def limits_in(turn: Turn, asset: Asset) -> RoomLimits:
    """Return what rooms in this asset may be.

    Raises:
        Refused: when no room is made in it.
    """
    limits = turn.place.settings.limits
    if not asset.is_token:
        return limits
    stakes = turn.place.settings.token_stakes.get(asset.name)
    if stakes is None:
        raise Refused("no_asset", f"No room can be made in {asset.name} here.")
    least, most = stakes
    return replace(limits, stake_lamports_min=least, stake_lamports_max=most)
