"""Actions: everything a button can mean.

Holds     one small shape for each, as it is stored behind a token.
Promises  an action that asks for something is used once and carries all that it asks for, so that
          what was shown is what is done; one that only shows may be pressed again.
"""

from typing import Any, TypeAlias, get_args

import msgspec

from rooms.asset import SOL
from rooms.room import Comparator, Side
from rooms.units import Lamports


class _Action(msgspec.Struct, frozen=True, tag_field="do", omit_defaults=True):
    """Say what a press does."""


class ShowHome(_Action, frozen=True, tag="home"):
    """Show who the person is here, and where everything is."""


class ShowHelp(_Action, frozen=True, tag="help"):
    """Show what can be done."""


class ShowRules(_Action, frozen=True, tag="rules"):
    """Show how rooms are decided and paid."""


class ShowInvite(_Action, frozen=True, tag="invite"):
    """Show the invitation link."""


class ShowRooms(_Action, frozen=True, tag="rooms"):
    """Show a page of rooms."""

    page: int = 0


class ShowRoom(_Action, frozen=True, tag="room"):
    """Show one room, anew."""

    room: int


class ShowBets(_Action, frozen=True, tag="bets"):
    """Show a page of the person's bets."""

    page: int = 0
    won: bool = False


class ShowWallet(_Action, frozen=True, tag="wallet"):
    """Show what the person has."""


class ShowDeposit(_Action, frozen=True, tag="deposit"):
    """Show how lamports come in."""


class ShowHistory(_Action, frozen=True, tag="history"):
    """Show a page of what changed."""

    page: int = 0


class PickStake(_Action, frozen=True, tag="pick_stake"):
    """Ask how much to stake on a side."""

    room: int
    side: Side


class TypeStake(_Action, frozen=True, tag="type_stake"):
    """Ask for an amount to be typed."""

    room: int
    side: Side


class ReviewBet(_Action, frozen=True, tag="review_bet"):
    """Show a bet before it is placed."""

    room: int
    side: Side
    lamports: Lamports


class PlaceBet(_Action, frozen=True, tag="place_bet"):
    """Ask for the bet."""

    room: int
    side: Side
    lamports: Lamports


class BeginRoom(_Action, frozen=True, tag="begin_room"):
    """Begin to make a room."""


class ChooseFeed(_Action, frozen=True, tag="choose_feed"):
    """Take this feed."""

    feed: str


class ChooseMove(_Action, frozen=True, tag="choose_move"):
    """Take this move."""

    move_bps: int


class ChooseValue(_Action, frozen=True, tag="choose_value"):
    """Keep the fixed value that was typed."""

    value: int


class ChooseLock(_Action, frozen=True, tag="choose_lock"):
    """Take this time until bets lock."""

    ms: int


class ChooseDeadline(_Action, frozen=True, tag="choose_deadline"):
    """Take this time until the deadline."""

    ms: int


class ChangeStep(_Action, frozen=True, tag="change_step"):
    """Go back to one question of a room in the making."""

    step: str


class ChooseAsset(_Action, frozen=True, tag="choose_asset"):
    """Take what is staked."""

    asset: str


class ChooseLimits(_Action, frozen=True, tag="choose_limits"):
    """Take these stake limits."""

    least: Lamports
    most: Lamports


class ChooseTouch(_Action, frozen=True, tag="choose_touch"):
    """Take this touch rule: held for so long; 0 lets the first touch decide."""

    held_ms: int


class OpenRoom(_Action, frozen=True, tag="open_room"):
    """Ask for the room, exactly as it was shown."""

    feed: str
    move_bps: int | None
    fixed_value: int | None
    lock_in_ms: int
    deadline_in_ms: int
    least: Lamports
    most: Lamports
    comparator: Comparator | None = None
    held_ms: int | None = None
    asset: str = SOL.name


class BeginWithdrawal(_Action, frozen=True, tag="begin_withdrawal"):
    """Ask how much shall leave."""

    asset: str = SOL.name


class WithdrawAll(_Action, frozen=True, tag="withdraw_all"):
    """Take everything that is available."""

    asset: str = SOL.name


class ChooseAddress(_Action, frozen=True, tag="choose_address"):
    """Take this address of the person's book."""

    lamports: Lamports
    to_address: str
    asset: str = SOL.name


class ShowAddresses(_Action, frozen=True, tag="addresses"):
    """Show the address book."""


class ForgetAddress(_Action, frozen=True, tag="forget_address"):
    """Take an address out of the book."""

    address: str


class ShowWithdrawals(_Action, frozen=True, tag="withdrawals"):
    """Show withdrawals that have not left yet."""


class CancelWithdrawal(_Action, frozen=True, tag="cancel_withdrawal"):
    """Ask for a withdrawal back."""

    withdrawal: int


class NotMe(_Action, frozen=True, tag="not_me"):
    """Call everything off that has not left, and let nothing leave for a day."""


class ShowSecurity(_Action, frozen=True, tag="security"):
    """Show how the person proves itself."""


class BeginPin(_Action, frozen=True, tag="begin_pin"):
    """Choose a PIN, or another."""


class BeginAuthenticator(_Action, frozen=True, tag="begin_authenticator"):
    """Add an authenticator, or another."""


class AuthenticatorAdded(_Action, frozen=True, tag="authenticator_added"):
    """Say that the picture is in the phone."""

    authenticator: str


class Cancel(_Action, frozen=True, tag="cancel"):
    """Leave the dialogue; nothing has happened."""


Action: TypeAlias = (
    ShowHome
    | ShowHelp
    | ShowRules
    | ShowInvite
    | ShowRooms
    | ShowRoom
    | ShowBets
    | ShowWallet
    | ShowDeposit
    | ShowHistory
    | PickStake
    | TypeStake
    | ReviewBet
    | PlaceBet
    | BeginRoom
    | ChooseFeed
    | ChooseMove
    | ChooseValue
    | ChooseLock
    | ChooseDeadline
    | ChangeStep
    | ChooseAsset
    | ChooseLimits
    | ChooseTouch
    | OpenRoom
    | BeginWithdrawal
    | WithdrawAll
    | ChooseAddress
    | ShowAddresses
    | ForgetAddress
    | ShowWithdrawals
    | CancelWithdrawal
    | NotMe
    | ShowSecurity
    | BeginPin
    | BeginAuthenticator
    | AuthenticatorAdded
    | Cancel
)

MONEY = (ReviewBet, PlaceBet, OpenRoom, WithdrawAll, ChooseAddress)
"""They carry a quote or an order, so they lapse soon."""

ONCE = (PlaceBet, OpenRoom)
"""They ask for something to happen, so they are used once."""

assert set(_Action.__subclasses__()) == set(get_args(Action)), "every action can be stored"


def stored(action: Action) -> dict[str, Any]:
    """Write an action as JSON."""
    written: dict[str, Any] = msgspec.to_builtins(action)
    return written


def read(stored_action: dict[str, Any]) -> Action:
    """Read what `stored` wrote."""
    found: Action = msgspec.convert(stored_action, Action)
    return found
