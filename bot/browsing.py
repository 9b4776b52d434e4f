"""Browsing: the list of rooms, and one room's card.

In        a person's turn; a page, a room or a room's code.
Out       the list or the card, with the price of now.
"""

from bot import buttons
from bot.phrases import room as phrases
from bot.turn import Turn
from rooms.refusal import Refused
from rooms.room import room_from_code
from storage import cards
from storage.cards import RoomCard


async def rooms_list(turn: Turn, page: int) -> None:
    """Show a page of rooms."""
    found = await cards.open_rooms(
        turn.connection,
        turn.person.id,
        offset=page * buttons.LIST_PAGE,
        limit=buttons.LIST_PAGE + 1,
    )
    shown = found[: buttons.LIST_PAGE]
    prices = await turn.place.prices.prices_of({card.room.feed for card in shown})
    turn.show(
        phrases.rooms_list(shown, prices, turn.now, page),
        buttons.rooms_list(shown, page, more=len(found) > len(shown)),
    )


async def room(turn: Turn, room_id: int) -> None:
    """Show a room's card."""
    card = await find(turn, room_id)
    live = await turn.price(card.room.feed)
    link = turn.place.room_link(room_id)
    turn.show(phrases.room_card(card, live, turn.now), buttons.room_card(card, turn.now, link))


async def room_of_code(turn: Turn, code: str) -> None:
    """Show the room that people know by this name."""
    await room(turn, room_from_code(code.strip().lower()))


async def find(turn: Turn, room_id: int) -> RoomCard:
    """Read a room as the person sees it.

    Raises:
        Refused: when there is none.
    """
    card = await cards.room(turn.connection, room_id, turn.person.id)
    if card is None:
        raise Refused("no_room", "There is no room of this name.")
    return card
