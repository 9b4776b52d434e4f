"""Turn: one update being handled: who asks, what is known, what will be answered.

In        a connection in the transaction of the update, the person, the moment.
Out       replies, sent after the commit; buttons, written down in it.
Promises  a reply that is not committed is never sent; every button shown has its row.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bot import actions, conversation
from bot.actions import Action
from bot.buttons import Key, Keys, invite_link, room_link
from bot.conversation import Conversation
from bot.factors import Factors
from bot.replies import Answer, Delete, Edit, Enrol, Keyboard, Reply, Send
from bot.settings import BotSettings
from rooms.units import UnixMs
from storage import buttons, conversations
from storage.connections import Connection
from storage.live import LivePrice
from storage.people import Person

ANSWER_LETTERS_MAX = 200


class Prices(Protocol):
    """Where the prices of now are read; `storage.live.Live` is one."""

    async def prices_of(self, feeds: Iterable[str]) -> Mapping[str, LivePrice]:
        """Return the live price of each feed that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What every turn of this installation has in common.

    Attributes:
        factors: seal and compare PINs and codes.
        username: of the bot, for links.
        token: makes a new random token of 128 bits.
        now: the clock.
    """

    settings: BotSettings
    prices: Prices
    factors: Factors
    username: str
    token: Callable[[], str]
    now: Callable[[], UnixMs]

    def room_link(self, room: int) -> str:
        """Return the link that opens a room."""
        return room_link(self.username, room)

    def invite_link(self, user: int) -> str:
        """Return the link by which a person invites others."""
        return invite_link(self.username, user)


@dataclass(slots=True, kw_only=True)
class Turn:
    """One update being handled.

    Attributes:
        key: names this press or message; what it asks for is asked under this name.
        query_id: of the press that is to be answered, or None for a message.
        message_id: of our message whose button was pressed, or None.
        talk: the dialogue that the person is in.
    """

    place: Place
    connection: Connection
    person: Person
    now: UnixMs
    key: str
    query_id: str | None = None
    message_id: int | None = None
    talk: Conversation | None = None
    _replies: list[Reply] = field(default_factory=list)
    _buttons: list[buttons.Button] = field(default_factory=list)
    _answer: Answer | None = None

    def show(self, text: str, keys: Keys = ()) -> None:
        """Write in place of the message whose button was pressed, or anew."""
        if self.message_id is None:
            self.say(text, keys)
            return
        keyboard = self._keyboard(keys)
        self._replies.append(Edit(self.person.chat_id, self.message_id, text, keyboard))

    def say(self, text: str, keys: Keys = ()) -> None:
        """Write a new message."""
        self._replies.append(Send(self.person.chat_id, text, self._keyboard(keys)))

    def toast(self, text: str, *, alert: bool = False) -> None:
        """Answer the press with a few words."""
        if self.query_id is not None:
            self._answer = Answer(self.query_id, text[:ANSWER_LETTERS_MAX], alert)

    def enrol(self, authenticator: str, keys: Keys) -> None:
        """Show the secret of a new authenticator, as a picture of its own."""
        person = self.person
        self._replies.append(Enrol(person.chat_id, person.id, authenticator, self._keyboard(keys)))

    def delete(self, message_id: int) -> None:
        """Take a message away."""
        self._replies.append(Delete(self.person.chat_id, message_id))

    async def begin(self, state: Conversation) -> None:
        """Await the person's next words as an answer to this."""
        await conversations.begin(self.connection, self.person.id, conversation.stored(state))
        self.talk = state

    async def end(self) -> None:
        """Await nothing any more."""
        if self.talk is not None:
            await conversations.end(self.connection, self.person.id)
            self.talk = None

    async def price(self, feed: str) -> LivePrice | None:
        """Return the live price of a feed."""
        return (await self.place.prices.prices_of([feed])).get(feed)

    async def finish(self) -> list[Reply]:
        """Write the buttons down and return what is to be answered, the press first."""
        if self._buttons:
            await buttons.show(self.connection, self._buttons)
        if self.query_id is None:
            return self._replies
        return [self._answer or Answer(self.query_id), *self._replies]

    def _keyboard(self, keys: Keys) -> Keyboard:
        keyboard, written = lay_out(self.place, self.person.id, self.now, keys)
        self._buttons += written
        return keyboard


def lay_out(
    place: Place, user: int, now: UnixMs, keys: Keys
) -> tuple[Keyboard, list[buttons.Button]]:
    """Give every key that acts a token; return the keyboard and the rows behind it."""
    written: list[buttons.Button] = []

    def one(key: Key) -> dict[str, Any]:
        shown: dict[str, Any] = {"text": key.text}
        if key.style is not None:
            shown["style"] = key.style
        if key.url is not None:
            shown["url"] = key.url
        elif key.copy is not None:
            shown["copy_text"] = {"text": key.copy}
        else:
            assert key.action is not None, "a key does something"
            token = place.token()
            until = UnixMs(now + life_ms(place.settings, key.action))
            written.append(buttons.Button(token, user, actions.stored(key.action), until))
            shown["callback_data"] = token
        return shown

    return [[one(key) for key in row] for row in keys], written


def life_ms(settings: BotSettings, action: Action) -> int:
    """Say how long a button stays good."""
    return settings.money_ms if isinstance(action, actions.MONEY) else settings.button_ms
