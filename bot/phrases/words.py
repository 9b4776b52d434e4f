"""Words: the small parts of every phrase: amounts, values, moments, names.

Promises  pure; an estimate is never rounded up; what people wrote is escaped.
"""

from datetime import UTC, datetime
from html import escape
from typing import Final

from rooms.asset import SOL, Asset
from rooms.decimal_text import text_from_whole
from rooms.derived import CONDITION
from rooms.room import Comparator, Outcome, Room, Side, State, room_code
from rooms.units import BPS_WHOLE, Bps, Lamports, Signature, UnixMs, Value
from storage.cards import RoomCard

ESTIMATE_DECIMALS: Final = 4
DAY_MS = 86_400_000

SIDE_SIGN = {Side.YES: "🟢", Side.NO: "🔴"}
OUTCOME_SIGN = {Outcome.YES: "✅", Outcome.NO: "⛔", Outcome.VOID: "↩️"}


def money(lamports: int, asset: Asset = SOL) -> str:
    """Write an amount exactly, with what it is counted in."""
    return asset.text(lamports)


def about(lamports: int, asset: Asset = SOL) -> str:
    """Write an estimate of an amount, rounded down; without the unit."""
    assert lamports >= 0, "an estimate is of something to get"
    shown = _in_estimate(lamports, asset)
    if lamports and not shown:
        return "<0.0001".replace("<", "&lt;")
    return text_from_whole(shown, ESTIMATE_DECIMALS)


def column(lamports: int, asset: Asset = SOL) -> str:
    """Write an estimate of an amount for a column of numbers: rounded down, four places always."""
    whole, fraction = divmod(_in_estimate(lamports, asset), 10**ESTIMATE_DECIMALS)
    return f"{whole}.{fraction:0{ESTIMATE_DECIMALS}d}"


def _in_estimate(lamports: int, asset: Asset) -> int:
    unit: int = 10**asset.decimals
    return lamports * 10**ESTIMATE_DECIMALS // unit


def value(whole: Value | int, scale: int, unit: str) -> str:
    """Write a value of a feed: grouped, with at least two decimals if it has any scale."""
    if unit == CONDITION:
        return "true" if whole else "not true"
    digits, _, places = text_from_whole(whole, scale).partition(".")
    text = f"{int(digits):,}"
    if scale:
        text += f".{places.ljust(min(2, scale), '0')}"
    return f"${text}" if unit == "USD" else f"{text} {escape(unit)}".strip()


def percent(bps: int) -> str:
    """Write basis points as a percentage, without a sign of its own."""
    return f"{text_from_whole(bps, 2)} %"


def move(comparator: Comparator, bps: Bps | int) -> str:
    """Write a move with its sign."""
    return f"{'+' if comparator is Comparator.UP else '−'}{percent(abs(bps))}"


def times(bps: int) -> str:
    """Write a ratio in basis points, such as 1.95×, rounded down."""
    return f"{text_from_whole(bps // 100, 2)}×"


def length(ms: int) -> str:
    """Write a length of time by its two largest parts, rounded up to whole seconds."""
    seconds = -(-max(ms, 0) // 1_000)
    parts = []
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def until(at: UnixMs | int, now: UnixMs | int) -> str:
    """Say how far ahead a moment lies."""
    return f"in {length(at - now)}" if at > now else "now"


def moment(at: UnixMs | int, now: UnixMs | int) -> str:
    """Write a moment in UTC: the time alone while it is less than a day away."""
    then = datetime.fromtimestamp(at / 1_000, UTC)
    return then.strftime("%H:%M:%S UTC" if abs(at - now) < DAY_MS else "%d %b %H:%M UTC")


def day(at: UnixMs | int) -> str:
    """Write a moment for a list."""
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%d %b %H:%M")


def evidence(room: int, hash_: str) -> str:
    """Say what a settlement follows from, and how anybody checks it."""
    return (
        f"Evidence: <code>{escape(hash_)}</code>\n"
        f"Check it: <code>rooms verify {room_code(room)}</code>"
    )


def code(room: int) -> str:
    """Write a room's name."""
    return f"<code>{room_code(room)}</code>"


def grouped(address: str) -> str:
    """Write an address in groups of four, to be compared by eye."""
    return " ".join(address[at : at + 4] for at in range(0, len(address), 4))


def proof(signature: Signature | str | None, explorer: str | None) -> str:
    """Write a transaction: a link where there is an explorer, its signature otherwise."""
    if not signature:
        return ""
    short = escape(signature[:8] + "…" + signature[-8:])
    if explorer:
        return f'<a href="{escape(explorer.format(signature=signature))}">{short}</a>'
    return f"<code>{escape(signature)}</code>"


def aim(
    comparator: Comparator, move_bps: Bps | None, target: Value | None, scale: int, unit: str
) -> str:
    """Write what a room is about in a few signs."""
    if move_bps is not None:
        return move(comparator, move_bps)
    assert target is not None, "a room has a move or a fixed value"
    return f"{'≥' if comparator is Comparator.UP else '≤'} {value(target, scale, unit)}"


def title(room: Room, unit: str, name: str) -> str:
    """Write a room in one short line; what it is about goes by ``name``."""
    if unit == CONDITION:
        return escape(name)
    wanted = aim(room.comparator, room.move_bps, room.target, room.scale, unit)
    return f"{escape(name)} {wanted}"


def title_of(card: RoomCard) -> str:
    """Write the room of a card in one short line."""
    return title(card.room, card.unit, card.name)


def life(state: State, outcome: Outcome | None, room: Room, now: UnixMs) -> str:
    """Say in two words where a room is."""
    match state:
        case State.DRAFT:
            return "🟡 Warming up"
        case State.OPEN:
            return "🟢 Open" if now < room.lock_at else "🔒 Locking"
        case State.LOCKED:
            return "👀 Watching" if now >= room.watch_at else "🔒 Locked"
        case State.DECIDED | State.SETTLED | State.PAID:
            assert outcome is not None, "what is decided has an outcome"
            tail = {State.DECIDED: "decided", State.SETTLED: "settled", State.PAID: "paid"}[state]
            return f"{OUTCOME_SIGN[outcome]} {outcome} · {tail}"


def touch_rule(held_ms: int) -> str:
    """Name a touch rule."""
    return f"held {length(held_ms)}" if held_ms else "instant"


def fees(room: Room) -> str:
    """Say what is taken, and from what."""
    whole = room.protocol_fee_bps + room.host_fee_bps
    if not whole:
        return "none"
    return (
        f"{percent(whole)} of the losing pool ({percent(room.protocol_fee_bps)} protocol, "
        f"{percent(room.host_fee_bps)} host)"
    )


def table(rows: list[tuple[str, ...]]) -> str:
    """Write rows as columns: the first to the left, the others to the right."""
    widths = [max(len(_seen(row[at])) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0] + " " * (widths[0] - len(_seen(row[0])))]
        cells += [" " * (widths[at] - len(_seen(row[at]))) + row[at] for at in range(1, len(row))]
        lines.append("  ".join(cells).rstrip())
    return "<pre>" + "\n".join(lines) + "</pre>"


def share_of(lamports: Lamports | int, whole: Lamports | int) -> str:
    """Write a part of a whole in per cent, rounded to the nearest."""
    return f"{(100 * lamports + whole // 2) // whole} %" if whole else "–"


def odds(own: int, whole: int) -> str:
    """Write what one staked on a side stands against."""
    return times(whole * BPS_WHOLE // own) if own else "–"


def _seen(cell: str) -> str:
    return cell.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
