"""Profiles: what a bot says about itself and how it wants to hear.

In        calls that set or ask for a bot's name, texts, commands and webhook.
Holds     all of it with the bot, on disk.
Promises  a webhook address is checked as Telegram checks it; on this machine itself plain HTTP
          and any port will do.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.telegram.chats import Chats
from sandbox.telegram.directory import Directory
from sandbox.telegram.markup import is_loopback
from sandbox.telegram.parameters import Parameters
from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import bad_request
from sandbox.telegram.updates import Updates

COMMANDS_MAX = 100
WEBHOOK_PORTS = {443, 80, 88, 8443}
TEXT_LIMITS = {"name": 64, "description": 512, "short_description": 120}

_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call, and what it says about it."""

    result: Any
    description: str | None = None


class Profiles:
    """Keep what a bot says about itself."""

    def __init__(self, records: Records, chats: Chats, updates: Updates) -> None:
        self._records = records
        self._chats = chats
        self._who = Directory(records)
        self._updates = updates
        # By bot, what delivery last met: shown by getWebhookInfo, forgotten with the process.
        self.webhook_errors: dict[int, Json] = {}

    def methods(self) -> dict[str, Callable[[int, Parameters], Any]]:
        """Name the methods that this part does."""
        return {
            "getMe": self._get_me,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._delete_webhook,
            "getWebhookInfo": self._get_webhook_info,
            "setMyCommands": self._set_commands,
            "getMyCommands": self._get_commands,
            "deleteMyCommands": self._delete_commands,
            "setMyName": _setter(self, "name"),
            "getMyName": _getter(self, "name"),
            "setMyDescription": _setter(self, "description"),
            "getMyDescription": _getter(self, "description"),
            "setMyShortDescription": _setter(self, "short_description"),
            "getMyShortDescription": _getter(self, "short_description"),
        }

    def bot(self, bot_id: int) -> Json:
        """Find what is known of a bot."""
        return self._records.bot(bot_id) or {}

    def change(self, bot_id: int, **facts: Any) -> None:  # noqa: ANN401 (JSON is any of its kinds)
        """Keep new facts of a bot; None takes one away."""
        with self._records.transaction():
            bot = self.bot(bot_id) | facts
            kept = {name: value for name, value in bot.items() if value is not None}
            self._records.save_bot(bot_id, kept)

    def keep_allowed_updates(self, bot_id: int, parameters: Parameters) -> None:
        """Keep which updates a bot wants, when the call says so."""
        wanted = parameters.json("allowed_updates")
        if isinstance(wanted, list) and wanted != self.bot(bot_id).get("allowed_updates", []):
            self.change(bot_id, allowed_updates=wanted or None)

    def commands_for(self, bot_id: int, person_id: int) -> list[Json]:
        """List the commands that a person sees in the menu of their chat."""
        by_scope = self.bot(bot_id).get("commands", {})
        for scope in (
            {"type": "chat", "chat_id": person_id},
            {"type": "all_private_chats"},
            {"type": "default"},
        ):
            commands: list[Json] = by_scope.get(_scope_key(scope, ""), [])
            if commands:
                return commands
        return []

    def _get_me(self, bot_id: int, _: Parameters) -> Json:
        return self._who.bot(bot_id) | {
            "can_join_groups": False,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }

    def _set_webhook(self, bot_id: int, parameters: Parameters) -> Answer:
        url = parameters.text("url") or ""
        if not url:
            return self._delete_webhook(bot_id, parameters)
        _check_webhook_url(url)
        secret = parameters.text("secret_token") or ""
        if secret and not _SECRET.fullmatch(secret):
            raise bad_request("secret token contains unallowed characters")
        connections = parameters.whole("max_connections") or 40
        webhook = {
            "url": url,
            "secret_token": secret,
            "max_connections": min(max(connections, 1), 100),
        }
        with self._records.transaction():
            known = self.bot(bot_id).get("webhook") == webhook
            self.keep_allowed_updates(bot_id, parameters)
            self.change(bot_id, webhook=webhook)
            if parameters.flag("drop_pending_updates"):
                self._updates.drop_all(bot_id)
        self.webhook_errors.pop(bot_id, None)
        return Answer(True, "Webhook is already set" if known else "Webhook was set")

    def _delete_webhook(self, bot_id: int, parameters: Parameters) -> Answer:
        known = self.bot(bot_id).get("webhook") is not None
        with self._records.transaction():
            self.change(bot_id, webhook=None)
            if parameters.flag("drop_pending_updates"):
                self._updates.drop_all(bot_id)
        return Answer(True, "Webhook was deleted" if known else "Webhook is already deleted")

    def _get_webhook_info(self, bot_id: int, _: Parameters) -> Json:
        bot = self.bot(bot_id)
        webhook = bot.get("webhook") or {}
        info: Json = {
            "url": webhook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": self._updates.count(bot_id),
        }
        if webhook:
            info["max_connections"] = webhook["max_connections"]
            info |= self.webhook_errors.get(bot_id, {})
        if bot.get("allowed_updates"):
            info["allowed_updates"] = bot["allowed_updates"]
        return info

    def _set_commands(self, bot_id: int, parameters: Parameters) -> bool:
        commands = parameters.json("commands")
        if not isinstance(commands, list) or len(commands) > COMMANDS_MAX:
            raise bad_request("can't parse commands: expected an Array of BotCommand")
        for command in commands:
            if not isinstance(command, dict) or not _COMMAND.fullmatch(
                str(command.get("command", "")).removeprefix("/")
            ):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(str(command.get("description", ""))) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        shown = [
            {
                "command": str(c["command"]).removeprefix("/"),
                "description": str(c["description"]),
            }
            for c in commands
        ]
        return self._keep_commands(bot_id, parameters, shown)

    def _get_commands(self, bot_id: int, parameters: Parameters) -> list[Json]:
        commands: list[Json] = self.bot(bot_id).get("commands", {}).get(_scope(parameters), [])
        return commands

    def _delete_commands(self, bot_id: int, parameters: Parameters) -> bool:
        return self._keep_commands(bot_id, parameters, [])

    def _keep_commands(self, bot_id: int, parameters: Parameters, commands: list[Json]) -> bool:
        by_scope = self.bot(bot_id).get("commands", {}) | {_scope(parameters): commands}
        with self._records.transaction():
            self.change(bot_id, commands=by_scope)
            self._chats.tell_all(bot_id, "profile")
        return True

    def set_text(self, bot_id: int, fact: str, text: str) -> bool:
        """Keep a bot's name or description; the empty text brings the first one back."""
        if len(text) > TEXT_LIMITS[fact]:
            raise bad_request(f"bot {fact.replace('_', ' ')} is too long")
        with self._records.transaction():
            if fact != "name":
                self.change(bot_id, **{fact: text or None})
            elif text:
                self.change(bot_id, first_name=text)
            self._chats.tell_all(bot_id, "profile")
        return True


def _setter(profiles: Profiles, fact: str) -> Callable[[int, Parameters], Any]:
    def set_it(bot_id: int, parameters: Parameters) -> bool:
        return profiles.set_text(bot_id, fact, parameters.text(fact) or "")

    return set_it


def _getter(profiles: Profiles, fact: str) -> Callable[[int, Parameters], Any]:
    kept_as = "first_name" if fact == "name" else fact
    return lambda bot_id, _: {fact: profiles.bot(bot_id).get(kept_as, "")}


def _scope(parameters: Parameters) -> str:
    scope = parameters.json("scope") or {"type": "default"}
    return _scope_key(scope, parameters.text("language_code") or "")


def _scope_key(scope: Json, language: str) -> str:
    return f"{json.dumps(scope, sort_keys=True)} {language}"


def _check_webhook_url(url: str) -> None:
    parts = urlsplit(url)
    if not parts.hostname:
        raise bad_request("bad webhook: URL host is empty")
    if is_loopback(url) and parts.scheme in {"http", "https"}:
        return
    if parts.scheme != "https":
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    if (parts.port or 443) not in WEBHOOK_PORTS:
        raise bad_request("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
