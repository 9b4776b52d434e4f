"""Holdings: a person's wallet, deposits, history and bets.

In        a person's turn, a page.
Out       what the person has, and how it came about.
"""

from bot import assets, buttons
from bot.phrases import person as phrases
from bot.turn import Turn
from storage import cards


async def wallet(turn: Turn) -> None:
    """Show what the person has."""
    found = await cards.wallet(turn.connection, turn.person.id)
    tokens = [
        await cards.wallet(turn.connection, turn.person.id, each)
        for each in (await assets.every(turn))[1:]
    ]
    waits = bool(await cards.waiting(turn.connection, turn.person.id))
    turn.show(phrases.wallet_card(found, tokens), buttons.wallet(found.address, waits=waits))


async def deposit(turn: Turn) -> None:
    """Show how lamports come in."""
    found = await cards.wallet(turn.connection, turn.person.id)
    tokens = [each.name for each in (await assets.offered(turn))[1:]]
    turn.show(phrases.deposit(found, tokens), buttons.deposit(found.address))


async def history(turn: Turn, page: int) -> None:
    """Show a page of what changed."""
    lines = await cards.history(
        turn.connection,
        turn.person.id,
        offset=page * buttons.LONG_PAGE,
        limit=buttons.LONG_PAGE + 1,
    )
    shown = lines[: buttons.LONG_PAGE]
    turn.show(
        phrases.history(shown, page, turn.place.settings.explorer),
        buttons.history(page, more=len(lines) > len(shown)),
    )


async def bets(turn: Turn, page: int, *, won: bool) -> None:
    """Show a page of bets."""
    lines = await cards.bets(
        turn.connection,
        turn.person.id,
        won=won,
        offset=page * buttons.LONG_PAGE,
        limit=buttons.LONG_PAGE + 1,
    )
    shown = lines[: buttons.LONG_PAGE]
    turn.show(
        phrases.bets(shown, page, turn.now, turn.place.settings.explorer, won=won),
        buttons.bets(page, won=won, more=len(lines) > len(shown)),
    )
