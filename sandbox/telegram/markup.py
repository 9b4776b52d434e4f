"""Markup: the keyboards a bot may attach, checked as Telegram checks them.

In        ``reply_markup`` as it came.
Out       an inline keyboard, which belongs to its message, or a reply keyboard, which belongs
          to the chat.
Promises  at most 100 buttons, ``callback_data`` of 1 to 64 bytes, one action a button.
Why       addresses on this machine are let through as links; Telegram takes public ones only.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.telegram.refusals import bad_request

BUTTONS_MAX = 100
CALLBACK_DATA_BYTES_MAX = 64
COPY_TEXT_MAX = 256
STYLES = {"primary", "success", "danger"}
LOOPBACK_HOSTS = {"127.0.0.1", "localhost", "::1"}

_ACTIONS = (
    "callback_data",
    "url",
    "web_app",
    "copy_text",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "callback_game",
    "pay",
)


@dataclass(frozen=True, slots=True)
class Markup:
    """What to show with a message: inline buttons, or what replaces the person's keyboard."""

    inline: dict[str, Any] | None = None
    keyboard: dict[str, Any] | None = None


def read_markup(value: object) -> Markup:
    """Read ``reply_markup``, refusing what Telegram refuses."""
    if value is None:
        return Markup()
    if not isinstance(value, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" in value:
        rows = _rows(value["inline_keyboard"], "inline keyboard")
        for row in rows:
            for button in row:
                _check_inline_button(button)
        return Markup(inline={"inline_keyboard": rows} if any(rows) else None)
    if "keyboard" in value:
        rows = _rows(value["keyboard"], "keyboard")
        return Markup(keyboard={**value, "keyboard": rows})
    if value.get("force_reply") or value.get("remove_keyboard"):
        return Markup(keyboard=value)
    return Markup()


def is_loopback(url: str) -> bool:
    """Tell whether an address leads to this very machine."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def _rows(value: object, name: str) -> list[list[dict[str, Any]]]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise bad_request(f"field of the {name} must be an Array of Arrays")
    rows = [
        [{"text": button} if isinstance(button, str) else button for button in row]
        for row in value
        if row
    ]
    if sum(len(row) for row in rows) > BUTTONS_MAX:
        raise bad_request("REPLY_MARKUP_TOO_LONG")
    for row in rows:
        for button in row:
            if not isinstance(button, dict) or not isinstance(button.get("text"), str):
                raise bad_request(f"can't parse {name} button: Can't find field \"text\"")
    return rows


def _check_inline_button(button: dict[str, Any]) -> None:
    actions = [action for action in _ACTIONS if action in button]
    if not actions:
        raise bad_request(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
        )
    if not button["text"].strip():
        raise bad_request("can't parse inline keyboard button: Text must be non-empty")
    if button.get("style", "primary") not in STYLES:
        raise bad_request("can't parse inline keyboard button: invalid button style specified")
    action = actions[0]
    value = button[action]
    if action == "callback_data" and not 1 <= len(str(value).encode()) <= CALLBACK_DATA_BYTES_MAX:
        raise bad_request("BUTTON_DATA_INVALID")
    if action == "url":
        _check_url(f"inline keyboard button URL '{value}' is invalid", str(value), secure=False)
    if action == "web_app":
        url = str(value.get("url", "")) if isinstance(value, dict) else ""
        _check_url(f"inline keyboard button Web App URL '{url}' is invalid", url, secure=True)
    if action == "copy_text":
        text = value.get("text") if isinstance(value, dict) else None
        if not isinstance(text, str) or not 1 <= len(text) <= COPY_TEXT_MAX:
            raise bad_request("BUTTON_COPY_TEXT_INVALID")


def _check_url(refusal: str, url: str, *, secure: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "tg" and not secure:
        return
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or " " in url:
        raise bad_request(f"{refusal}: Wrong HTTP URL")
    if host in LOOPBACK_HOSTS:
        return
    if "." not in host:
        raise bad_request(f"{refusal}: Wrong HTTP URL")
    if secure and parts.scheme != "https":
        raise bad_request(f"{refusal}: Only HTTPS links are allowed")
