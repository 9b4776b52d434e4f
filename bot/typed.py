"""Typed: what people type, read exactly or refused with what to type instead.

In        text of a message.
Out       lamports, a move in basis points, a value at a scale, a length of time, an address.
Promises  no float, no sign or exponent slips through; a refusal changes nothing.
"""

import re
from typing import Final

from rooms.asset import SOL, Asset
from rooms.decimal_text import text_from_whole, whole_from_text
from rooms.refusal import Impossible, Refused
from rooms.units import LAMPORTS_MAX, Address, Lamports, Value
from rooms.wallet_address import wallet_address

VALUE_MAX: Final = 2**63 - 1

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LENGTH: Final = re.compile(
    r"(?:\s*([0-9]{1,6})\s*"
    r"(s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hour|hours|d|day|days)\b\.?)",
    re.ASCII | re.IGNORECASE,
)
_MOVE: Final = re.compile(r"([+-])\s*([0-9.]{1,12})\s*%", re.ASCII)


def lamports(text: str, asset: Asset = SOL) -> Lamports:
    """Read an amount of an asset such as ``0.25``.

    Raises:
        Refused: when it is no plain positive number that lamports can hold.
    """
    plain = text.strip().removesuffix(asset.name).removesuffix(asset.name.lower()).strip()
    try:
        whole = whole_from_text(plain, asset.decimals)
    except Impossible as why:
        raise Refused(
            "bad_amount",
            f"I could not read that amount. Type plain {asset.name} with at most "
            f"{asset.decimals} decimals, such as 0.25.",
        ) from why
    if whole == 0:
        raise Refused("bad_amount", "That is nothing. Type an amount above 0, such as 0.25.")
    if whole > LAMPORTS_MAX:
        raise Refused(
            "bad_amount", f"That is more {asset.name} than there is. Type a smaller amount."
        )
    return Lamports(whole)


def stake_limits(text: str, asset: Asset = SOL) -> tuple[Lamports, Lamports]:
    """Read two amounts of an asset such as ``0.1 - 2``.

    Raises:
        Refused: when they are not two amounts, the smaller first.
    """
    parts = [part for part in re.split(r"\s*(?:-|–|to)\s*|\s+", text.strip()) if part]
    if len(parts) != 2:
        raise Refused("bad_limits", "Type the least and the most, such as 0.1 - 2.")
    least, most = lamports(parts[0], asset), lamports(parts[1], asset)
    if least > most:
        raise Refused("bad_limits", "The first must be the smaller one, such as 0.1 - 2.")
    return least, most


def is_move(text: str) -> bool:
    """Say whether text means a move rather than a value."""
    stripped = text.strip()
    return stripped.endswith("%") or stripped[:1] in "+-−"


def move_bps(text: str) -> int:
    """Read a signed move such as ``+2%`` or ``-1.5 %`` in basis points.

    Raises:
        Refused: when there is no sign, no number, or one finer than a basis point.
    """
    found = _MOVE.fullmatch(text.strip().replace("−", "-"))
    try:
        size = whole_from_text(found[2], 2) if found else 0
    except Impossible:
        size = 0
    if not found or size == 0:
        raise Refused("bad_move", "Type a move with its sign and at most 2 decimals, such as +2%.")
    return size if found[1] == "+" else -size


def value(text: str, scale: int) -> Value:
    """Read a value such as ``205`` or ``$97,250.5`` at a feed's scale.

    Raises:
        Refused: when it is no plain positive number, or finer than the feed's scale.
    """
    plain = text.strip().removeprefix("$").strip()
    if re.fullmatch(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?", plain):
        plain = plain.replace(",", "")
    try:
        whole = whole_from_text(plain, scale)
    except Impossible as why:
        example = text_from_whole(205 * 10**scale, scale)
        raise Refused(
            "bad_value",
            f"I could not read that. Type a move such as +2%, or a value such as {example} "
            f"with at most {scale} decimals.",
        ) from why
    if not 0 < whole <= VALUE_MAX:
        raise Refused("bad_value", "A target is a positive number that fits the feed.")
    return Value(whole)


def length_ms(text: str) -> int:
    """Read a length of time such as ``20s``, ``5m``, ``2h`` or ``1h 30m``.

    Raises:
        Refused: when it is none.
    """
    at, total = 0, 0
    plain = text.strip()
    while found := _LENGTH.match(re.sub(r"(?<=[a-zA-Z])(?=[0-9])", " ", plain), at):
        total += int(found[1]) * _UNITS_MS[found[2][0].lower()]
        at = found.end()
    if not total or at != len(re.sub(r"(?<=[a-zA-Z])(?=[0-9])", " ", plain)):
        raise Refused("bad_length", "Type a length of time such as 20s, 5m, 2h or 1h 30m.")
    return total


def address(text: str) -> Address:
    """Read a Solana address.

    Raises:
        Refused: when nobody can hold a key for it.
    """
    return wallet_address(text.strip())
