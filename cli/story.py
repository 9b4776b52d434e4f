"""Story: people who act in the chat, as the demo plays them.

In        a person in the chat; what the person wants.
Out       what the bot said to it, told on as it happens.
Promises  everything goes through the real bot, by words and buttons; a wait is bounded.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rooms.room import room_from_code
from sandbox.telegram.person import Message, Person

WAIT_S: Final = 60.0
LOOK_EVERY_S: Final = 0.3
PIN: Final = "271828"
_CODE: Final = re.compile(r"room ([2-9a-hjkmnp-z]{5,13})")

Tell = Callable[[str, str], None]


@dataclass(slots=True)
class Actor:
    """A person and how its story is told."""

    person: Person
    tell: Tell

    @property
    def name(self) -> str:
        """Return the person's name."""
        return self.person.name

    async def arrive(self) -> None:
        """Get a wallet and test funds."""
        await self.person.say("/start")
        await self._hear("wallet is ready")
        self.tell(self.name, "has a wallet")
        await self.person.test_funds()
        told = await self._hear("arrived in your wallet")
        self.tell(self.name, _first_line(told))

    async def make_room(
        self, feed: str, target: str | None, lock: str, deadline: str, typed: str | None = None
    ) -> str:
        """Create a room and return its code once it is open.

        Args:
            feed: the button to press, unless an expression is ``typed``.
            target: what it must reach; None where nothing is asked: of a condition.
            lock: how long bets are taken.
            deadline: how long it lasts.
            typed: the expression.
        """
        await self.person.say("/create")
        asked = await self._hear("Which price")
        if typed is None:
            await self.person.press(feed, on=asked)
        else:
            await self.person.say(typed)
        if target is not None:
            await self._hear("How far must it move")
            await self.person.say(target)
        await self._hear("How long can people bet")
        await self.person.say(lock)
        await self._hear("When does it end")
        await self.person.press("Open", on=await self._reviewed(deadline))
        wanted = typed or f"{feed} {target}"
        self.tell(self.name, f"asks for a room: {wanted}, {lock} to bet, {deadline} in all")
        told = await self._hear("Your room is open")
        self.tell(self.name, _first_line(told))
        return code_of(told)

    async def bet(self, code: str, side: str, sol: str) -> None:
        """Stake on a side and wait until the stake has landed."""
        await self.person.say(f"/start room_{code}")
        await self.person.press(side, on=await self._hear("Bets lock"))
        await self.person.press("Other amount", on=await self._hear("How much"))
        await self._hear("Type")
        await self.person.say(sol)
        review = await self._hear("Your bet")
        await self.person.press(f"Bet {sol} SOL", on=review)
        told = await self._hear(f"{side} · {re.escape(sol)} SOL.*landed in.*{code}")
        self.tell(self.name, _first_line(told))

    async def hear_of(self, code: str, pattern: str, wait_s: float = WAIT_S) -> str:
        """Wait for a notice about a room and return the line that says it.

        Raises:
            TimeoutError: when it was not said in time.
        """
        said = re.compile(f"(?:{pattern}).*{code}|{code}.*(?:{pattern})")
        async with asyncio.timeout(wait_s):
            while True:
                # Several notices may have come as one message, so every line is looked at.
                for message in await self.person.messages():
                    for line in message.text.splitlines():
                        if message.by_bot and said.search(line):
                            told = " ".join(line.split())
                            self.tell(self.name, told)
                            return told
                await asyncio.sleep(LOOK_EVERY_S)

    async def withdraw(self, sol: str, address: str) -> None:
        """Choose a PIN, send SOL to an address outside, and wait until it has landed."""
        await self.person.say("/withdraw")
        await self._hear("Choose a PIN")
        await self.person.say(PIN)
        await self._hear("Once more")
        await self.person.say(PIN)
        await self.person.press("Withdraw", on=await self._hear("PIN is set"))
        self.tell(self.name, "has chosen a PIN")
        await self._hear("1 of 3")
        await self.person.say(sol)
        await self._hear("2 of 3")
        await self.person.say(address)
        await self._hear("3 of 3")
        await self.person.say(address[-6:])
        await self._hear("Now your PIN")
        await self.person.say(PIN)
        told = await self._hear("landed at")
        self.tell(self.name, _first_line(told))

    async def _reviewed(self, deadline: str) -> Message:
        """Say when it ends until the room can be shown: what is new has no price at first."""
        async with asyncio.timeout(WAIT_S):
            while True:
                await self.person.say(deadline)
                told = await self._hear("Your room|no price of")
                if "Your room" in told.text:
                    return told
                await asyncio.sleep(LOOK_EVERY_S)

    async def _hear(self, pattern: str) -> Message:
        return await self.person.expect(pattern, WAIT_S)


def code_of(told: Message) -> str:
    """Return the code of the room that a message names."""
    found = _CODE.search(told.text)
    if found is None:
        raise LookupError(f"no room is named in: {told.text}")
    assert room_from_code(found[1]) >= 0, "a code is a room's"
    return found[1]


def _first_line(told: Message) -> str:
    return " ".join(told.text.splitlines()[0].split())
