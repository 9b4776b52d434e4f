"""Answer phrases: the short words that say why nothing happened.

Promises  pure; none is longer than an answer to a press may be, but for the one about keys.
"""

from typing import Final

KEY_DELETED: Final = (
    "🛑 <b>That looked like a private key or seed words, so I deleted it and kept no copy.</b>\n"
    "Nobody from ROOMS will ever ask for one. If it was real, move what it holds to a new wallet."
)
NOT_AN_ORDER: Final = "Forwarded messages are not read as orders. Type it yourself, please."
ONLY_TEXT: Final = "I read plain text and the buttons below my messages. See /help."
NOT_UNDERSTOOD: Final = "I did not get that. See /rooms for what is open, or /help."
CANCELLED: Final = "✖️ Cancelled. Nothing has happened."
NOTHING_TO_CANCEL: Final = "There is nothing to cancel."
PRIVATE_ONLY: Final = "Bets and wallets are for your private chat with me."
NOT_YOURS: Final = "This button belongs to somebody else."
LAPSED: Final = "This button has lapsed. Open it anew."
USED: Final = "Already done."
TOO_FAST: Final = "🐢 One moment, please: that was a lot at once."
WENT_WRONG: Final = (
    "⚠️ Something went wrong on our side, and nothing was done. Please try once more."
)
