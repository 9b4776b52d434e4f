"""Groups: all groups that have members.

Promises  a group begins with its first member and ends with its last.
"""

import asyncio
from collections.abc import Callable

from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.group import Group
from sandbox.broker.member import JoinWish
from sandbox.broker.wire import Fields


class Groups:
    """All groups that have members."""

    def __init__(self, frozen: Callable[[], bool]) -> None:
        self._frozen = frozen
        self._groups: dict[str, Group] = {}

    def all(self) -> list[Group]:
        """List the groups by name."""
        return [self._groups[name] for name in sorted(self._groups)]

    def find(self, name: str) -> Group | None:
        """Find a group that has members."""
        return self._groups.get(name)

    def member_of(self, name: str) -> Group:
        """Find the group that a member says it is in.

        Raises:
            KafkaRefusal: when nobody is in it.
        """
        group = self._groups.get(name)
        if group is None:
            raise KafkaRefusal(Code.UNKNOWN_MEMBER_ID, "the group has no members")
        return group

    def join(self, name: str, wish: JoinWish) -> asyncio.Future[Fields]:
        """Take a member into a group, which begins with its first.

        Raises:
            KafkaRefusal: when the group does not take it.
        """
        group = self._groups.get(name)
        if group is None:
            if wish.member_id:
                raise KafkaRefusal(Code.UNKNOWN_MEMBER_ID, "the group has no members")
            group = Group(name, self._frozen, lambda: self._forget(name))
            self._groups[name] = group
        try:
            return group.join(wish)
        finally:
            if not group.members:
                self._forget(name)

    def close(self) -> None:
        """Stop all timers."""
        for group in self._groups.values():
            group.close()
        self._groups.clear()

    def _forget(self, name: str) -> None:
        self._groups.pop(name, None)
