"""Withdrawing: an amount, an address, the address once more in part, and it is asked for.

In        a person's turn; what was pressed or typed.
Out       questions, the whole withdrawal to compare, and in the end one withdrawal.
Promises  what is asked for is what was shown last; the last six letters are typed by the person,
          within two minutes of seeing the whole; a wrong word changes nothing.
"""

import hmac

from bot import buttons, typed
from bot.conversation import Retyping, TypingAddress, TypingAmount
from bot.phrases import person as phrases
from bot.turn import Turn
from rooms.ledger import available
from rooms.refusal import Refused
from rooms.units import Lamports, UnixMs
from rooms.withdrawal import due_at
from storage import cards, intents, ledger

LETTERS_RETYPED = 6


async def begin(turn: Turn) -> None:
    """Ask how much shall leave."""
    has = await _available(turn)
    limits = turn.place.settings.withdrawals
    await _judge(turn, limits.lamports_min)
    await turn.begin(TypingAmount())
    turn.show(phrases.ask_amount(has, limits), buttons.withdraw_amount())


async def all_of_it(turn: Turn) -> None:
    """Take everything that is available."""
    await _take_amount(turn, await _available(turn))


async def typed_amount(turn: Turn, text: str) -> None:
    """Take the amount that was typed."""
    if text.strip().lower() == "all":
        await all_of_it(turn)
        return
    await _take_amount(turn, typed.lamports(text))


async def typed_address(turn: Turn, talk: TypingAddress, text: str) -> None:
    """Take the address that was typed, and show the whole."""
    to_address = typed.address(text)
    leaves_at = await _judge(turn, talk.lamports, to_address)
    until = UnixMs(turn.now + turn.place.settings.money_ms)
    await turn.begin(Retyping(lamports=talk.lamports, to_address=to_address, until=until))
    turn.show(
        phrases.confirm_withdrawal(talk.lamports, to_address, leaves_at - turn.now),
        buttons.cancel(),
    )


async def retyped(turn: Turn, talk: Retyping, text: str) -> None:
    """Ask for the withdrawal when the last letters are right."""
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
    await _judge(turn, talk.lamports, talk.to_address)
    await intents.ask_withdrawal(
        turn.connection,
        turn.key,
        user=turn.person.id,
        to_address=talk.to_address,
        lamports=talk.lamports,
    )
    await turn.end()
    turn.show(phrases.withdrawal_asked(talk.lamports, talk.to_address), buttons.back_home())


async def _take_amount(turn: Turn, lamports: Lamports) -> None:
    await _judge(turn, lamports)
    await turn.begin(TypingAddress(lamports=lamports))
    turn.show(phrases.ask_address(lamports), buttons.cancel())


async def _judge(turn: Turn, lamports: Lamports, to_address: str = "") -> UnixMs:
    # Whoever lets it leave judges it again; this answers at once.
    outlook = await cards.outlook(turn.connection, turn.person.id, to_address)
    if outlook.is_ours:
        raise Refused(
            "own_address", "That address belongs to ROOMS. Paste one of a wallet of your own."
        )
    return due_at(
        lamports,
        available=await _available(turn),
        taken_today=outlook.taken_today,
        address_since=turn.now if outlook.address_since is None else outlook.address_since,
        now=turn.now,
        limits=turn.place.settings.withdrawals,
    )


async def _available(turn: Turn) -> Lamports:
    return await ledger.balance(turn.connection, available(turn.person.id))
