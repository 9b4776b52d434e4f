"""Security phrases: choosing a PIN, proving it, adding an authenticator.

Out       HTML; none of it repeats what was typed.
"""

from html import escape

from bot.factors import PIN_DIGITS
from bot.phrases import words
from rooms.units import UnixMs

CHOOSE_PIN = (
    f"🔐 <b>Choose a PIN</b> of {PIN_DIGITS} digits. Nothing leaves your wallet without it.\n\n"
    "Type it here: I take the message away at once and keep it where nobody can read it. "
    "Do not use one that you use elsewhere, and do not forget it."
)
REPEAT_PIN = "Once more, please, so that no finger slipped."
PIN_CHOSEN = "✅ <b>Your PIN is set.</b> I took your messages away."
ASK_PIN = "🔐 Now your <b>PIN</b>. I take the message away at once."
ASK_CODE = "🔑 And the <b>6 digits</b> that your authenticator shows now."
ASK_FIRST_CODE = (
    "🔑 I took the picture away. Type the <b>6 digits</b> that your authenticator shows now."
)
AUTHENTICATOR_ADDED = "✅ <b>Your authenticator is set.</b>"
NOT_ASKED = (
    "I took that away: it looked like a PIN, and I had not asked for one. "
    "Nobody but /withdraw and /security does."
)
LOCKED_BY_OWNER = (
    "🛑 <b>Nothing leaves your wallet for 24 hours</b>, and what was waiting is called off. "
    "Change your PIN in /security afterwards."
)


def enrol(secret: str) -> str:
    """Say what to do with the picture of a new authenticator; the secret is in it."""
    grouped = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return (
        "Scan this with an authenticator app, or type into it:\n"
        f"<code>{escape(grouped)}</code>\n\n"
        "Then press the button. I take the picture away."
    )


def security(*, has_pin: bool, has_authenticator: bool, locked_until: UnixMs, now: UnixMs) -> str:
    """Show how a person proves itself."""
    lines = [
        "<b>Security</b>\n",
        f"PIN: {'set' if has_pin else 'not chosen yet'}",
        f"Authenticator: {'set' if has_authenticator else 'none'}",
    ]
    if locked_until > now:
        lines.append(f"🔒 Locked: opens {words.until(locked_until, now)}.")
    lines.append(
        "\nAfter a change, more than what is free to leave each day waits as if the address "
        "were new."
    )
    return "\n".join(lines)


def needs_authenticator() -> str:
    """Say that so much needs an authenticator."""
    return (
        "🔑 <b>So much needs an authenticator.</b>\n"
        "An app on your phone that shows 6 digits: whoever has only your chat has not enough."
    )
