"""Making buttons: the keyboards of the questions by which a person makes a room.

In        the limits of this place, what was chosen so far.
Out       rows of keys.
Promises  pure; nothing is offered that the limits would refuse.
"""

from collections.abc import Iterable, Sequence

from bot import actions
from bot.buttons import CANCEL, Key, Keys
from bot.conversation import Step
from bot.phrases import words
from rooms.asset import Asset
from rooms.feed import Feed
from rooms.room import Comparator, RoomLimits
from rooms.units import Lamports

MOVES_BPS = (50, 100, 200, 500)
LENGTHS_MS = tuple(
    1_000 * seconds
    for seconds in (
        20, 30, 60, 120, 300, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400, 604_800, 2_592_000,
    )
)  # fmt: skip
LENGTHS_SHOWN = 8
HOLDS_MS = (0, 3_000, 10_000, 30_000)


def feeds(names: Iterable[str]) -> Keys:
    """Offer feeds."""
    keys = [Key(name, actions.ChooseFeed(feed=name)) for name in names]
    return [*_rows(keys, 2), [CANCEL]]


def moves() -> Keys:
    """Offer moves, up and down."""
    return [
        [
            Key(
                f"{'📈' if sign > 0 else '📉'} {words.move(comparator, size)}",
                actions.ChooseMove(move_bps=sign * size),
            )
            for sign, comparator in ((1, Comparator.UP), (-1, Comparator.DOWN))
        ]
        for size in MOVES_BPS
    ] + [[_change("⬅️ Feed", Step.FEED), CANCEL]]


def offer_move(move_bps: int | None, move_text: str, value: int, value_text: str) -> Keys:
    """Offer the move that a value is now, first; then the value itself."""
    rows = [[Key(f"📌 Keep {value_text}", actions.ChooseValue(value=value))]]
    if move_bps is not None:
        take = Key(f"✅ Use {move_text}", actions.ChooseMove(move_bps=move_bps), style="success")
        rows.insert(0, [take])
    return [*rows, [_change("⬅️ Back", Step.TARGET), CANCEL]]


def locks(limits: RoomLimits) -> Keys:
    """Offer times for bets to stay open."""
    longest = limits.span_ms_max - limits.watch_ms
    offered = [ms for ms in LENGTHS_MS if limits.open_ms_min <= ms < longest][:LENGTHS_SHOWN]
    keys = [Key(words.length(ms), actions.ChooseLock(ms=ms)) for ms in offered]
    return [*_rows(keys, 4), [_change("⬅️ Target", Step.TARGET), CANCEL]]


def deadlines(least_ms: int, limits: RoomLimits) -> Keys:
    """Offer times for a room to end, all of them after the watch has started."""
    offered = [ms for ms in LENGTHS_MS if least_ms <= ms <= limits.span_ms_max][:LENGTHS_SHOWN]
    keys = [Key(words.length(ms), actions.ChooseDeadline(ms=ms)) for ms in offered]
    return [*_rows(keys, 4), [_change("⬅️ Lock", Step.LOCK), CANCEL]]


def assets(names: Iterable[str]) -> Keys:
    """Offer what a room may be in."""
    keys = [Key(name, actions.ChooseAsset(asset=name)) for name in names]
    return [*_rows(keys, 2), [_change("⬅️ Back", Step.REVIEW), CANCEL]]


def stake_limits(limits: RoomLimits, asset: Asset) -> Keys:
    """Offer stake limits."""
    least, most = limits.stake_lamports_min, limits.stake_lamports_max
    some, more = 10 ** (asset.decimals - 1), 10**asset.decimals
    if asset.is_token:
        some, more = 5 * 10**asset.decimals, 100 * 10**asset.decimals
    pairs = [(least, most), (Lamports(some), most), (least, Lamports(more))]
    keys = [
        Key(
            f"{words.money(low, asset)} – {words.money(high, asset)}",
            actions.ChooseLimits(least=low, most=high),
        )
        for low, high in dict.fromkeys(pairs)
        if least <= low <= high <= most
    ]
    return [*_rows(keys, 1), [_change("⬅️ Back", Step.REVIEW), CANCEL]]


def touch_rules(feed: Feed, limits: RoomLimits) -> Keys:
    """Offer touch rules; a feed that needs a hold is not offered the first touch."""
    least = limits.held_ms if feed.is_thin else 0
    keys = [
        Key(words.touch_rule(ms), actions.ChooseTouch(held_ms=ms)) for ms in HOLDS_MS if ms >= least
    ]
    return [*_rows(keys, 2), [_change("⬅️ Back", Step.REVIEW), CANCEL]]


def review_room(order: actions.OpenRoom, *, long_shot: bool, has_tokens: bool = False) -> Keys:
    """Offer to open a room as it was shown, or to change a part of it."""
    text = "⚠️ Open it all the same" if long_shot else "✅ Open the room"
    return [
        [Key(text, order, style=None if long_shot else "success")],
        [_change("✏️ Target", Step.TARGET), _change("✏️ Lock", Step.LOCK)],
        [_change("✏️ Deadline", Step.DEADLINE), _change("✏️ Stake limits", Step.LIMITS)],
        *([[_change("✏️ What is staked", Step.ASSET)]] if has_tokens else []),
        [_change("✏️ Touch rule", Step.TOUCH), CANCEL],
    ]


def _change(text: str, step: Step) -> Key:
    return Key(text, actions.ChangeStep(step=step))


def _rows(keys: Sequence[Key], width: int) -> list[list[Key]]:
    return [list(keys[at : at + width]) for at in range(0, len(keys), width)]
