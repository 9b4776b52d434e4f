"""Room phrases: the list of rooms, a room's card, the steps of a bet.

In        rooms as a person sees them, live prices, the moment.
Out       HTML.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape

from bot.estimates import Estimate, estimate, own_payout, weight_now
from bot.phrases import words
from rooms.asset import Asset
from rooms.derived import CONDITION
from rooms.index_price import Reason
from rooms.room import Outcome, Room, Side, State, VoidReason
from rooms.units import BPS_WHOLE, Bps, Lamports, UnixMs, Value
from storage.cards import RoomCard
from storage.live import LivePrice

SAMPLE_LAMPORTS = Lamports(100_000_000)
SAMPLE_TOKENS = 10

VOID_WORDS = {
    VoidReason.ONE_SIDED: "everyone was on one side",
    VoidReason.TOO_FEW_BETTORS: "fewer than two people had a stake in it",
    VoidReason.NO_PRICE_AT_WATCH: "there was no index price when the watch started",
    VoidReason.GAP: "prices were missing for too long",
    VoidReason.THIN_COVERAGE: "prices were missing for too much of the watch",
    VoidReason.SILENT_AT_END: "there was no index price at the deadline",
    VoidReason.REACHED_BEFORE_WATCH: "the value was reached before the watch started",
    VoidReason.LOG_ENDED: "prices stopped arriving",
    VoidReason.SOURCES_SCATTERED: "the sources lay too far apart for anyone to know the price",
    VoidReason.TOUCH_MISSED: "a touch was found in the stored prices that was not seen in time",
    VoidReason.FORGOTTEN: "its rule was lost with a database, and every stake was found on chain",
}


def rule(room: Room, unit: str, name: str) -> str:
    """Write the rule that decides a room, as one sentence."""
    feed = escape(name)
    if unit == CONDITION:
        return (
            f"<b>YES</b> if <code>{feed}</code> comes true during the watch, by the deadline. "
            "Otherwise <b>NO</b>."
        )
    for_so_long = f" and holds it for {words.length(room.held_ms)}" if room.held_ms else ""
    if room.move_bps is not None:
        step = words.move(room.comparator, room.move_bps)
        said = f"<b>YES</b> if {feed} touches {step} from the first price of the watch{for_so_long}"
    else:
        wanted = words.aim(room.comparator, None, room.target, room.scale, unit)
        said = f"<b>YES</b> if {feed} touches {wanted}{for_so_long} during the watch"
    return f"{said}, by the deadline; equal counts. Otherwise <b>NO</b>."


def meaning(said: str) -> str:
    """Say what a value of the feed is, where its name does not."""
    return f"<i>{escape(said)}.</i>" if said else ""


def price(live: LivePrice | None, scale: int, unit: str, now: UnixMs) -> str:
    """Write the price now and who stands behind it, or why there is none."""
    if live is None:
        return "no price yet"
    agreed = f"{live.agreeing}/{live.known} sources"
    current = live.value_at(now)
    if current is None:
        return f"waiting: {_why_waiting(live)}"
    return f"<b>{words.value(current, scale, unit)}</b> · {agreed}"


def _why_waiting(live: LivePrice) -> str:
    match live.silence:
        case None:
            return "prices have stopped arriving"
        case Reason.TOO_FEW:
            return f"only {live.agreeing} of {live.known} sources count, {live.quorum} must"
        case Reason.DISAGREE:
            return f"only {live.agreeing} of {live.known} sources agree, {live.quorum} must"
        case Reason.TOO_WIDE:
            return f"{live.agreeing} of {live.known} sources lie too far apart"
        case Reason.JUMP:
            return "the price jumped, and must last first"
        case Reason.CONTRADICTED:
            return "a second opinion contradicts"
        case Reason.CLOCK:
            return "the sources' clocks and ours do not agree"
        case Reason.INPUT_SILENT:
            return "a price that it is made from is missing"
        case Reason.PAST_UNKNOWN:
            return "the past that it looks at is not known yet"
        case Reason.NO_VALUE:
            return "it has no value just now"


def rooms_list(
    cards: Sequence[RoomCard], prices: Mapping[str, LivePrice], now: UnixMs, page: int
) -> str:
    """Write a page of rooms."""
    if not cards:
        return (
            "<b>Rooms</b>\n\nNo room is open right now.\nMake the first one: it takes a minute."
            if page == 0
            else "<b>Rooms</b>\n\nThat was the last page."
        )
    parts = ["<b>Rooms</b>" + (f" · page {page + 1}" if page else "")]
    for nth, card in enumerate(cards, 1):
        room, pool = card.room, card.yes.lamports + card.no.lamports
        live = prices.get(room.feed)
        current = live.value_at(now) if live else None
        shown = "no price now"
        if current is not None:
            shown = words.value(current, room.scale, card.unit)
        clock = (
            f"locks {words.until(room.lock_at, now)}"
            if now < room.lock_at and card.state is State.OPEN
            else f"ends {words.until(room.deadline_at, now)}"
        )
        mine = f" · you: {card.own_side}" if card.own_side else ""
        parts.append(
            f"<b>{nth}. {words.title_of(card)}</b>\n"
            f"{words.life(card.state, card.outcome, room, now)} · {clock} · now {shown}\n"
            f"Pool {words.about(pool, room.money)} {room.asset} · "
            f"YES {words.odds(card.yes.lamports, pool)} · NO {words.odds(card.no.lamports, pool)}"
            f"{mine}"
        )
    return "\n\n".join(parts)


def room_card(card: RoomCard, live: LivePrice | None, now: UnixMs) -> str:
    """Write everything about a room that somebody may want to know before betting."""
    room = card.room
    parts = [
        f"{words.life(card.state, card.outcome, room, now)}\n"
        f"<b>{words.title_of(card)}</b> · room {words.code(room.id)}",
        rule(room, card.unit, card.name),
        meaning(card.meaning),
        "\n".join(_facts(card, live, now)),
        _pool(card, live, now),
    ]
    if card.own_side is not None:
        parts.append(_own(card))
    note = _note(card, now)
    if note:
        parts.append(note)
    return "\n\n".join(part for part in parts if part)


def pick_stake(card: RoomCard, side: Side, available: Lamports, now: UnixMs) -> str:
    """Ask how much to stake."""
    room = card.room
    return (
        f"{words.SIDE_SIGN[side]} <b>{side}</b> on <b>{words.title_of(card)}</b>\n"
        f"{rule(room, card.unit, card.name)}\n\n"
        f"How much? You have {words.money(available, room.money)}.\n"
        f"Here {words.money(room.stake_lamports_min, room.money)} to "
        f"{words.money(room.stake_lamports_max, room.money)} "
        f"a person · locks {words.until(room.lock_at, now)}"
    )


def type_stake(card: RoomCard, side: Side) -> str:
    """Ask for an amount to be typed."""
    return (
        f"{words.SIDE_SIGN[side]} <b>{side}</b> on <b>{words.title_of(card)}</b>\n\n"
        f"Type the amount in {card.room.asset}, such as "
        f"<code>{'2.5' if card.room.money.is_token else '0.25'}</code>."
    )


def review_bet(
    card: RoomCard, side: Side, lamports: Lamports, weight: Bps, quote: Estimate, now: UnixMs
) -> str:
    """Show a bet before it is placed."""
    room = card.room
    adding = (
        f" (you add to {words.money(card.own_lamports, card.room.money)})" if card.own_side else ""
    )
    lines = [
        "<b>Your bet</b>",
        "",
        f"{words.SIDE_SIGN[side]} <b>{side} · {words.money(lamports, card.room.money)}</b>{adding}",
        f"{words.title_of(card)} · room {words.code(room.id)}",
        f"Locks {words.until(room.lock_at, now)} · ends {words.moment(room.deadline_at, now)}",
        "",
        _quote(side, lamports, quote, room.money),
    ]
    if card.unit == CONDITION:
        lines.append("⚠️ A condition: late bets count as much as early ones.")
    elif not room.is_move:
        lines.append(f"Weight now ×{words.times(weight).removesuffix('×')}: late bets earn less.")
    lines += [f"Fees: {words.fees(room)}.", "A bet cannot be taken back once it is placed."]
    return "\n".join(lines)


def bet_asked(card: RoomCard, side: Side, lamports: Lamports) -> str:
    """Say that a bet is on its way."""
    return (
        f"⏳ <b>{side} · {words.money(lamports, card.room.money)}</b> on {words.title_of(card)}\n"
        f"Room {words.code(card.room.id)}: taking your bet. You will hear in a moment."
    )


def _facts(card: RoomCard, live: LivePrice | None, now: UnixMs) -> list[str]:
    room = card.room
    lines = []
    if card.outcome is None:
        lines.append(f"Now: {price(live, room.scale, card.unit, now)}")
    if room.is_move and room.target is not None:
        lines.append(f"Target: <b>{words.value(room.target, room.scale, card.unit)}</b>")
    if card.value is not None:
        lines.append(f"Decided at: <b>{words.value(card.value, room.scale, card.unit)}</b>")
    if card.state is State.DRAFT:
        lines.append(f"Bets lock: {words.length(room.lock_at - room.opened_at)} after opening")
        lines.append(f"Deadline: {words.length(room.deadline_at - room.opened_at)} after opening")
    elif card.outcome is None:
        if now < room.lock_at:
            lines.append(f"Bets lock: <b>{words.until(room.lock_at, now)}</b>")
        if now < room.watch_at:
            lines.append(f"Watch starts: {words.until(room.watch_at, now)}")
        lines.append(
            f"Deadline: {words.moment(room.deadline_at, now)} "
            f"({words.until(room.deadline_at, now)})"
        )
    lines.append(f"Touch rule: {words.touch_rule(room.held_ms)} · fees: {words.fees(room)}")
    lines.append(
        f"Stakes: {words.money(room.stake_lamports_min, room.money)} to "
        f"{words.money(room.stake_lamports_max, room.money)}"
        + (f" · {card.bettors} of {room.seats} seats" if room.seats else "")
    )
    if room.pool_lamports_max is not None:
        lines.append(
            f"All stakes together: at most {words.money(room.pool_lamports_max, room.money)}"
        )
    if card.evidence_hash:
        lines.append(words.evidence(room.id, card.evidence_hash))
    return lines


def _pool(card: RoomCard, live: LivePrice | None, now: UnixMs) -> str:
    room, total = card.room, card.yes.lamports + card.no.lamports
    if not total and card.outcome is None:
        return "No stakes yet." + (" Be the first." if card.state is State.OPEN else "")
    rows = [
        ("", *Side),
        _row(f"Pool {room.asset}", lambda side: words.column(card.side(side).lamports, room.money)),
        _row("Share", lambda side: words.share_of(card.side(side).lamports, total)),
        _row("Odds", lambda side: words.odds(card.side(side).lamports, total)),
    ]
    if card.state is State.OPEN and now < room.lock_at:
        current = live.value_at(now) if live else None
        weights = {side: weight_now(room, side, current, now) for side in Side}
        if not room.is_move and card.unit != CONDITION:
            rows.append(_row("Weight now", lambda side: words.times(weights[side])))
        usual = SAMPLE_LAMPORTS
        if room.money.is_token:
            usual = Lamports(SAMPLE_TOKENS * 10**room.asset_decimals)
        sample = Lamports(max(usual, room.stake_lamports_min))
        quotes = {side: estimate(card, side, sample, weights[side]) for side in Side}
        shown = partial(words.column, asset=room.money)
        rows += [
            _row(f"{words.about(sample, room.money)} brings", lambda side: shown(quotes[side].now)),
            _row("· own side +50 %", lambda side: shown(quotes[side].low)),
            _row("· other side +50 %", lambda side: shown(quotes[side].high)),
        ]
    people = "1 bettor" if card.bettors == 1 else f"{card.bettors} bettors"
    sealed = "sealed" if card.sealed_at is not None else "not sealed yet"
    return f"{people} · pool {sealed}\n{words.table(rows)}"


def _row(name: str, cell: Callable[[Side], str]) -> tuple[str, ...]:
    return (name, *(cell(side) for side in Side))


def _own(card: RoomCard) -> str:
    assert card.own_side is not None
    said = (
        f"{words.SIDE_SIGN[card.own_side]} You: <b>{card.own_side} · "
        f"{words.money(card.own_lamports, card.room.money)}</b>"
    )
    if card.outcome is None:
        payout = words.about(own_payout(card), card.room.money)
        said += f" → about {payout} {card.room.asset} if {card.own_side} wins"
    return said


def _note(card: RoomCard, now: UnixMs) -> str:
    room = card.room
    if card.outcome is Outcome.VOID:
        why = VOID_WORDS[card.void_reason] if card.void_reason else "it could not be decided"
        return f"Void: {why}. Every stake goes back in full, without a fee."
    if card.state is State.DRAFT:
        return (
            "Warming up: a room opens once its feed has had a price for a while. "
            "The times count from then."
        )
    if card.state is State.OPEN and now < room.lock_at:
        if room.is_move:
            return "The target is fixed when the watch starts, so nobody can bet knowing it."
        if card.unit == CONDITION:
            return (
                "⚠️ Condition: nobody reckons how likely it is, so a late bet counts as much as an "
                "early one, and who bets last knows most. Coming true before the watch starts, it "
                "gives every stake back."
            )
        return (
            "Fixed value: late bets earn less, because the losing pool is shared by stake × "
            "weight. Who bets last may still know more than the weights do; a move is the fairer "
            "room. Reached before the watch starts, it gives every stake back."
        )
    if card.state is State.LOCKED and now < room.watch_at:
        return "Bets are closed. Stakes that landed in time are being sealed."
    return ""


def _quote(side: Side, lamports: Lamports, quote: Estimate, asset: Asset) -> str:
    if quote.now == lamports:
        return (
            f"If {side} wins now, your stake comes back: nobody is on the other side yet. "
            "If it stays so, the room is void and every stake goes back."
        )
    return (
        f"If {side} wins: about <b>{words.about(quote.now, asset)} {asset.name}</b> "
        f"({words.about(quote.low, asset)} if your side grows by half, "
        f"{words.about(quote.high, asset)} if the other does). Never less than your stake."
    )


def settled_line(outcome: Outcome, reason: str | None) -> str:
    """Say what a room became."""
    if outcome is Outcome.VOID:
        known = {each.value: said for each, said in VOID_WORDS.items()}
        why = known.get(reason or "", "it could not be decided")
        return f"↩️ <b>Void</b>: {why}. Every stake goes back in full."
    return f"{words.OUTCOME_SIGN[outcome]} <b>{outcome}</b>"


def fixed_as_move(price_now: Value, target: Value) -> int:
    """Return the signed move, in basis points, that a value is from the price now."""
    assert price_now > 0, "a price is positive"
    doubled = 2 * (target - price_now) * BPS_WHOLE + price_now
    return doubled // (2 * price_now)
