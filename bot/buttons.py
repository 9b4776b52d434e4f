"""Buttons: every keyboard, as what its buttons say and do.

In        what is shown: a room, a page, a question.
Out       rows of keys; tokens are given to them later, when they are written down.
Promises  pure; YES is green and NO is red wherever they stand; no row is wider than a phone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import unescape
from typing import TypeAlias
from urllib.parse import quote

from bot import actions
from bot.actions import Action
from bot.phrases import words
from rooms.room import Room, Side, State, room_code
from rooms.units import Lamports, UnixMs
from storage.cards import RoomCard, WaitingLine

STAKES = (Lamports(100_000_000), Lamports(500_000_000), Lamports(1_000_000_000))
TOKEN_STAKES = (5, 10, 25, 100)
LIST_PAGE = 6
LONG_PAGE = 8

_STYLE = {Side.YES: "success", Side.NO: "danger"}


@dataclass(frozen=True, slots=True)
class Key:
    """One button: exactly one of action, url and copy says what it does."""

    text: str
    action: Action | None = None
    url: str | None = None
    copy: str | None = None
    style: str | None = None


Keys: TypeAlias = Sequence[Sequence[Key]]

HOME = Key("🏠 Home", actions.ShowHome())
CANCEL = Key("✖️ Cancel", actions.Cancel())


def home() -> Keys:
    """Lead everywhere."""
    return [
        [Key("🎯 Rooms", actions.ShowRooms()), Key("➕ Create room", actions.BeginRoom())],
        [Key("🎟 My bets", actions.ShowBets()), Key("👛 Wallet", actions.ShowWallet())],
        [
            Key("🤝 Referrals", actions.ShowInvite()),
            Key("📖 Rules", actions.ShowRules()),
            Key("❔ Help", actions.ShowHelp()),
        ],
    ]


def back_home() -> Keys:
    """Lead home."""
    return [[HOME]]


def rooms_list(cards: Sequence[RoomCard], page: int, *, more: bool) -> Keys:
    """Lead to each room of a page, to the pages beside it, and to a new room."""
    rows = [
        [Key(_room_key(nth, card), actions.ShowRoom(room=card.room.id))]
        for nth, card in enumerate(cards, 1)
    ]
    turns = _pages(page, lambda number: actions.ShowRooms(page=number), more=more)
    return [
        *rows,
        *([turns] if turns else []),
        [
            Key("➕ Create room", actions.BeginRoom()),
            Key("🔄 Refresh", actions.ShowRooms(page=page)),
        ],
        [HOME],
    ]


def room_card(card: RoomCard, now: UnixMs, link: str) -> Keys:
    """Offer the sides while bets are open; refresh, share and back always."""
    room = card.room
    rows: list[list[Key]] = []
    if card.state is State.OPEN and now < room.lock_at:
        sides = [card.own_side] if card.own_side else list(Side)
        rows.append(
            [
                Key(
                    f"{'Add to ' if card.own_side else ''}{side}",
                    actions.PickStake(room=room.id, side=side),
                    style=_STYLE[side],
                )
                for side in sides
            ]
        )
    extra = [Key("🔄 Refresh", actions.ShowRoom(room=room.id)), Key("📣 Share", url=_share(link))]
    if card.vault:
        extra.append(Key("📋 Pool's address", copy=card.vault))
    return [*rows, extra, [Key("⬅️ Rooms", actions.ShowRooms()), HOME]]


def to_room(room: int) -> Keys:
    """Lead to a room."""
    return [[Key("🎯 Open room", actions.ShowRoom(room=room))]]


def to_rooms() -> Keys:
    """Lead to the list of rooms."""
    return [[Key("🎯 Rooms", actions.ShowRooms()), HOME]]


def share(room: int, link: str) -> Keys:
    """Lead to a room and let it be shared."""
    return [
        [Key("🎯 Open room", actions.ShowRoom(room=room)), Key("📣 Share", url=_share(link))],
    ]


def pick_stake(card: RoomCard, side: Side) -> Keys:
    """Offer amounts that the room takes, and typing another."""
    room = card.room
    most = room.stake_lamports_max - card.own_lamports
    usual: tuple[Lamports, ...] = STAKES
    if room.money.is_token:
        usual = tuple(Lamports(each * 10**room.asset_decimals) for each in TOKEN_STAKES)
    offered = [each for each in usual if room.stake_lamports_min <= each <= most]
    amounts = [
        Key(
            words.money(each, room.money),
            actions.ReviewBet(room=room.id, side=side, lamports=each),
            style=_STYLE[side],
        )
        for each in offered
    ]
    return [
        *([amounts] if amounts else []),
        [Key("✏️ Other amount", actions.TypeStake(room=room.id, side=side))],
        [Key("⬅️ Back", actions.ShowRoom(room=room.id))],
    ]


def review_bet(room: Room, side: Side, lamports: Lamports) -> Keys:
    """Offer to place a bet."""
    return [
        [
            Key(
                f"✅ Bet {words.money(lamports, room.money)} on {side}",
                actions.PlaceBet(room=room.id, side=side, lamports=lamports),
                style=_STYLE[side],
            )
        ],
        [Key("⬅️ Change", actions.PickStake(room=room.id, side=side)), CANCEL],
    ]


def cancel() -> Keys:
    """Offer to leave a dialogue."""
    return [[CANCEL]]


def wallet(address: str | None, *, waits: bool = False) -> Keys:
    """Lead into and out of a wallet."""
    return [
        [
            Key("📥 Deposit", actions.ShowDeposit()),
            Key("📤 Withdraw", actions.BeginWithdrawal(), style="primary"),
        ],
        *([[Key("⏳ Waiting withdrawals", actions.ShowWithdrawals())]] if waits else []),
        [
            Key("📜 History", actions.ShowHistory()),
            *([Key("📋 Copy address", copy=address)] if address else []),
        ],
        [Key("🔄 Refresh", actions.ShowWallet()), HOME],
    ]


def deposit(address: str | None) -> Keys:
    """Let the address be copied."""
    rows = [[Key("📋 Copy address", copy=address)]] if address else []
    return [*rows, [Key("⬅️ Wallet", actions.ShowWallet())]]


def history(page: int, *, more: bool) -> Keys:
    """Turn the pages of a history."""
    turns = _pages(page, lambda number: actions.ShowHistory(page=number), more=more)
    return [*([turns] if turns else []), [Key("⬅️ Wallet", actions.ShowWallet())]]


def bets(page: int, *, won: bool, more: bool) -> Keys:
    """Turn the pages of bets."""
    turns = _pages(page, lambda number: actions.ShowBets(page=number, won=won), more=more)
    other = (
        Key("🎟 All bets", actions.ShowBets())
        if won
        else Key("🏆 Only won", actions.ShowBets(won=True))
    )
    refresh = Key("🔄 Refresh", actions.ShowBets(page=page, won=won))
    return [*([turns] if turns else []), [other, refresh], [HOME]]


def withdraw_amount(asset: str, others: Sequence[str]) -> Keys:
    """Offer everything of an asset, or another asset."""
    rows = [[Key(f"{each} instead", actions.BeginWithdrawal(asset=each)) for each in others]]
    return [
        [Key("All of it", actions.WithdrawAll(asset=asset))],
        *(rows if others else []),
        [CANCEL],
    ]


def choose_address(lamports: Lamports, addresses: Sequence[str], asset: str) -> Keys:
    """Offer addresses of the book."""
    rows = [
        [Key(_short(each), actions.ChooseAddress(lamports=lamports, to_address=each, asset=asset))]
        for each in addresses[:LIST_PAGE]
    ]
    return [*rows, [CANCEL]]


def addresses(book: Sequence[str]) -> Keys:
    """Offer to forget addresses."""
    rows = [[Key(f"🗑 Forget {_short(each)}", actions.ForgetAddress(address=each))] for each in book]
    return [*rows, [Key("⬅️ Wallet", actions.ShowWallet())]]


def waiting(lines: Sequence[WaitingLine]) -> Keys:
    """Offer to call withdrawals off."""
    rows = [call_off(each.id, f" {words.money(each.lamports, each.asset)}")[0] for each in lines]
    return [*rows, [Key("⬅️ Wallet", actions.ShowWallet())]]


def call_off(withdrawal: int, what: str = "") -> Keys:
    """Offer to call a withdrawal off."""
    action = actions.CancelWithdrawal(withdrawal=withdrawal)
    return [[Key(f"✖️ Call off{what}", action, style="danger")]]


def careful(withdrawal: int) -> Keys:
    """Offer to call a withdrawal off, or everything."""
    return [*call_off(withdrawal), [Key("🛑 It was not me", actions.NotMe())]]


def security(*, has_pin: bool, has_authenticator: bool) -> Keys:
    """Offer to choose a PIN and to add an authenticator."""
    pin = Key("🔐 Change PIN" if has_pin else "🔐 Choose a PIN", actions.BeginPin())
    other = "🔑 Another authenticator" if has_authenticator else "🔑 Add an authenticator"
    phone = [[Key(other, actions.BeginAuthenticator())]] if has_pin else []
    return [[pin], *phone, [HOME]]


def add_authenticator() -> Keys:
    """Offer to add an authenticator."""
    return [[Key("🔑 Add an authenticator", actions.BeginAuthenticator())], [CANCEL]]


def authenticator(name: str) -> Keys:
    """Let a person say that the picture is in the phone."""
    return [[Key("✅ It is in my phone", actions.AuthenticatorAdded(authenticator=name))], [CANCEL]]


def after_pin() -> Keys:
    """Lead to what a person wanted."""
    return [[Key("📤 Withdraw", actions.BeginWithdrawal(), style="primary"), HOME]]


def invite(link: str) -> Keys:
    """Let the invitation be shared."""
    return [[Key("📣 Share", url=_share(link)), Key("📋 Copy link", copy=link)], [HOME]]


def to_private(link: str) -> Keys:
    """Lead from a group to the private chat."""
    return [[Key("Open ROOMS", url=link)]]


def room_link(username: str, room: int) -> str:
    """Return the link that opens a room in the bot."""
    return f"https://t.me/{username}?start=room_{room_code(room)}"


def invite_link(username: str, user: int) -> str:
    """Return the link by which a person invites others."""
    return f"https://t.me/{username}?start=ref_{room_code(user)}"


def _room_key(nth: int, card: RoomCard) -> str:
    return f"{nth}. {unescape(words.title_of(card))}"


def _short(address: str) -> str:
    return f"{address[:4]}…{address[-4:]}"


def _pages(page: int, turn: Callable[[int], Action], *, more: bool) -> list[Key]:
    before = [Key("◀️ Before", turn(page - 1))] if page else []
    after = [Key("More ▶️", turn(page + 1))] if more else []
    return before + after


def _share(link: str) -> str:
    return f"https://t.me/share/url?url={quote(link, safe='')}"
