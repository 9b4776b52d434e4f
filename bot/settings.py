"""Settings: what the bot is told by whoever starts it.

Holds     the token and where Telegram is, how updates come in, how fast we speak, the limits that
          people are shown.
Promises  the token and the webhook's secret are in no repr.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rooms.room import RoomLimits
from rooms.units import Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """How Telegram reaches us, when we do not ask it.

    Attributes:
        url: the public address, given to Telegram; its path is the one that is served.
        secret: Telegram sends it with every update; 1 to 256 of ``A-Za-z0-9_-``.
        port: 0 lets the system choose.
    """

    url: str
    secret: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8707
    body_bytes_max: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceSettings:
    """How fast we speak.

    Attributes:
        all_per_s: messages a second over all chats.
        chat_per_s: messages a second to one chat, after ``chat_burst`` at once.
        acts_per_minute: messages and presses of one person a minute, after ``acts_burst`` at once.
    """

    all_per_s: int = 25
    chat_per_s: int = 1
    chat_burst: int = 4
    acts_per_minute: int = 40
    acts_burst: int = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class BotSettings:
    """All that the bot is told.

    Attributes:
        base_url: the Bot API's address, to which the token is appended.
        factor_key: what PINs are sealed with and authenticators' secrets are made of; it is never
            changed, or everybody has to choose anew.
        webhook: None asks Telegram instead (long polling).
        explorer: address of a transaction for people, with ``{signature}`` in it; None shows the
            signature itself.
        token_stakes: by the name of a token in which rooms may be made, the least and the most
            that a stake limit may be.
        money_ms: how long a button that asks for something stays good.
        button_ms: how long any other does.
        talk_ms: how long an unfinished dialogue is remembered.
        poll_s: how long one question to Telegram waits for updates.
        floor_ms: how often stored work is looked for without being told of it.
    """

    token: str = field(repr=False)
    factor_key: str = field(repr=False)
    base_url: str = "https://api.telegram.org/bot"
    webhook: WebhookSettings | None = None
    explorer: str | None = None
    limits: RoomLimits = field(default_factory=RoomLimits)
    token_stakes: Mapping[str, tuple[Lamports, Lamports]] = field(default_factory=dict)
    pace: PaceSettings = field(default_factory=PaceSettings)
    money_ms: int = 120_000
    button_ms: int = 7 * 86_400_000
    talk_ms: int = 30 * 60_000
    poll_s: int = 30
    floor_ms: int = 500
    tries_max: int = 3
    handlers: int = 3
