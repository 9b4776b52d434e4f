"""Making phrases: the questions by which a person makes a room.

In        the draft so far, the feed and its price, the limits of this place.
Out       HTML.
"""

from collections.abc import Mapping
from html import escape

from bot.conversation import Draft
from bot.phrases import words
from bot.phrases.room import meaning, price
from rooms.asset import Asset
from rooms.derived import CONDITION
from rooms.expression.reading import Misread
from rooms.feed import Feed
from rooms.room import Comparator, Room, RoomLimits
from rooms.units import Bps, UnixMs, Value
from storage.live import LivePrice

EXAMPLE_DIGITS = 4


def ask_feed(feeds: Mapping[str, Feed]) -> str:
    """Ask which price the room is about."""
    if not feeds:
        return "<b>New room</b>\n\nThere is no feed to make a room on yet. Try again later."
    return (
        "<b>New room</b> · 1 of 4\n\nWhich price is it about?\n"
        "You can also type a ratio or a condition, such as\n"
        "<code>price(SOL) / price(ETH)</code> or\n"
        "<code>change(SOL, 1h) &gt;= 5% and price(BTC) &gt; 90000</code>."
    )


def misread(misread: Misread) -> str:
    """Show where an expression stops to mean something."""
    shown = f"<pre>{escape(misread.pointed())}</pre>\n" if misread.text else ""
    return f"{shown}⚠️ {escape(misread.sentence)}"


def ask_target(draft: Draft, feed: Feed, live: LivePrice | None, now: UnixMs) -> str:
    """Ask what the price must do."""
    return (
        f"<b>New room</b> · 2 of 4\n{chosen(draft, feed)}\n\n"
        f"Now: {price(live, feed.scale, feed.unit, now)}\n\n"
        "How far must it move from the first price of the watch? "
        "Choose, or type a move such as <code>+2%</code> or <code>-1.5%</code>.\n"
        f"You can also type a value such as <code>{example(feed, live, now)}</code>."
    )


def offer_move(draft: Draft, feed: Feed, target: Value, price_now: Value, bps: int) -> str:
    """Offer the move that a typed value is now, before the value itself."""
    shown = words.value(target, feed.scale, feed.unit)
    current = words.value(price_now, feed.scale, feed.unit)
    step = _signed(bps)
    return (
        f"<b>New room</b> · 2 of 4\n{chosen(draft, feed)}\n\n"
        f"{shown} is <b>{step}</b> from {current} now.\n\n"
        f"<b>{step}</b> is the fairer room: the target is fixed when the watch starts, so every "
        "bet counts alike.\n"
        f"<b>{shown}</b> stays where it is: late bets earn less, and reaching it before the watch "
        "starts gives every stake back."
    )


def ask_lock(draft: Draft, feed: Feed, limits: RoomLimits) -> str:
    """Ask how long bets are taken."""
    return (
        f"<b>New room</b> · 3 of 4\n{chosen(draft, feed)}\n\n"
        f"How long can people bet? At least {words.length(limits.open_ms_min)}.\n"
        "Choose, or type a time such as <code>20s</code>, <code>5m</code> or <code>2h</code>."
    )


def ask_deadline(draft: Draft, feed: Feed, least_ms: int) -> str:
    """Ask when the room ends."""
    return (
        f"<b>New room</b> · 4 of 4\n{chosen(draft, feed)}\n\n"
        "When does it end, counted from opening? "
        f"Not before {words.length(least_ms)}.\n"
        "Choose, or type a time such as <code>10m</code> or <code>1d</code>."
    )


def ask_asset(draft: Draft, feed: Feed) -> str:
    """Ask what is staked."""
    return (
        f"<b>New room</b> · stakes\n{chosen(draft, feed)}\n\n"
        "What do people stake? It stays so for the whole room."
    )


def ask_limits(draft: Draft, feed: Feed, limits: RoomLimits, asset: Asset) -> str:
    """Ask for stake limits."""
    return (
        f"<b>New room</b> · stake limits\n{chosen(draft, feed)}\n\n"
        f"Between {words.money(limits.stake_lamports_min, asset)} and "
        f"{words.money(limits.stake_lamports_max, asset)} a person.\n"
        f"Choose, or type two amounts such as <code>{'5 - 100' if asset.is_token else '0.1 - 2'}"
        "</code>."
    )


def ask_touch(draft: Draft, feed: Feed) -> str:
    """Ask what counts as a touch."""
    return (
        f"<b>New room</b> · touch rule\n{chosen(draft, feed)}\n\n"
        "<b>Instant</b>: the first index price at or past the target decides.\n"
        "<b>Held</b>: it must stay there for so long, without a break.\n"
        "Choose, or type a time such as <code>5s</code>."
    )


def review(
    room: Room,
    feed: Feed,
    chance: Bps | None,
    before_watch: Bps | None,
    weights: tuple[Bps, Bps] | None,
    *,
    long_shot: bool,
) -> str:
    """Show a room before it is asked for.

    Args:
        room: what the request would become now.
        feed: what it is about.
        chance: how likely YES is; None where there is no price to say it from.
        before_watch: for a fixed value, how likely it is reached before the watch.
        weights: for a fixed value, what a stake on YES and one on NO weigh now.
        long_shot: whether the chance is so small or great that it needs a confirmation.
    """
    wanted = words.title(room, feed.unit, feed.expression or feed.name)
    parts = [
        f"<b>Your room</b>\n\n<b>{wanted}</b>",
        f"Bets lock {words.length(room.lock_at - room.opened_at)} after opening\n"
        f"Watch starts {words.length(room.watch_at - room.lock_at)} later\n"
        f"Ends {words.length(room.deadline_at - room.opened_at)} after opening\n"
        f"Touch rule: {words.touch_rule(room.held_ms)}\n"
        f"Stakes {words.money(room.stake_lamports_min, room.money)} to "
        f"{words.money(room.stake_lamports_max, room.money)}\n"
        f"Fees {words.fees(room)}; the host's part is yours",
    ]
    if feed.unit == CONDITION:
        parts.append(
            "⚠️ Condition: nobody reckons how likely it is, so a late bet counts as much as an "
            "early one, and who bets last knows most. Coming true before the watch starts, it "
            "gives every stake back."
        )
        return "\n\n".join(parts)
    if feed.meaning:
        parts.append(meaning(f"{feed.name} is {feed.meaning}"))
    if chance is None:
        parts.append("There is no price of it right now, so nobody can say how likely YES is.")
    else:
        parts.append(f"A driftless market would say YES in about {words.percent(chance)} of cases.")
    if before_watch is not None and weights is not None:
        parts.append(
            f"Fixed value: late bets earn less. A stake weighs "
            f"{words.times(weights[0])} on YES and {words.times(weights[1])} on NO now.\n"
            f"Chance that it is reached before the watch, which gives every stake back: "
            f"about {words.percent(before_watch)}."
        )
    if long_shot:
        parts.append(
            "⚠️ <b>That is nearly certain to go one way.</b> People may not take the other side, "
            "and a room with one side is void. Make it all the same?"
        )
    return "\n\n".join(parts)


def room_asked() -> str:
    """Say that a room is on its way."""
    return (
        "⏳ <b>Your room is being opened.</b>\n"
        "It gets its own Solana address and waits for its feed to be warm. "
        "I will tell you, with a link to share."
    )


def chosen(draft: Draft, feed: Feed) -> str:
    """Show what has been chosen so far."""
    parts = [escape(feed.expression or feed.name)]
    if draft.move_bps is not None:
        parts.append(_signed(draft.move_bps))
    if draft.fixed_value is not None and feed.unit != CONDITION:
        parts.append(words.value(draft.fixed_value, feed.scale, feed.unit))
    if draft.lock_in_ms is not None:
        parts.append(f"locks after {words.length(draft.lock_in_ms)}")
    if draft.deadline_in_ms is not None:
        parts.append(f"ends after {words.length(draft.deadline_in_ms)}")
    return " · ".join(f"<b>{part}</b>" for part in parts)


def example(feed: Feed, live: LivePrice | None, now: UnixMs) -> str:
    """Return a value that a person might type: a little above the price now."""
    current = live.value_at(now) if live else None
    near = current + current // 50 if current else 205 * 10**feed.scale
    power = 10 ** max(0, len(str(near)) - EXAMPLE_DIGITS)
    return words.value(near // power * power, feed.scale, "").strip().replace(",", "")


def _signed(bps: int) -> str:
    return words.move(Comparator.UP if bps > 0 else Comparator.DOWN, bps)
