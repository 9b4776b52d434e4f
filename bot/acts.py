"""Acts: which file does what a button, a command or an awaited word means.

In        a person's turn; an action, a command's name, or words.
Out       whatever that file answers.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from bot import (
    actions,
    betting,
    browsing,
    buttons,
    conversation,
    holdings,
    making,
    meeting,
    security,
    withdrawing,
)
from bot.actions import Action
from bot.conversation import MakingRoom, Retyping, TypingAddress, TypingAmount, TypingStake
from bot.phrases import answers
from bot.turn import Turn


async def act_on(turn: Turn, action: Action) -> None:
    """Do what a button means."""
    match action:
        case actions.ShowHome():
            await meeting.home(turn)
        case actions.ShowHelp():
            await meeting.show_help(turn)
        case actions.ShowRules():
            await meeting.show_rules(turn)
        case actions.ShowInvite():
            await meeting.show_invite(turn)
        case actions.ShowRooms(page=page):
            await browsing.rooms_list(turn, page)
        case actions.ShowRoom(room=room):
            await browsing.room(turn, room)
        case actions.ShowBets(page=page, won=won):
            await holdings.bets(turn, page, won=won)
        case actions.ShowWallet():
            await holdings.wallet(turn)
        case actions.ShowDeposit():
            await holdings.deposit(turn)
        case actions.ShowHistory(page=page):
            await holdings.history(turn, page)
        case actions.PickStake():
            await betting.pick_stake(turn, action)
        case actions.TypeStake():
            await betting.type_stake(turn, action)
        case actions.ReviewBet(room=room, side=side, lamports=lamports):
            await betting.review(turn, room, side, lamports)
        case actions.PlaceBet():
            await betting.place(turn, action)
        case actions.BeginRoom():
            await making.begin(turn)
        case actions.ChooseFeed(feed=feed):
            await making.choose_feed(turn, feed)
        case actions.ChooseMove(move_bps=move_bps):
            await making.choose_move(turn, move_bps)
        case actions.ChooseValue(value=value):
            await making.choose_value(turn, value)
        case actions.ChooseLock(ms=ms):
            await making.choose_lock(turn, ms)
        case actions.ChooseDeadline(ms=ms):
            await making.choose_deadline(turn, ms)
        case actions.ChooseAsset(asset=asset):
            await making.choose_asset(turn, asset)
        case actions.ChooseLimits(least=least, most=most):
            await making.choose_limits(turn, least, most)
        case actions.ChooseTouch(held_ms=held_ms):
            await making.choose_touch(turn, held_ms)
        case actions.ChangeStep(step=step):
            await making.change(turn, conversation.Step(step))
        case actions.OpenRoom():
            await making.open_room(turn, action)
        case actions.BeginWithdrawal(asset=asset):
            await withdrawing.begin(turn, asset)
        case actions.WithdrawAll(asset=asset):
            await withdrawing.all_of_it(turn, asset)
        case actions.ChooseAddress():
            await withdrawing.chosen_address(turn, action)
        case actions.ShowAddresses():
            await withdrawing.show_addresses(turn)
        case actions.ForgetAddress(address=address):
            await withdrawing.forget_address(turn, address)
        case actions.ShowWithdrawals():
            await withdrawing.show_waiting(turn)
        case actions.CancelWithdrawal(withdrawal=withdrawal):
            await withdrawing.call_off(turn, withdrawal)
        case actions.NotMe():
            await security.not_me(turn)
        case actions.ShowSecurity():
            await security.show(turn)
        case actions.BeginPin():
            await security.begin_pin(turn)
        case actions.BeginAuthenticator():
            await security.begin_authenticator(turn)
        case actions.AuthenticatorAdded():
            await security.authenticator_added(turn, action)
        case actions.Cancel():
            await turn.end()
            turn.show(answers.CANCELLED, buttons.home())


COMMANDS: Final[dict[str, Callable[[Turn, str], Awaitable[None]]]] = {
    "help": lambda turn, _: meeting.show_help(turn),
    "rules": lambda turn, _: meeting.show_rules(turn),
    "referrals": lambda turn, _: meeting.show_invite(turn),
    "rooms": lambda turn, _: browsing.rooms_list(turn, 0),
    "room": lambda turn, code: browsing.room_of_code(turn, code),
    "create": lambda turn, _: making.begin(turn),
    "wallet": lambda turn, _: holdings.wallet(turn),
    "deposit": lambda turn, _: holdings.deposit(turn),
    "withdraw": lambda turn, _: withdrawing.begin(turn),
    "addresses": lambda turn, _: withdrawing.show_addresses(turn),
    "security": lambda turn, _: security.show(turn),
    "history": lambda turn, _: holdings.history(turn, 0),
    "bets": lambda turn, _: holdings.bets(turn, 0, won=False),
    "won": lambda turn, _: holdings.bets(turn, 0, won=True),
}
"""Each takes the turn and what was typed after the command."""

MENU: Final = (
    ("rooms", "rooms that are open now"),
    ("create", "make a room"),
    ("bets", "your bets and what they brought"),
    ("won", "rooms you won"),
    ("wallet", "what you have"),
    ("withdraw", "send SOL to an address"),
    ("addresses", "where you send to"),
    ("security", "your PIN and your authenticator"),
    ("history", "every change of your balance"),
    ("referrals", "invite people, earn a share"),
    ("rules", "how rooms are decided and paid"),
    ("help", "what you can do"),
    ("cancel", "leave whatever was begun"),
)


async def answer(turn: Turn, text: str) -> None:
    """Take a person's words as the answer to what was asked last."""
    match turn.talk:
        case None:
            turn.say(answers.NOT_UNDERSTOOD, buttons.home())
        case MakingRoom() as talk:
            await making.typed_answer(turn, talk, text)
        case TypingStake() as talk:
            await betting.typed_stake(turn, talk, text)
        case TypingAmount(asset=asset):
            await withdrawing.typed_amount(turn, text, asset)
        case TypingAddress() as talk:
            await withdrawing.typed_address(turn, talk, text)
        case Retyping() as talk:
            await withdrawing.retyped(turn, talk, text)
        case _:
            # What answers anything else was sealed as it came in.
            turn.say(answers.NOT_UNDERSTOOD, buttons.cancel())
