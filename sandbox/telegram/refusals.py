"""Refusals: the errors of the Bot API, in Telegram's own words.

Out       the HTTP status, the description and, when it says so, how long to wait.
Why       libraries and bots tell errors apart by these texts, so they are kept to the letter.
"""

from typing import Any


class BotApiError(Exception):
    """Carry one refusal of the Bot API to its envelope."""

    def __init__(self, code: int, description: str, retry_after_s: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after_s = retry_after_s

    def envelope(self) -> dict[str, Any]:
        """Write the refusal as the body that the Bot API answers."""
        body: dict[str, Any] = {
            "ok": False,
            "error_code": self.code,
            "description": self.description,
        }
        if self.retry_after_s is not None:
            body["parameters"] = {"retry_after": self.retry_after_s}
        return body


def bad_request(reason: str) -> BotApiError:
    """Refuse a call whose parameters cannot be met, with HTTP 400."""
    return BotApiError(400, f"Bad Request: {reason}")


def forbidden(reason: str) -> BotApiError:
    """Refuse a call that the person does not allow, with HTTP 403."""
    return BotApiError(403, f"Forbidden: {reason}")


def conflict(reason: str) -> BotApiError:
    """Refuse a call that another way of getting updates excludes, with HTTP 409."""
    return BotApiError(409, f"Conflict: {reason}")


def unauthorized() -> BotApiError:
    """Refuse a token that has the right shape and belongs to no bot, with HTTP 401."""
    return BotApiError(401, "Unauthorized")


def too_many_requests(retry_after_s: int) -> BotApiError:
    """Refuse a call for now, with HTTP 429 and the seconds to wait."""
    return BotApiError(429, f"Too Many Requests: retry after {retry_after_s}", retry_after_s)
