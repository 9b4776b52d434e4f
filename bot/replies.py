"""Replies: what the bot says, as it waits in its row until it is sent.

Holds     a message, an edit, an answer to a press, a deletion, a new authenticator's secret;
          keyboards in Telegram's own form.
Promises  saying one twice does no harm beyond its being read twice.
"""

from typing import Any, TypeAlias

import msgspec

Keyboard: TypeAlias = list[list[dict[str, Any]]]
"""Rows of buttons as the Bot API takes them."""


class _Reply(msgspec.Struct, frozen=True, tag_field="say", omit_defaults=True):
    """One call of the Bot API."""


class Send(_Reply, frozen=True, tag="send"):
    """Write a message in HTML."""

    chat_id: int
    text: str
    keyboard: Keyboard = []
    quiet: bool = False


class Edit(_Reply, frozen=True, tag="edit"):
    """Write a message of ours anew; sent as a new one when it is gone."""

    chat_id: int
    message_id: int
    text: str
    keyboard: Keyboard = []


class Answer(_Reply, frozen=True, tag="answer"):
    """End the waiting of a pressed button, with a few words or none."""

    query_id: str
    text: str = ""
    alert: bool = False


class Delete(_Reply, frozen=True, tag="delete"):
    """Take away a message that nobody should see again."""

    chat_id: int
    message_id: int


class Enrol(_Reply, frozen=True, tag="enrol"):
    """Show the secret of a new authenticator; it is made as it is sent, and stored nowhere."""

    chat_id: int
    user: int
    authenticator: str
    keyboard: Keyboard = []


Reply: TypeAlias = Send | Edit | Answer | Delete | Enrol


def stored(reply: Reply) -> dict[str, Any]:
    """Write a reply as JSON."""
    written: dict[str, Any] = msgspec.to_builtins(reply)
    return written


def read(stored_reply: dict[str, Any]) -> Reply:
    """Read what `stored` wrote."""
    found: Reply = msgspec.convert(stored_reply, Reply)
    return found
