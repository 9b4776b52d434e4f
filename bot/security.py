"""Security: how a person chooses a PIN, adds an authenticator, and proves both.

In        a person's turn; what was pressed; what was typed, sealed.
Out       questions; a PIN's hash and an authenticator's name written down; what was proved for.
Promises  every message that was sealed is taken away; a wrong one counts, and five in a row lock
          everything for a day; a change is proved with what was there before.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from bot import actions, buttons
from bot.conversation import (
    Change,
    ChoosingPin,
    Errand,
    FirstCode,
    ProvingCode,
    ProvingPin,
    RepeatingPin,
)
from bot.factors import PIN_DIGITS, Factors, Sealed
from bot.phrases import security as phrases
from bot.phrases import words
from bot.turn import Turn
from rooms.refusal import Refused
from rooms.units import UnixMs
from rooms.withdrawal import DAY_MS
from storage import intents, second_factors
from storage.second_factors import SecondFactor

FAILURES_MAX: Final = 5
LOCK_MS: Final = DAY_MS

Done = Callable[[Turn, Errand], Awaitable[None]]


async def show(turn: Turn) -> None:
    """Show how the person proves itself."""
    factor = await second_factors.find(turn.connection, turn.person.id)
    turn.show(
        phrases.security(
            has_pin=factor is not None,
            has_authenticator=factor is not None and factor.authenticator is not None,
            locked_until=UnixMs(0) if factor is None else factor.locked_until,
            now=turn.now,
        ),
        buttons.security(
            has_pin=factor is not None,
            has_authenticator=factor is not None and factor.authenticator is not None,
        ),
    )


async def begin_pin(turn: Turn) -> None:
    """Ask for a PIN; for the one that is there first."""
    if await second_factors.find(turn.connection, turn.person.id) is None:
        await turn.begin(ChoosingPin())
        turn.show(phrases.CHOOSE_PIN, buttons.cancel())
        return
    await prove(turn, Errand(change=Change.PIN))


async def begin_authenticator(turn: Turn) -> None:
    """Add an authenticator, once the person has proved itself."""
    if await second_factors.find(turn.connection, turn.person.id) is None:
        raise Refused("no_pin", "Choose a PIN first: /security")
    await prove(turn, Errand(change=Change.AUTHENTICATOR))


async def authenticator_added(turn: Turn, action: actions.AuthenticatorAdded) -> None:
    """Take the picture away and ask for the first code."""
    if turn.message_id is not None:
        turn.delete(turn.message_id)
    await turn.begin(FirstCode(authenticator=action.authenticator))
    turn.say(phrases.ASK_FIRST_CODE, buttons.cancel())


async def not_me(turn: Turn) -> None:
    """Call everything off that has not left, and let nothing leave for a day."""
    await intents.cancel_withdrawals(turn.connection, user=turn.person.id)
    await second_factors.lock(turn.connection, turn.person.id, LOCK_MS)
    turn.say(phrases.LOCKED_BY_OWNER, buttons.back_home())


async def has_authenticator(turn: Turn) -> bool:
    """Say whether the person has an authenticator."""
    factor = await second_factors.find(turn.connection, turn.person.id)
    return factor is not None and factor.authenticator is not None


async def prove(turn: Turn, errand: Errand) -> None:
    """Ask for the PIN.

    Raises:
        Refused: when none was chosen, or it is locked.
    """
    await _factor(turn)
    until = UnixMs(turn.now + turn.place.settings.money_ms)
    await turn.begin(ProvingPin(errand=Errand(
        change=errand.change, lamports=errand.lamports, to_address=errand.to_address, until=until,
        asset=errand.asset,
    )))  # fmt: skip
    turn.say(phrases.ASK_PIN, buttons.cancel())


async def take(turn: Turn, sealed: Sealed, *, needs_code: Callable[[Errand], Awaitable[bool]],
               done: Done) -> None:  # fmt: skip
    """Take words that were sealed as they came in.

    Args:
        turn: whose they are.
        sealed: the words.
        needs_code: says whether an errand needs the authenticator's code besides the PIN.
        done: does what was proved for.

    Raises:
        Refused: when they are not what was asked for.
    """
    match turn.talk:
        case ChoosingPin():
            await _chosen(turn, sealed)
        case RepeatingPin(pin_hash=pin_hash):
            await _repeated(turn, pin_hash, sealed)
        case ProvingPin(errand=errand):
            factor = await _factor(turn)
            await _in_time(turn, errand)
            if not await asyncio.to_thread(_factors(turn).is_pin, factor.pin_hash, sealed):
                await _wrong(turn, "That is not your PIN.")
            if factor.authenticator is not None and await needs_code(errand):
                await turn.begin(ProvingCode(errand=errand))
                turn.say(phrases.ASK_CODE, buttons.cancel())
                return
            await _proved(turn, errand, done)
        case ProvingCode(errand=errand):
            factor = await _factor(turn)
            await _in_time(turn, errand)
            await _check_code(turn, factor, sealed)
            await _proved(turn, errand, done)
        case FirstCode(authenticator=authenticator):
            await _first_code(turn, authenticator, sealed)
        case _:
            turn.say(phrases.NOT_ASKED)


async def _chosen(turn: Turn, sealed: Sealed) -> None:
    if sealed.digits != PIN_DIGITS:
        raise Refused(
            "bad_pin",
            f"A PIN is {PIN_DIGITS} digits that nobody can guess: no birthday, no row.",
        )
    if _factors(turn).is_weak(turn.person.id, sealed):
        raise Refused("weak_pin", "That is one that everybody tries first. Choose another.")
    pin_hash = await asyncio.to_thread(_factors(turn).pin_hash, sealed)
    await turn.begin(RepeatingPin(pin_hash=pin_hash))
    turn.say(phrases.REPEAT_PIN, buttons.cancel())


async def _repeated(turn: Turn, pin_hash: str, sealed: Sealed) -> None:
    if not await asyncio.to_thread(_factors(turn).is_pin, pin_hash, sealed):
        await turn.begin(ChoosingPin())
        raise Refused("not_the_same", "Those were not the same digits. Choose a PIN once more.")
    await second_factors.choose_pin(turn.connection, turn.person.id, pin_hash)
    await turn.end()
    turn.say(phrases.PIN_CHOSEN, buttons.after_pin())


async def _first_code(turn: Turn, authenticator: str, sealed: Sealed) -> None:
    step = _factors(turn).step_of_code(turn.person.id, authenticator, sealed, turn.now)
    if step is None:
        await _wrong(turn, "That is not what it should show now. Is the phone's clock right?")
    await second_factors.add_authenticator(turn.connection, turn.person.id, authenticator, step)
    await turn.end()
    turn.say(phrases.AUTHENTICATOR_ADDED, buttons.after_pin())


async def _check_code(turn: Turn, factor: SecondFactor, sealed: Sealed) -> None:
    if factor.authenticator is None:
        raise Refused("no_authenticator", "You have no authenticator: see /security.")
    step = _factors(turn).step_of_code(
        turn.person.id, factor.authenticator, sealed, turn.now, after=factor.code_step
    )
    if step is None:
        await _wrong(turn, "That is not the code of now. A code counts once: wait for the next.")
    await second_factors.note_code(turn.connection, turn.person.id, step)


async def _proved(turn: Turn, errand: Errand, done: Done) -> None:
    await second_factors.note_success(turn.connection, turn.person.id)
    match errand.change:
        case None:
            await done(turn, errand)
        case Change.PIN:
            await turn.begin(ChoosingPin())
            turn.say(phrases.CHOOSE_PIN, buttons.cancel())
        case Change.AUTHENTICATOR:
            authenticator = turn.place.token()
            await turn.end()
            turn.enrol(authenticator, buttons.authenticator(authenticator))


async def _factor(turn: Turn) -> SecondFactor:
    factor = await second_factors.find(turn.connection, turn.person.id)
    if factor is None:
        raise Refused("no_pin", "Choose a PIN first: /security")
    if factor.locked_until > factor.now:
        await turn.end()
        raise Refused(
            "locked", f"Locked for {words.length(factor.locked_until - factor.now)} more."
        )
    return factor


async def _in_time(turn: Turn, errand: Errand) -> None:
    if turn.now > errand.until:
        await turn.end()
        raise Refused("lapsed", "That took longer than 2 minutes. Begin again.")


async def _wrong(turn: Turn, why: str) -> NoReturn:
    failures = await second_factors.note_failure(
        turn.connection, turn.person.id, most=FAILURES_MAX, lock_ms=LOCK_MS
    )
    if failures == 0:
        await turn.end()
        raise Refused("locked", f"{why} That was the last try: locked for {words.length(LOCK_MS)}.")
    left = FAILURES_MAX - failures
    raise Refused("wrong", f"{why} {left} {'try' if left == 1 else 'tries'} left.")


def _factors(turn: Turn) -> Factors:
    return turn.place.factors
