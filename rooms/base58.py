"""Base58: bytes as Solana writes them for people.

In        text in the alphabet without 0, O, I and l.
Out       the bytes.
Why       solders reads base58 of 32 and 64 bytes only; an inner instruction's data has any length.
"""

from rooms.refusal import Impossible

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
TEXT_MAX = 15_000

_DIGITS = {letter: digit for digit, letter in enumerate(ALPHABET)}


def bytes_from_base58(text: str) -> bytes:
    """Read base58 text.

    Raises:
        Impossible: when a letter is not of the alphabet, or the text is absurdly long.
    """
    if len(text) > TEXT_MAX:
        raise Impossible(f"base58 text has at most {TEXT_MAX} letters")
    number = 0
    for letter in text:
        digit = _DIGITS.get(letter)
        if digit is None:
            raise Impossible(f"{letter!r} is not a base58 letter")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
