"""Base58: finds a Solana address in what a bot wrote.

In        a message with entities.
Out       the first address that stands in a ``<code>`` stretch, or None.
Promises  an address is 32 bytes; other code (a signature, an amount) is passed over.
"""

from typing import Any

from sandbox.telegram.entities import utf16_slice

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ADDRESS_BYTES = 32


def find_address(message: dict[str, Any]) -> str | None:
    """Find the first Solana address that a message shows as code."""
    text = message.get("text", message.get("caption", ""))
    entities = message.get("entities", message.get("caption_entities", []))
    for entity in entities:
        if entity["type"] in {"code", "pre"}:
            piece = utf16_slice(text, entity).strip()
            if is_address(piece):
                return piece
    return None


def is_address(text: str) -> bool:
    """Tell whether a text is the base58 of 32 bytes."""
    if not 32 <= len(text) <= 44 or any(character not in ALPHABET for character in text):
        return False
    number = 0
    for character in text:
        number = number * 58 + ALPHABET.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    return zeros + (number.bit_length() + 7) // 8 == ADDRESS_BYTES
