"""Person phrases: welcome, help, rules, wallet, deposits, bets and history.

In        a person's wallet, bets and history, the limits of this place.
Out       HTML. The one address in ``<code>`` of a wallet is the person's own.
"""

from collections.abc import Sequence
from html import escape

from bot.phrases import words
from rooms.room import Outcome, RoomLimits, State
from rooms.units import UnixMs
from storage.cards import BetLine, HistoryLine, Invited, Wallet

_ENTRY_WORDS = {
    "deposit": "Deposit",
    "hold:stake": "Stake",
    "hold:withdrawal": "Withdrawal",
    "release:stake": "Stake given back",
    "release:withdrawal": "Withdrawal given back",
    "payout": "Payout",
    "refund": "Refund",
    "earning": "Earned, hosting or invitations",
    "undo": "Undone by the chain",
}


def welcome(name: str, wallet: Wallet, *, new: bool) -> str:
    """Greet a person."""
    hello = f"👋 <b>Welcome, {escape(name)}!</b>" if new else f"👋 <b>Hello, {escape(name)}.</b>"
    pitch = (
        "ROOMS are bets on one sentence: <i>this price gets there before the deadline.</i>\n"
        "Stake SOL on YES or NO. The instant the index price crosses, the pool is divided "
        "and winners are paid on Solana."
    )
    if wallet.address is None:
        return f"{hello}\n\n{pitch}\n\n⏳ Your wallet is being made; I will tell you in a moment."
    return (
        f"{hello}\n\n{pitch}\n\n"
        f"Your wallet: <code>{escape(wallet.address)}</code>\n"
        f"Available: <b>{words.money(wallet.available)}</b>"
    )


def help_text() -> str:
    """Say what can be done."""
    return (
        "<b>What you can do</b>\n\n"
        "/rooms – rooms that are open now\n"
        "/create – make a room of your own\n"
        "/bets – your bets and what they brought\n"
        "/won – only those that won\n"
        "/wallet – what you have, deposit, withdraw\n"
        "/history – every change of your balance\n"
        "/withdraw – send SOL to an address\n"
        "/addresses – where you send to\n"
        "/security – your PIN and your authenticator\n"
        "/referrals – invite people, earn a share\n"
        "/rules – how rooms are decided and paid\n"
        "/cancel – leave whatever was begun\n\n"
        "Nobody from ROOMS will ever write to you first, or ask for a key or seed words."
    )


def rules(limits: RoomLimits) -> str:
    """Say how rooms are decided and paid."""
    return (
        "<b>How a room works</b>\n\n"
        "1. <b>Open.</b> Stake on YES or NO. One side per person; you may add to it.\n"
        f"2. <b>Lock.</b> Bets close. Stakes that reach the room's own Solana address within "
        f"{words.length(limits.cut_ms)} are in the pool; a later one goes back in full.\n"
        f"3. <b>Watch.</b> {words.length(limits.watch_ms)} after lock. The target of a move is "
        "fixed by the first index price, so nobody can bet knowing it.\n"
        "4. <b>Decided.</b> Touching the target means YES at once; the deadline means NO. "
        "Equal counts as touched.\n"
        "5. <b>Paid.</b> Winners get their stake back and share the losing pool less fees "
        f"({words.percent(limits.protocol_fee_bps)} protocol, "
        f"{words.percent(limits.host_fee_bps)} host). Never less than the stake.\n\n"
        "The index price is the median of independent sources that agree; too few means "
        "silence, never a guess. Missing prices never mean NO: such a room is void.\n"
        "A void room gives every stake back exactly, without a fee. "
        "So does one where everyone was on the same side.\n\n"
        "Fixed values: late bets earn less, because the losing pool is shared by stake × weight."
    )


def wallet_card(wallet: Wallet, tokens: Sequence[Wallet] = ()) -> str:
    """Show what a person has, of SOL and of each token."""
    if wallet.address is None:
        return "<b>Wallet</b>\n\n⏳ It is being made; I will tell you in a moment."
    tables = [words.table(_rows_of(each)) for each in (wallet, *tokens)]
    shown = "\n".join(tables)
    return f"<b>Wallet</b>\n<code>{escape(wallet.address)}</code>\n\n{shown}"


def _rows_of(wallet: Wallet) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("Available", words.money(wallet.available, wallet.asset))]
    rows += [
        (name, words.money(lamports, wallet.asset))
        for name, lamports in (
            ("Reserved", wallet.held),
            ("In rooms", wallet.in_rooms),
            ("On its way to you", wallet.coming),
            ("Earned" if wallet.asset.is_token else "Earned, comes soon", wallet.earned),
        )
        if lamports
    ]
    return rows


def deposit(wallet: Wallet, tokens: Sequence[str] = ()) -> str:
    """Say how lamports come in."""
    if wallet.address is None:
        return "<b>Deposit</b>\n\n⏳ Your wallet is being made; I will tell you in a moment."
    what = " or ".join(("SOL", *tokens))
    return (
        "<b>Deposit</b>\n\n"
        f"Send {what} to your own address:\n"
        f"<code>{escape(wallet.address)}</code>\n\n"
        f"Only {what}, on Solana. I will tell you as soon as it has arrived. No fee."
    )


def history(lines: Sequence[HistoryLine], page: int, explorer: str | None) -> str:
    """Show a page of what changed."""
    if not lines:
        return "<b>History</b>\n\nNothing yet." if page == 0 else "<b>History</b>\n\nNo more."
    parts = ["<b>History</b>" + (f" · page {page + 1}" if page else "")]
    for line in lines:
        sign = "+" if line.lamports > 0 else "−"
        signature = line.signature or _deposit_signature(line.key)
        proof = words.proof(signature, explorer)
        parts.append(
            f"{words.day(line.at)} · {_entry_words(line.key)}\n"
            f"<b>{sign}{words.money(abs(line.lamports), line.asset)}</b>"
            f" → {words.money(line.balance, line.asset)}" + (f"\n{proof}" if proof else "")
        )
    return "\n\n".join(parts)


def bets(
    lines: Sequence[BetLine], page: int, now: UnixMs, explorer: str | None, *, won: bool
) -> str:
    """Show a page of a person's bets."""
    title = "Rooms won" if won else "Your bets"
    if not lines:
        none = "None yet." if page == 0 else "No more."
        return f"<b>{title}</b>\n\n{none}"
    parts = [f"<b>{title}</b>" + (f" · page {page + 1}" if page else "")]
    parts += [_bet(line, now, explorer) for line in lines]
    return "\n\n".join(parts)


def referrals(link: str, invited: Invited) -> str:
    """Show the invitation link and what it brought."""
    people = "1 person" if invited.people == 1 else f"{invited.people} people"
    return (
        "<b>Referrals</b>\n\n"
        f"{escape(link)}\n\n"
        "You get 15 % of the protocol's fee on the bets of whoever starts by your link, "
        "for as long as they bet.\n\n"
        f"Came by your link: <b>{people}</b>\n"
        f"Earned, hosting included: <b>{words.money(invited.earned)}</b>\n"
        "It comes to your wallet by itself."
    )


def _bet(line: BetLine, now: UnixMs, explorer: str | None) -> str:
    wanted = words.aim(line.comparator, line.move_bps, line.target, line.scale, line.unit)
    staked = words.money(line.staked, line.asset)
    head = (
        f"{words.SIDE_SIGN[line.side]} <b>{line.side} · {staked}</b> · "
        f"{escape(line.feed)} {wanted}\nRoom {words.code(line.room)} · "
    )
    if line.outcome is None:
        tail = (
            f"ends {words.until(line.deadline_at, now)}"
            if line.deadline_at > now
            else "being decided"
        )
        return head + tail
    sign = words.OUTCOME_SIGN[line.outcome]
    if line.paid is not None:
        verb = "came back" if line.outcome is Outcome.VOID else "paid"
        proof = words.proof(line.signature, explorer)
        paid = words.money(line.paid, line.asset)
        return f"{head}{sign} {line.outcome} · {verb} <b>{paid}</b>\n{proof}"
    if line.outcome in (Outcome(line.side), Outcome.VOID):
        waits = "not yet settled" if line.state is State.DECIDED else "payment on its way"
        return f"{head}{sign} {line.outcome} · {waits}"
    return f"{head}{sign} {line.outcome} · lost"


def _entry_words(key: str) -> str:
    kind, _, rest = key.partition(":")
    cause = rest.partition(":")[0]
    return _ENTRY_WORDS.get(f"{kind}:{cause}") or _ENTRY_WORDS.get(kind) or escape(kind)


def _deposit_signature(key: str) -> str | None:
    kind, _, rest = key.partition(":")
    return rest.partition(":")[0] if kind == "deposit" else None
