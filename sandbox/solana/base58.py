"""base58: bytes of any length as Solana writes them in text, and back.

Promises  leading zero bytes survive; a character outside the alphabet is refused.
"""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}


def encode(data: bytes) -> str:
    """Write bytes as base58 text."""
    number = int.from_bytes(data, "big")
    letters: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        letters.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(letters))


def decode(text: str) -> bytes:
    """Read base58 text as bytes.

    Raises:
        ValueError: when a character is not base58.
    """
    number = 0
    for letter in text:
        value = _VALUE.get(letter)
        if value is None:
            raise ValueError(f"invalid character {letter!r} in base58 text")
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
