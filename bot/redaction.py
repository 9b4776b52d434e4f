"""Redaction: what of an update may be stored: what is needed, and never a key or a PIN.

In        an update as it came; what its person was asked last.
Out       who it is from, and the update without quoted messages, our own words and secrets.
Promises  text that looks like a private key or seed words is gone before anything is written; what
          answers a question for a PIN or a code is sealed; either message is marked, so that it can
          be taken out of the chat. What was edited is not read, so it is not stored.
Why       a chat is no place for a key: whoever reads this database later must find none.
"""

import re
from typing import Any, Final

MARK: Final = "rooms_secret"
SEALED: Final = "rooms_sealed"
ID_END: Final = 2**52
"""Telegram's ids have at most 52 bits."""

_BASE58_KEY: Final = re.compile(
    r"(?<![1-9A-HJ-NP-Za-km-z])[1-9A-HJ-NP-Za-km-z]{87,88}(?![1-9A-HJ-NP-Za-km-z])"
)
_BYTES_KEY: Final = re.compile(r"\[\s*(?:[0-9]{1,3}\s*,\s*){31,63}[0-9]{1,3}\s*\]", re.ASCII)
_SEED_WORDS: Final = re.compile(
    r"(?<![A-Za-z])(?:[a-z]{3,8}[\s,.;:0-9]+){11,23}[a-z]{3,8}(?![A-Za-z])",
    re.ASCII | re.IGNORECASE,
)
_CODE: Final = re.compile(r"(?:\s*[0-9]){4,8}\s*", re.ASCII)
_SECRETS: Final = (_BASE58_KEY, _BYTES_KEY, _SEED_WORDS)

_MESSAGES: Final = ("message", "edited_message", "channel_post", "edited_channel_post")
_TEXTS: Final = ("text", "caption")
_NOT_NEEDED: Final = (
    "reply_to_message",
    "quote",
    "external_reply",
    "pinned_message",
    "reply_markup",
)


def is_secret(text: str) -> bool:
    """Say whether text looks like a private key or seed words."""
    return any(pattern.search(text) for pattern in _SECRETS)


def storable(update: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return who an update is from, and what of it may be stored."""
    kept: dict[str, Any] = _clean(update)
    for kind in _MESSAGES:
        if isinstance(kept.get(kind), dict):
            kept[kind] = _message(kept[kind], edited=kind.startswith("edited_"))
    press = kept.get("callback_query")
    if isinstance(press, dict) and isinstance(press.get("message"), dict):
        place = {
            name: press["message"][name]
            for name in ("message_id", "date", "chat")
            if name in press["message"]
        }
        kept["callback_query"] = {**press, "message": place}
    return _from(kept), kept


def sayings(update: dict[str, Any]) -> str:
    """Return the words by which an update may answer a question of ours, or nothing."""
    message = update.get("message")
    text = message.get("text") if isinstance(message, dict) else None
    return text if isinstance(text, str) and not text.startswith("/") else ""


def looks_like_a_code(text: str) -> bool:
    """Say whether text is a few digits and nothing else."""
    return _CODE.fullmatch(text) is not None


def sealed(update: dict[str, Any], seal: dict[str, Any]) -> dict[str, Any]:
    """Return an update with a seal in place of its words."""
    message = {**update["message"], "text": "", SEALED: seal}
    message.pop("entities", None)
    return {**update, "message": message}


def without_seal(update: dict[str, Any]) -> dict[str, Any]:
    """Return an update without the seal in it, for those who keep it for longer."""
    message = update.get("message")
    if not isinstance(message, dict):
        return update
    return {**update, "message": {k: value for k, value in message.items() if k != SEALED}}


def _message(message: dict[str, Any], *, edited: bool) -> dict[str, Any]:
    kept = {name: value for name, value in message.items() if name not in _NOT_NEEDED}
    for name in _TEXTS:
        if isinstance(kept.get(name), str) and is_secret(kept[name]):
            kept[name] = ""
            kept.pop("entities", None)
            kept.pop("caption_entities", None)
            kept[MARK] = True
        if edited:
            kept.pop(name, None)
    return kept


def _from(update: dict[str, Any]) -> int:
    for body in update.values():
        if isinstance(body, dict):
            for who in (body.get("from"), body.get("chat")):
                number = who.get("id") if isinstance(who, dict) else None
                if isinstance(number, int) and abs(number) < ID_END:
                    return number
    return 0


def _clean(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Take out of all text what PostgreSQL cannot hold: zero bytes and half characters."""
    if isinstance(value, str):
        if value.isascii() and "\0" not in value:
            return value
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(name): _clean(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return value
