"""Withdrawing: an amount, an address, the address in part, a PIN, a code, and it is asked for.

In        a person's turn; what was pressed or typed.
Out       questions, the whole withdrawal to compare, and in the end one withdrawal; the address
          book; a withdrawal called off.
Promises  what is asked for is what was shown last; the last six letters are typed by the person,
          within two minutes of seeing the whole, and the PIN within two more; a wrong word changes
          nothing but the count of wrong ones; what has not left can be called off.
"""

import hmac

from bot import actions, assets, buttons, security, typed
from bot.conversation import Errand, Retyping, TypingAddress, TypingAmount
from bot.factors import Sealed
from bot.phrases import security as security_phrases
from bot.phrases import withdrawal as phrases
from bot.turn import Turn
from rooms.asset import SOL, Asset
from rooms.ledger import available
from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs
from rooms.withdrawal import due_at, needs_code
from storage import (
    address_book,
    cards,
    intents,
    ledger,
    outlooks,
    second_factors,
    withdrawal_limits,
)

LETTERS_RETYPED = 6


async def begin(turn: Turn, name: str = SOL.name) -> None:
    """Ask how much shall leave."""
    asset = await assets.named(turn, name)
    every = [each.name for each in await assets.every(turn)]
    limits = await withdrawal_limits.read(turn.connection, asset.name)
    if len(every) == 1:
        await _judge(turn, limits.lamports_min, asset)
    if await second_factors.find(turn.connection, turn.person.id) is None:
        await security.begin_pin(turn)
        return
    has = await _available(turn, asset)
    await turn.begin(TypingAmount(asset=asset.name))
    others = [each for each in every if each != asset.name]
    turn.show(phrases.ask_amount(has, limits, asset), buttons.withdraw_amount(asset.name, others))


async def all_of_it(turn: Turn, name: str = SOL.name) -> None:
    """Take everything that is available."""
    asset = await assets.named(turn, name)
    await _take_amount(turn, await _available(turn, asset), asset)


async def typed_amount(turn: Turn, text: str, name: str = SOL.name) -> None:
    """Take the amount that was typed."""
    asset = await assets.named(turn, name)
    if text.strip().lower() == "all":
        await all_of_it(turn, name)
        return
    await _take_amount(turn, typed.lamports(text, asset), asset)


async def typed_address(turn: Turn, talk: TypingAddress, text: str) -> None:
    """Take the address that was typed."""
    asset = await assets.named(turn, talk.asset)
    await _take_address(turn, talk.lamports, typed.address(text), asset)


async def chosen_address(turn: Turn, action: actions.ChooseAddress) -> None:
    """Take an address of the book."""
    asset = await assets.named(turn, action.asset)
    await _take_address(turn, action.lamports, action.to_address, asset)


async def _take_address(turn: Turn, lamports: Lamports, to_address: str, asset: Asset) -> None:
    leaves_at, is_known = await _judge(turn, lamports, asset, to_address)
    until = UnixMs(turn.now + turn.place.settings.money_ms)
    await turn.begin(
        Retyping(lamports=lamports, to_address=to_address, until=until, asset=asset.name)
    )
    turn.show(
        phrases.confirm(lamports, to_address, leaves_at - turn.now, asset, is_known=is_known),
        buttons.cancel(),
    )


async def retyped(turn: Turn, talk: Retyping, text: str) -> None:
    """Ask for the PIN when the last letters are right."""
    if turn.now > talk.until:
        await turn.end()
        raise Refused("lapsed", "That took longer than 2 minutes. Begin again with /withdraw.")
    wanted = talk.to_address[-LETTERS_RETYPED:]
    if not hmac.compare_digest(text.strip().encode(), wanted.encode()):
        raise Refused(
            "not_the_address",
            "Those are not the last 6 letters of the address, upper and lower case as they stand. "
            "Look again, or cancel.",
        )
    await _judge(turn, talk.lamports, await assets.named(turn, talk.asset), talk.to_address)
    await security.prove(
        turn, Errand(lamports=talk.lamports, to_address=talk.to_address, asset=talk.asset)
    )


async def take_sealed(turn: Turn, sealed: Sealed) -> None:
    """Take a PIN or a code, and ask for the withdrawal once all is proved."""
    await security.take(
        turn, sealed, needs_code=lambda errand: _needs_code(turn, errand), done=_ask
    )


async def _needs_code(turn: Turn, errand: Errand) -> bool:
    if errand.change is not None:
        return True
    asset = await assets.named(turn, errand.asset)
    limits = await withdrawal_limits.read(turn.connection, asset.name)
    [known] = await outlooks.read(
        turn.connection, [(turn.person.id, errand.to_address, asset)], with_asked=True
    )
    return needs_code(errand.lamports, known.outlook.taken.person_day, limits)


async def _ask(turn: Turn, errand: Errand) -> None:
    asset = await assets.named(turn, errand.asset)
    await _judge(turn, errand.lamports, asset, errand.to_address)
    if await _needs_code(turn, errand) and not await security.has_authenticator(turn):
        raise Refused("no_authenticator", "So much needs an authenticator: see /security.")
    await intents.ask_withdrawal(
        turn.connection,
        turn.key,
        user=turn.person.id,
        to_address=errand.to_address,
        lamports=errand.lamports,
        asset=asset,
    )
    await turn.end()
    turn.say(phrases.asked(errand.lamports, errand.to_address, asset), buttons.back_home())


async def show_addresses(turn: Turn) -> None:
    """Show the address book."""
    lines = await address_book.lines(turn.connection, turn.person.id)
    turn.show(phrases.addresses(lines), buttons.addresses([each.address for each in lines]))


async def forget_address(turn: Turn, address: str) -> None:
    """Take an address out of the book."""
    await address_book.forget(turn.connection, turn.person.id, address)
    turn.toast("Forgotten.")
    await show_addresses(turn)


async def show_waiting(turn: Turn) -> None:
    """Show withdrawals that have not left yet."""
    lines = await cards.waiting(turn.connection, turn.person.id)
    turn.show(phrases.waiting(lines, turn.now), buttons.waiting(lines))


async def call_off(turn: Turn, withdrawal: int) -> None:
    """Ask for a withdrawal back.

    Raises:
        Refused: when it has left.
    """
    if not await intents.cancel_withdrawal(turn.connection, withdrawal, user=turn.person.id):
        raise Refused("left_already", "It has left already, or came back before.")
    turn.toast("Calling it off…")


async def _take_amount(turn: Turn, lamports: Lamports, asset: Asset) -> None:
    await _judge(turn, lamports, asset)
    needed = await _needs_code(turn, Errand(lamports=lamports, asset=asset.name))
    if needed and not await security.has_authenticator(turn):
        await turn.end()
        turn.show(security_phrases.needs_authenticator(), buttons.add_authenticator())
        return
    await turn.begin(TypingAddress(lamports=lamports, asset=asset.name))
    lines = await address_book.lines(turn.connection, turn.person.id)
    turn.show(
        phrases.ask_address(lamports, asset, known=bool(lines)),
        buttons.choose_address(lamports, [each.address for each in lines], asset.name),
    )


async def _judge(
    turn: Turn, lamports: Lamports, asset: Asset, to_address: str = ""
) -> tuple[UnixMs, bool]:
    """Say when it may leave, and whether the address is in the book.

    Whoever lets it leave judges it again; this answers at once.
    """
    limits = await withdrawal_limits.read(turn.connection, asset.name)
    [known] = await outlooks.read(
        turn.connection, [(turn.person.id, to_address, asset)], with_asked=True
    )
    if known.is_ours:
        raise Refused(
            "own_address", "That address belongs to ROOMS. Paste one of a wallet of your own."
        )
    return due_at(lamports, known.outlook, limits), known.is_known


async def _available(turn: Turn, asset: Asset) -> Lamports:
    return await ledger.balance(turn.connection, available(turn.person.id).of(asset.name))
