"""Withdrawal phrases: the questions, the whole to compare, the address book, what still waits.

In        what was typed and chosen, the limits of this place.
Out       HTML.
"""

from collections.abc import Sequence
from html import escape

from bot.phrases import words
from rooms.asset import SOL, Asset
from rooms.units import Lamports, UnixMs
from rooms.withdrawal import WithdrawalLimits
from storage.address_book import BookLine
from storage.cards import WaitingLine


def ask_amount(available: Lamports, limits: WithdrawalLimits, asset: Asset = SOL) -> str:
    """Ask how much shall leave."""
    return (
        "<b>Withdraw</b> · 1 of 3\n\n"
        f"Available: <b>{words.money(available, asset)}</b>\n"
        f"How much? Type an amount such as <code>0.25</code>, at least "
        f"{words.money(limits.lamports_min, asset)}. No fee."
    )


def ask_address(lamports: Lamports, asset: Asset = SOL, *, known: bool) -> str:
    """Ask where it shall go."""
    how = "Choose an address, or paste a new one." if known else "Paste the Solana address."
    return f"<b>Withdraw {words.money(lamports, asset)}</b> · 2 of 3\n\nWhere to? {how}"


def confirm(
    lamports: Lamports, to_address: str, waits_ms: int, asset: Asset = SOL, *, is_known: bool
) -> str:
    """Show a withdrawal in full and ask for its address in part."""
    when = (
        "It leaves at once."
        if waits_ms <= 0
        else f"It waits {words.length(waits_ms)} before it leaves; until then you can call it off."
    )
    new = "" if is_known else "\n🆕 You have never sent there."
    return (
        f"<b>Withdraw {words.money(lamports, asset)}</b> · 3 of 3\n\n"
        f"To:\n<pre>{escape(words.grouped(to_address))}</pre>{new}\n"
        f"Amount: <b>{words.money(lamports, asset)}</b> · fee: none\n"
        f"{when}\n\n"
        "Compare every letter with where you want it to go. Then type the <b>last 6 letters</b> "
        "of the address, as they stand there. This stays open for 2 minutes."
    )


def asked(lamports: Lamports, to_address: str, asset: Asset = SOL) -> str:
    """Say that a withdrawal is on its way."""
    return (
        f"⏳ <b>{words.money(lamports, asset)}</b> to {_short(to_address)}: "
        "on it. You will hear when it has left and when it has landed."
    )


def addresses(lines: Sequence[BookLine]) -> str:
    """Show the address book."""
    if not lines:
        return "<b>Addresses</b>\n\nNone yet. An address is kept when you first withdraw to it."
    shown = "\n".join(
        f"<code>{escape(each.address)}</code>\nsince {words.day(each.added_at)}" for each in lines
    )
    return f"<b>Addresses</b>\n\n{shown}\n\nOne that you forget is new when it comes back."


def waiting(lines: Sequence[WaitingLine], now: UnixMs) -> str:
    """Show withdrawals that have not left yet."""
    if not lines:
        return "<b>Withdrawals</b>\n\nNothing waits to leave."
    shown = "\n".join(
        f"{words.money(each.lamports, each.asset)} to {_short(each.to_address)}: "
        + ("being judged" if each.due_at is None else f"leaves {words.until(each.due_at, now)}")
        for each in lines
    )
    return f"<b>Withdrawals that wait</b>\n\n{shown}"


def _short(address: str) -> str:
    return f"{escape(address[:4])}…{escape(address[-4:])}"
