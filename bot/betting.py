"""Betting: a side, an amount, a look at both, and the bet is asked for.

In        a person's turn; what was pressed or typed.
Out       questions, a quote, and in the end one bet request.
Promises  nothing is asked for before the person has seen it whole; a refusal changes nothing.
"""

from bot import actions, browsing, buttons, estimates, typed
from bot.conversation import TypingStake
from bot.phrases import room as phrases
from bot.turn import Turn
from rooms.bet import Standing, check_bet
from rooms.ledger import available
from rooms.room import Side
from rooms.units import Lamports
from storage import intents, ledger
from storage.cards import RoomCard


async def pick_stake(turn: Turn, action: actions.PickStake) -> None:
    """Ask how much to stake on a side."""
    card = await browsing.find(turn, action.room)
    await _check(turn, card, action.side, card.room.stake_lamports_min, poor_is_fine=True)
    has = await ledger.balance(turn.connection, available(turn.person.id).of(card.room.asset))
    turn.show(
        phrases.pick_stake(card, action.side, has, turn.now),
        buttons.pick_stake(card, action.side),
    )


async def type_stake(turn: Turn, action: actions.TypeStake) -> None:
    """Await an amount."""
    card = await browsing.find(turn, action.room)
    await turn.begin(TypingStake(room=action.room, side=action.side))
    turn.show(phrases.type_stake(card, action.side), buttons.cancel())


async def typed_stake(turn: Turn, talk: TypingStake, text: str) -> None:
    """Take the amount that was typed."""
    card = await browsing.find(turn, talk.room)
    await review(turn, talk.room, talk.side, typed.lamports(text, card.room.money))
    await turn.end()


async def review(turn: Turn, room: int, side: Side, lamports: Lamports) -> None:
    """Show a bet before it is placed."""
    card = await browsing.find(turn, room)
    await _check(turn, card, side, lamports)
    live = await turn.price(card.room.feed)
    price = live.value_at(turn.now) if live else None
    weight = estimates.weight_now(card.room, side, price, turn.now)
    quote = estimates.estimate(card, side, lamports, weight)
    turn.show(
        phrases.review_bet(card, side, lamports, weight, quote, turn.now),
        buttons.review_bet(card.room, side, lamports),
    )


async def place(turn: Turn, action: actions.PlaceBet) -> None:
    """Ask for the bet."""
    card = await browsing.find(turn, action.room)
    await _check(turn, card, action.side, action.lamports)
    await intents.ask_bet(
        turn.connection,
        turn.key,
        user=turn.person.id,
        room=action.room,
        side=action.side,
        lamports=action.lamports,
    )
    turn.show(phrases.bet_asked(card, action.side, action.lamports), buttons.to_room(action.room))


async def _check(
    turn: Turn, card: RoomCard, side: Side, lamports: Lamports, *, poor_is_fine: bool = False
) -> None:
    # Whoever takes the bet judges it again; this answers at once, before anything is written.
    has = await ledger.balance(turn.connection, available(turn.person.id).of(card.room.asset))
    standing = Standing(
        state=card.state,
        own_side=card.own_side,
        own_lamports=card.own_lamports,
        bettors=card.bettors,
        available_lamports=max(has, lamports) if poor_is_fine else has,
        can_land=True,
    )
    check_bet(card.room, standing, side, lamports, turn.now)
