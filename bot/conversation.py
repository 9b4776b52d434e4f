"""Conversation: where a person is in a dialogue: what was chosen, what is asked now.

Holds     one shape for each dialogue, as it is stored between two messages.
Promises  a withdrawal that waits for its last word names everything that it will ask for.
"""

from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from rooms.asset import SOL
from rooms.room import Side
from rooms.units import Lamports, UnixMs, Value


class Step(StrEnum):
    """Name the questions of making a room, in their order."""

    FEED = "feed"
    TARGET = "target"
    LOCK = "lock"
    DEADLINE = "deadline"
    ASSET = "asset"
    LIMITS = "limits"
    TOUCH = "touch"
    REVIEW = "review"


class Draft(msgspec.Struct, frozen=True, omit_defaults=True):
    """A room in the making; what was not chosen yet is None."""

    feed: str | None = None
    move_bps: int | None = None
    fixed_value: Value | None = None
    lock_in_ms: int | None = None
    deadline_in_ms: int | None = None
    least: Lamports | None = None
    most: Lamports | None = None
    held_ms: int | None = None
    asset: str = SOL.name

    @property
    def next_step(self) -> Step:
        """Return the first question that is still open."""
        if self.feed is None:
            return Step.FEED
        if self.move_bps is None and self.fixed_value is None:
            return Step.TARGET
        if self.lock_in_ms is None:
            return Step.LOCK
        if self.deadline_in_ms is None:
            return Step.DEADLINE
        return Step.REVIEW


class Change(StrEnum):
    """Name what a person changes about how it proves itself."""

    PIN = "pin"
    AUTHENTICATOR = "authenticator"


class _Conversation(msgspec.Struct, frozen=True, tag_field="about", omit_defaults=True):
    """Say what the person's next words answer."""


class MakingRoom(_Conversation, frozen=True, tag="room"):
    """A room is in the making and this question is open."""

    step: Step
    draft: Draft


class TypingStake(_Conversation, frozen=True, tag="stake"):
    """An amount for this side is awaited."""

    room: int
    side: Side


class TypingAmount(_Conversation, frozen=True, tag="amount"):
    """How much shall leave is awaited."""

    asset: str = SOL.name


class TypingAddress(_Conversation, frozen=True, tag="address"):
    """Where it shall go is awaited."""

    lamports: Lamports
    asset: str = SOL.name


class Retyping(_Conversation, frozen=True, tag="retyping"):
    """The last six letters of the address are awaited, and then the PIN."""

    lamports: Lamports
    to_address: str
    until: UnixMs
    asset: str = SOL.name


class Errand(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person proves itself for: a withdrawal when an amount is named, else a change."""

    change: Change | None = None
    lamports: Lamports = Lamports(0)
    to_address: str = ""
    until: UnixMs = UnixMs(0)
    asset: str = SOL.name


class ChoosingPin(_Conversation, frozen=True, tag="choosing_pin"):
    """A new PIN is awaited."""


class RepeatingPin(_Conversation, frozen=True, tag="repeating_pin"):
    """The new PIN is awaited once more."""

    pin_hash: str


class ProvingPin(_Conversation, frozen=True, tag="pin"):
    """The PIN is awaited."""

    errand: Errand


class ProvingCode(_Conversation, frozen=True, tag="code"):
    """The authenticator's code is awaited, after the PIN."""

    errand: Errand


class FirstCode(_Conversation, frozen=True, tag="first_code"):
    """The first code of a new authenticator is awaited."""

    authenticator: str


Conversation: TypeAlias = (
    MakingRoom
    | TypingStake
    | TypingAmount
    | TypingAddress
    | Retyping
    | ChoosingPin
    | RepeatingPin
    | ProvingPin
    | ProvingCode
    | FirstCode
)

SECRET: Final = ("choosing_pin", "repeating_pin", "pin", "code", "first_code")
"""What answers these is sealed before it is stored."""


def stored(conversation: Conversation) -> dict[str, Any]:
    """Write a conversation as JSON."""
    written: dict[str, Any] = msgspec.to_builtins(conversation)
    return written


def read(stored_conversation: dict[str, Any]) -> Conversation:
    """Read what `stored` wrote."""
    found: Conversation = msgspec.convert(stored_conversation, Conversation)
    return found
