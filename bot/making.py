"""Making: the questions by which a person makes a room, and the asking for it.

In        a person's turn; what was pressed or typed; the draft so far.
Out       the next question, a review, and in the end one room request.
Promises  a part can be changed without losing the others; what is asked for is what was shown;
          a target nearly certain to go one way is confirmed with a warning in sight.
"""

from html import unescape

import msgspec

from bot import actions, assets, buttons, making_buttons, typed
from bot.conversation import Draft, MakingRoom, Step
from bot.estimates import is_long_shot
from bot.phrases import making as phrases
from bot.phrases import words
from bot.phrases.room import fixed_as_move
from bot.turn import Turn
from rooms.decimal_text import text_from_whole
from rooms.derived import CONDITION, derived_feed
from rooms.expression.form import new_formula
from rooms.expression.reading import Misread
from rooms.expression.tree import Comparison, Number, Series, Sign
from rooms.feed import Feed
from rooms.liquidity import SOL_FEED, side_lamports
from rooms.refusal import Refused
from rooms.room import (
    HELD_MS_MAX,
    Comparator,
    Room,
    RoomRequest,
    Side,
    reached,
    room_from_request,
)
from rooms.units import BPS_WHOLE, Bps, Lamports, Value
from rooms.weight import chance_bps, weight_bps
from storage import derivations, feeds, intents

DEADLINE_AFTER_WATCH_MS = 1_000


async def begin(turn: Turn) -> None:
    """Ask the first question."""
    await _ask(turn, Draft())


async def change(turn: Turn, step: Step) -> None:
    """Ask one question again."""
    await _ask(turn, _draft(turn), step)


async def choose_feed(turn: Turn, name: str) -> None:
    """Take a feed; what depended on another one is asked again."""
    await _feed(turn, name)
    await feeds.draft(turn.connection, name)
    draft = _draft(turn, strict=False)
    if draft.feed != name:
        draft = msgspec.structs.replace(draft, feed=name, move_bps=None, fixed_value=None)
    await _ask(turn, draft)


async def choose_move(turn: Turn, move_bps: int) -> None:
    """Take a move."""
    limits = turn.place.settings.limits
    if not limits.move_bps_min <= abs(move_bps) <= limits.move_bps_max:
        raise Refused(
            "bad_move",
            f"A move is between {words.percent(limits.move_bps_min)} and "
            f"{words.percent(limits.move_bps_max)}, up or down.",
        )
    draft = msgspec.structs.replace(_draft(turn), move_bps=move_bps, fixed_value=None)
    await _ask(turn, draft)


async def choose_value(turn: Turn, value: int) -> None:
    """Keep the fixed value that was typed."""
    draft = msgspec.structs.replace(_draft(turn), fixed_value=Value(value), move_bps=None)
    await _ask(turn, draft)


async def choose_lock(turn: Turn, ms: int) -> None:
    """Take how long bets are open; a deadline that no longer fits is asked again."""
    limits = turn.place.settings.limits
    if ms < limits.open_ms_min:
        least = words.length(limits.open_ms_min)
        raise Refused("lock_too_soon", f"Bets must stay open at least {least}.")
    if ms + limits.watch_ms >= limits.span_ms_max:
        most = words.length(limits.span_ms_max)
        raise Refused("deadline_too_late", f"A room lasts at most {most}.")
    draft = msgspec.structs.replace(_draft(turn), lock_in_ms=ms)
    if draft.deadline_in_ms is not None and draft.deadline_in_ms < _deadline_ms_min(turn, ms):
        draft = msgspec.structs.replace(draft, deadline_in_ms=None)
    await _ask(turn, draft)


async def choose_deadline(turn: Turn, ms: int) -> None:
    """Take when the room ends."""
    draft, limits = _draft(turn), turn.place.settings.limits
    least = _deadline_ms_min(turn, draft.lock_in_ms or 0)
    if ms < least:
        raise Refused("no_watch", f"It must end at least {words.length(least)} after opening.")
    if ms > limits.span_ms_max:
        most = words.length(limits.span_ms_max)
        raise Refused("deadline_too_late", f"A room lasts at most {most}.")
    await _ask(turn, msgspec.structs.replace(draft, deadline_in_ms=ms))


async def choose_limits(turn: Turn, least: Lamports, most: Lamports) -> None:
    """Take stake limits."""
    asset = await assets.named(turn, _draft(turn).asset)
    limits = await assets.limits_in(turn, asset)
    if least < limits.stake_lamports_min or most > limits.stake_lamports_max:
        raise Refused(
            "bad_stake_limits",
            f"Stay between {words.money(limits.stake_lamports_min, asset)} and "
            f"{words.money(limits.stake_lamports_max, asset)}.",
        )
    await _ask(turn, msgspec.structs.replace(_draft(turn), least=least, most=most))


async def choose_asset(turn: Turn, name: str) -> None:
    """Take what is staked; stake limits in another asset are asked for no more."""
    asset = await assets.named(turn, name)
    await assets.limits_in(turn, asset)
    draft = _draft(turn)
    if draft.asset != name:
        draft = msgspec.structs.replace(draft, asset=name, least=None, most=None)
    await _ask(turn, draft)


async def choose_touch(turn: Turn, held_ms: int) -> None:
    """Take a touch rule."""
    if not 0 <= held_ms <= HELD_MS_MAX:
        raise Refused("bad_hold", f"A price is held for at most {HELD_MS_MAX // 1000} s.")
    await _ask(turn, msgspec.structs.replace(_draft(turn), held_ms=held_ms))


async def typed_answer(turn: Turn, talk: MakingRoom, text: str) -> None:
    """Take what was typed as the answer to the open question."""
    match talk.step:
        case Step.FEED:
            await _typed_feed(turn, text)
        case Step.TARGET if typed.is_move(text):
            await choose_move(turn, typed.move_bps(text))
        case Step.TARGET:
            await _typed_value(turn, talk.draft, text)
        case Step.LOCK:
            await choose_lock(turn, typed.length_ms(text))
        case Step.DEADLINE:
            await choose_deadline(turn, typed.length_ms(text))
        case Step.LIMITS:
            asset = await assets.named(turn, talk.draft.asset)
            await choose_limits(turn, *typed.stake_limits(text, asset))
        case Step.TOUCH:
            await choose_touch(turn, typed.length_ms(text))
        case Step.ASSET:
            await choose_asset(turn, text.strip().upper())
        case Step.REVIEW:
            raise Refused("press", "Press one of the buttons above to open, change or cancel.")


async def open_room(turn: Turn, order: actions.OpenRoom) -> None:
    """Ask for the room, exactly as it was shown."""
    if isinstance(turn.talk, MakingRoom) and not _shows(turn.talk, order):
        raise Refused(
            "old_review",
            "These are the words of an older room: you are making another one now. "
            "Go on with that, or begin again with /create.",
        )
    feed = await _feed(turn, order.feed)
    request = await _request(turn, order)
    await _room(turn, feed, request)
    await intents.ask_room(turn.connection, turn.key, request)
    await turn.end()
    turn.show(phrases.room_asked(), buttons.to_rooms())


def _shows(talk: MakingRoom, order: actions.OpenRoom) -> bool:
    """Say whether an order is what the review of the room in the making shows."""
    draft = talk.draft
    shown = (draft.feed, draft.move_bps, draft.fixed_value, draft.held_ms, draft.asset)
    times = (draft.lock_in_ms or 0, draft.deadline_in_ms or 0)
    return (
        talk.step is Step.REVIEW
        and shown == (order.feed, order.move_bps, order.fixed_value, order.held_ms, order.asset)
        and times == (order.lock_in_ms, order.deadline_in_ms)
        and draft.least in (None, order.least)
        and draft.most in (None, order.most)
    )


async def _ask(turn: Turn, draft: Draft, step: Step | None = None) -> None:
    step = step or draft.next_step
    limits = turn.place.settings.limits
    if step is Step.REVIEW:
        await _review(turn, draft)
        return
    await turn.begin(MakingRoom(step=step, draft=draft))
    if step is Step.FEED or draft.feed is None:
        known = await feeds.offered(turn.connection)
        turn.show(phrases.ask_feed(known), making_buttons.feeds(known))
        return
    feed = await _feed(turn, draft.feed)
    match step:
        case Step.TARGET:
            live = await turn.price(feed.name)
            turn.show(phrases.ask_target(draft, feed, live, turn.now), making_buttons.moves())
        case Step.LOCK:
            turn.show(phrases.ask_lock(draft, feed, limits), making_buttons.locks(limits))
        case Step.DEADLINE:
            least = _deadline_ms_min(turn, draft.lock_in_ms or 0)
            turn.show(
                phrases.ask_deadline(draft, feed, least), making_buttons.deadlines(least, limits)
            )
        case Step.LIMITS:
            asset = await assets.named(turn, draft.asset)
            own = await assets.limits_in(turn, asset)
            turn.show(
                phrases.ask_limits(draft, feed, own, asset), making_buttons.stake_limits(own, asset)
            )
        case Step.ASSET:
            names = [each.name for each in await assets.offered(turn)]
            turn.show(phrases.ask_asset(draft, feed), making_buttons.assets(names))
        case Step.TOUCH:
            turn.show(phrases.ask_touch(draft, feed), making_buttons.touch_rules(feed, limits))


async def _typed_feed(turn: Turn, text: str) -> None:
    """Take a feed's name, or an expression over feeds."""
    known = await feeds.every(turn.connection)
    name = text.strip()
    if name in known:
        await choose_feed(turn, name)
        return
    try:
        found = new_formula(text)
    except Misread as misread:
        turn.say(phrases.misread(misread), buttons.cancel())
        return
    match found.tree:
        case Series(feed=name):
            await choose_feed(turn, name)
            return
        case Comparison(sign, Series(feed=name), Number() as number):
            # One price and one number: a late bet on it can be weighed, so it is a fixed value.
            await _typed_comparison(turn, name, sign, number)
            return
    feed = derived_feed(found, known)
    await derivations.define(turn.connection, feed)
    # A condition has nothing to be asked about its target: it comes true, or not.
    target = Value(1) if found.is_condition else None
    await _ask(turn, Draft(feed=feed.name, fixed_value=target))


async def _typed_comparison(turn: Turn, name: str, sign: Sign, number: Number) -> None:
    """Take a comparison of a feed with a number as a fixed value on that side."""
    feed = await _feed(turn, name)
    await feeds.draft(turn.connection, name)
    target = typed.value(text_from_whole(number.whole, number.scale), feed.scale)
    up = sign in (Sign.ABOVE, Sign.AT_LEAST)
    if reached(Comparator.UP if up else Comparator.DOWN, target, await _price(turn, feed)):
        raise Refused("target_passed", "That is so already: choose a value away from the price.")
    draft = Draft(feed=name)
    await turn.begin(MakingRoom(step=Step.TARGET, draft=draft))
    await _offer_value(turn, draft, feed, target)


async def _typed_value(turn: Turn, draft: Draft, text: str) -> None:
    """Offer the move that a typed value is now, before the value itself."""
    assert draft.feed is not None, "the feed is asked before the target"
    feed = await _feed(turn, draft.feed)
    await _offer_value(turn, draft, feed, typed.value(text, feed.scale))


async def _offer_value(turn: Turn, draft: Draft, feed: Feed, target: Value) -> None:
    price_now = await _price(turn, feed)
    if target == price_now:
        raise Refused("target_passed", "The price is there already: choose a target away from it.")
    bps, limits = fixed_as_move(price_now, target), turn.place.settings.limits
    fits = limits.move_bps_min <= abs(bps) <= limits.move_bps_max
    step = words.move(Comparator.UP if bps >= 0 else Comparator.DOWN, bps)
    shown = unescape(words.value(target, feed.scale, feed.unit))
    turn.show(
        phrases.offer_move(draft, feed, target, price_now, bps),
        making_buttons.offer_move(bps if fits else None, step, target, shown),
    )


async def _review(turn: Turn, draft: Draft) -> None:
    assert draft.feed is not None, "a draft is reviewed when it is whole"
    feed = await _feed(turn, draft.feed)
    limits = await assets.limits_in(turn, await assets.named(turn, draft.asset))
    order = actions.OpenRoom(
        feed=feed.name,
        move_bps=draft.move_bps,
        fixed_value=draft.fixed_value,
        lock_in_ms=draft.lock_in_ms or 0,
        deadline_in_ms=draft.deadline_in_ms or 0,
        least=limits.stake_lamports_min if draft.least is None else draft.least,
        most=limits.stake_lamports_max if draft.most is None else draft.most,
        held_ms=draft.held_ms,
        asset=draft.asset,
    )
    room = await _room(turn, feed, await _request(turn, order))
    if not room.is_move:
        # What is opened is what was shown: the price may pass the value before it is pressed.
        order = msgspec.structs.replace(order, comparator=room.comparator)
    before_watch: Bps | None = None
    weights: tuple[Bps, Bps] | None = None
    if room.is_move:
        chance = _chance(room, None, room.deadline_at - room.watch_at, Side.YES)
    else:
        price_now, whole_ms = await _price(turn, feed), room.deadline_at - room.opened_at
        chance = _chance(room, price_now, whole_ms, Side.YES)
        before_watch = _chance(room, price_now, room.watch_at - room.opened_at, Side.YES)
        no_chance = _chance(room, price_now, whole_ms, Side.NO)
        weights = (weight_bps(chance), weight_bps(no_chance))
    await turn.begin(MakingRoom(step=Step.REVIEW, draft=draft))
    long_shot = is_long_shot(chance)
    live = await turn.price(feed.name)
    told = None if live is None or live.value_at(turn.now) is None else chance
    turn.show(
        phrases.review(room, feed, told, before_watch, weights, long_shot=long_shot),
        making_buttons.review_room(
            order, long_shot=long_shot, has_tokens=len(await assets.offered(turn)) > 1
        ),
    )


async def _room(turn: Turn, feed: Feed, request: RoomRequest) -> Room:
    """Make the room that the request would become now, so that a refusal comes at once."""
    live = await turn.price(feed.name)
    price_now = live.value_at(turn.now) if live else None
    if price_now is None and request.fixed_value is not None:
        raise _no_price(feed)
    if feed.unit == CONDITION and price_now == request.fixed_value:
        raise Refused(
            "target_passed",
            "It is true already: a room needs a condition that is still to come true. "
            "Begin again with /create.",
        )
    return room_from_request(
        request,
        id=0,
        now=turn.now,
        price_now=Value(1) if price_now is None else price_now,
        scale=feed.scale,
        volatility_bps=feed.volatility_bps,
        guards=feed.guards,
        limits=await assets.limits_in(turn, request.asset),
        is_thin=feed.is_thin,
        side_lamports=await _side(turn, feed) if feed.is_thin else None,
    )


async def _side(turn: Turn, feed: Feed) -> Lamports | None:
    """Return half of what lies in a thin feed's market, where that is known now."""
    if feed.liquidity is None:
        return None
    known = await feeds.named(turn.connection, [feed.liquidity, SOL_FEED])
    if len(known) < 2:
        return None
    dollars, sol = await turn.price(feed.liquidity), await turn.price(SOL_FEED)
    market = dollars.value_at(turn.now) if dollars else None
    price = sol.value_at(turn.now) if sol else None
    if market is None or price is None:
        return None
    return side_lamports(market, known[feed.liquidity].scale, price, known[SOL_FEED].scale)


def _chance(room: Room, price_now: Value | None, left_ms: int, side: Side) -> Bps:
    """Say how likely a side is; a move is judged from any base, as only its size matters."""
    base, target = price_now, room.target
    if room.move_bps is not None:
        base = Value(BPS_WHOLE)
        target = Value(base + room.comparator * room.move_bps)
    assert base is not None, "a fixed value is judged by the price now"
    assert target is not None, "a room has a move or a fixed value"
    return chance_bps(
        value=base,
        target=target,
        left_ms=left_ms,
        volatility_bps=room.volatility_bps,
        side=side,
    )


async def _request(turn: Turn, order: actions.OpenRoom) -> RoomRequest:
    return RoomRequest(
        creator=turn.person.id,
        feed=order.feed,
        move_bps=order.move_bps,
        fixed_value=None if order.fixed_value is None else Value(order.fixed_value),
        lock_in_ms=order.lock_in_ms,
        deadline_in_ms=order.deadline_in_ms,
        stake_lamports_min=order.least,
        stake_lamports_max=order.most,
        comparator=order.comparator,
        held_ms=order.held_ms,
        asset=await assets.named(turn, order.asset),
    )


def _draft(turn: Turn, *, strict: bool = True) -> Draft:
    talk = turn.talk
    if isinstance(talk, MakingRoom):
        return talk.draft
    if strict:
        raise Refused("no_draft", "That room is no longer in the making. Begin with /create.")
    return Draft()


def _deadline_ms_min(turn: Turn, lock_in_ms: int) -> int:
    limits = turn.place.settings.limits
    return max(limits.span_ms_min, lock_in_ms + limits.watch_ms + DEADLINE_AFTER_WATCH_MS)


async def _feed(turn: Turn, name: str) -> Feed:
    found = (await feeds.named(turn.connection, [name])).get(name)
    if found is None or not (found.offered or found.expression):
        raise Refused("no_feed", "There is no feed of this name. Choose one of the buttons.")
    return found


async def _price(turn: Turn, feed: Feed) -> Value:
    live = await turn.price(feed.name)
    price_now = live.value_at(turn.now) if live else None
    if price_now is None:
        raise _no_price(feed)
    return price_now


def _no_price(feed: Feed) -> Refused:
    said = f"There is no price of {feed.expression or feed.name} right now, so "
    if feed.unit == CONDITION:
        return Refused("no_price", f"{said}nobody knows whether it is true. Type the time again.")
    return Refused(
        "no_price", f"{said}a value cannot be judged. Choose a move, or try again in a moment."
    )
