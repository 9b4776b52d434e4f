"""Refusals: errors in the shape that Turnkey answers them in."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Refusal(Exception):
    """An answer that is not 200.

    Attributes:
        status: of HTTP.
        code: gRPC's number.
        name: Turnkey's own word; some errors carry none.
    """

    status: int
    code: int
    message: str
    name: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        details = []
        if self.name:
            kind = "type.googleapis.com/errors.v1.TurnkeyErrorDetail"
            details.append({"@type": kind, "turnkeyErrorCode": self.name})
        return {"code": self.code, "message": self.message, "details": details}


def bad_request(message: str, name: str = "") -> Refusal:
    """Refuse what cannot be understood."""
    return Refusal(400, 3, message, name)


def unauthenticated(message: str, name: str) -> Refusal:
    """Refuse a stamp."""
    return Refusal(401, 16, message, name)


def forbidden() -> Refusal:
    """Refuse what no policy allows."""
    return Refusal(
        403, 7, "You don't have sufficient permissions to take this action.",
        "REQUEST_NOT_AUTHORIZED",
    )  # fmt: skip


def not_found(what: str) -> Refusal:
    """Say that there is none."""
    return Refusal(404, 5, f"{what} not found")


def too_many() -> Refusal:
    """Want fewer requests."""
    return Refusal(429, 8, "rate limit exceeded", "RATE_LIMIT_EXCEEDED")
