"""Meeting: what a person gets who comes in: a greeting, help, the rules, an invitation.

In        a person's turn.
Out       text and the buttons that lead on.
"""

from bot import browsing, buttons
from bot.phrases import person as phrases
from bot.turn import Turn
from rooms.refusal import Refused
from rooms.room import room_from_code
from storage import cards

ROOM = "room_"
REFERRAL = "ref_"


async def start(turn: Turn, payload: str, *, new: bool) -> None:
    """Greet a person, and show the room that brought them."""
    await home(turn, new=new)
    if payload.startswith(ROOM):
        await browsing.room_of_code(turn, payload.removeprefix(ROOM))


async def home(turn: Turn, *, new: bool = False) -> None:
    """Show who the person is here, and where everything is."""
    wallet = await cards.wallet(turn.connection, turn.person.id)
    turn.show(phrases.welcome(turn.person.name, wallet, new=new), buttons.home())


def referrer_of(payload: str) -> int | None:
    """Read who invited somebody; a code that is none invites nobody."""
    if not payload.startswith(REFERRAL):
        return None
    try:
        return room_from_code(payload.removeprefix(REFERRAL))
    except Refused:
        return None


async def show_help(turn: Turn) -> None:
    """Say what can be done."""
    turn.show(phrases.help_text(), buttons.home())


async def show_rules(turn: Turn) -> None:
    """Say how rooms are decided and paid."""
    turn.show(phrases.rules(turn.place.settings.limits), buttons.back_home())


async def show_invite(turn: Turn) -> None:
    """Show the invitation link and what it brought."""
    link = turn.place.invite_link(turn.person.id)
    invited = await cards.invited(turn.connection, turn.person.id)
    turn.show(phrases.referrals(link, invited), buttons.invite(link))
