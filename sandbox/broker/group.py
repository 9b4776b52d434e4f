"""Group: who consumes together, generation by generation.

In        join, sync, heartbeat and leave, as Kafka's group protocol has them.
Out       futures that are answered when the whole group is ready for the answer.
Holds     members and timers in memory.
Promises  within a generation every member has one assignment; who is silent longer than its
          session loses its place; nobody commits in a generation that is over.
Why       the leader's client decides the assignment; the broker only carries it.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from enum import Enum

import structlog

from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.member import JoinWish, Member, answer_if_waiting, refused_join, synced
from sandbox.broker.wire import Fields

log = structlog.get_logger()


class State(Enum):
    """Where a group is in its generation; the values are the names that Kafka shows."""

    EMPTY = "Empty"
    JOINING = "PreparingRebalance"
    SYNCING = "CompletingRebalance"
    STABLE = "Stable"


class Group:
    """One group; call it from the event loop's thread only."""

    def __init__(self, name: str, frozen: Callable[[], bool], emptied: Callable[[], None]) -> None:
        self.name = name
        self.state = State.EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol = ""
        self.members: dict[str, Member] = {}
        self._leader: Member | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._frozen = frozen
        self._emptied = emptied
        self._loop = asyncio.get_running_loop()

    def join(self, wish: JoinWish) -> asyncio.Future[Fields]:
        """Take a member in, or back in; the answer comes when the generation begins.

        Raises:
            KafkaRefusal: when it shares no protocol with the others, or is not known.
        """
        self._refuse_strangers_protocols(wish)
        answer: asyncio.Future[Fields] = self._loop.create_future()
        if wish.member_id:
            member = self._known(wish.member_id, wish.instance_id)
            changed = member.wish.protocols != wish.protocols
        else:
            twin = self._instance(wish.instance_id)
            if twin is not None:
                return self._replace_static(twin, wish, answer)
            prefix = wish.instance_id or wish.client_id or "member"
            member = Member(f"{prefix}-{secrets.token_hex(16)}", wish)
            self.members[member.member_id] = member
            changed = True
        member.wish = wish
        settled = self.state in {State.SYNCING, State.STABLE} and not changed
        if settled and not (self.state is State.STABLE and member is self._leader):
            # It only missed the answer: what was decided still stands.
            answer.set_result(self._joined(member))
            self._hear(member)
            return answer
        self._hold_join(member, answer)
        self._rebalance()
        self._begin_if_all_joined()
        return answer

    def sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        assignments: Iterable[tuple[str, bytes]],
    ) -> asyncio.Future[Fields]:
        """Wait for the assignment; the leader brings everyone's.

        Raises:
            KafkaRefusal: when the member or its generation is not the group's.
        """
        member = self._current(member_id, instance_id, generation)
        if self.state is State.JOINING:
            raise KafkaRefusal(Code.REBALANCE_IN_PROGRESS, "the group is joining")
        answer: asyncio.Future[Fields] = self._loop.create_future()
        if self.state is State.STABLE:
            answer.set_result(synced(member))
            self._hear(member)
            return answer
        member.syncing = answer
        self._stop_timer(member)
        if member is self._leader:
            brought = dict(assignments)
            self.state = State.STABLE
            for each in self.members.values():
                each.assignment = brought.get(each.member_id, b"")
                if each.syncing is not None:
                    answer_if_waiting(each.syncing, synced(each))
                    each.syncing = None
                    self._hear(each)
            log.info("group_stable", group=self.name, generation=self.generation)
        return answer

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Hear that a member is alive.

        Raises:
            KafkaRefusal: when it has to join again.
        """
        member = self._current(member_id, None, generation)
        if member.joining is None and member.syncing is None:
            self._hear(member)
        if self.state is State.JOINING:
            raise KafkaRefusal(Code.REBALANCE_IN_PROGRESS, "the group is joining")

    def leave(self, member_id: str) -> None:
        """Let a member go.

        Raises:
            KafkaRefusal: when it is not known.
        """
        self._remove(self._known(member_id, None), "left")

    def refuse_commit(self, member_id: str, generation: int) -> None:
        """Refuse a commit that is not of this generation.

        Raises:
            KafkaRefusal: with the reason.
        """
        if generation < 0 and not self.members:
            return
        member = self._current(member_id, None, generation)
        if self.state is State.SYNCING:
            raise KafkaRefusal(Code.REBALANCE_IN_PROGRESS, "the generation has not begun")
        if member.joining is None:
            self._hear(member)

    def rebalance_now(self) -> None:
        """Make every member join again."""
        if self.members:
            self._rebalance()

    def close(self) -> None:
        """Stop every timer and answer nobody any more."""
        self._stop_deadline()
        for member in self.members.values():
            self._stop_timer(member)
            for waiting in (member.joining, member.syncing):
                if waiting is not None:
                    waiting.cancel()
        self.members.clear()

    def _refuse_strangers_protocols(self, wish: JoinWish) -> None:
        names = {name for name, _ in wish.protocols}
        others = [each for each in self.members.values() if each.member_id != wish.member_id]
        shared = names.intersection(*({name for name, _ in each.wish.protocols} for each in others))
        if not wish.protocol_type or not shared:
            raise KafkaRefusal(Code.INCONSISTENT_GROUP_PROTOCOL, "no protocol is everyone's")
        if others and wish.protocol_type != self.protocol_type:
            raise KafkaRefusal(
                Code.INCONSISTENT_GROUP_PROTOCOL, f"the group's type is {self.protocol_type}"
            )
        self.protocol_type = wish.protocol_type

    def _known(self, member_id: str, instance_id: str | None) -> Member:
        member = self.members.get(member_id)
        if instance_id is not None:
            twin = self._instance(instance_id)
            if twin is not None and twin is not member:
                raise KafkaRefusal(Code.FENCED_INSTANCE_ID, "another member is that instance")
        if member is None:
            raise KafkaRefusal(Code.UNKNOWN_MEMBER_ID, "the member is not in the group")
        return member

    def _current(self, member_id: str, instance_id: str | None, generation: int) -> Member:
        member = self._known(member_id, instance_id)
        if generation != self.generation:
            raise KafkaRefusal(
                Code.ILLEGAL_GENERATION, f"the group is in generation {self.generation}"
            )
        return member

    def _instance(self, instance_id: str | None) -> Member | None:
        if instance_id is None:
            return None
        return next(
            (each for each in self.members.values() if each.wish.instance_id == instance_id), None
        )

    def _replace_static(
        self, twin: Member, wish: JoinWish, answer: asyncio.Future[Fields]
    ) -> asyncio.Future[Fields]:
        fenced = {"error_code": Code.FENCED_INSTANCE_ID}
        if twin.joining is not None:
            answer_if_waiting(twin.joining, refused_join(twin.member_id, Code.FENCED_INSTANCE_ID))
            twin.joining = None
        if twin.syncing is not None:
            answer_if_waiting(twin.syncing, fenced | {"member_assignment": b""})
            twin.syncing = None
        leader_before = self._leader.member_id if self._leader is not None else ""
        del self.members[twin.member_id]
        unchanged = twin.wish.protocols == wish.protocols
        twin.member_id = f"{wish.instance_id}-{secrets.token_hex(16)}"
        twin.wish = wish
        self.members[twin.member_id] = twin
        if self.state is State.STABLE and unchanged:
            # It is told the leader's old name, so that it does not assign anew.
            answer.set_result(self._joined(twin) | {"leader_id": leader_before, "members": []})
            self._hear(twin)
            return answer
        self._hold_join(twin, answer)
        self._rebalance()
        self._begin_if_all_joined()
        return answer

    def _hold_join(self, member: Member, answer: asyncio.Future[Fields]) -> None:
        if member.joining is not None:
            member.joining.cancel()
        member.joining = answer
        self._stop_timer(member)

    def _rebalance(self) -> None:
        if self.state is State.JOINING:
            return
        for member in self.members.values():
            if member.syncing is not None:
                refused = {"error_code": Code.REBALANCE_IN_PROGRESS, "member_assignment": b""}
                answer_if_waiting(member.syncing, refused)
                member.syncing = None
                self._hear(member)
        self.state = State.JOINING
        self._arm_deadline()

    def _arm_deadline(self) -> None:
        self._stop_deadline()
        slowest = max(each.wish.rebalance_timeout_ms for each in self.members.values())
        self._deadline = self._loop.call_later(slowest / 1000, self._late)

    def _late(self) -> None:
        if self._frozen():
            self._arm_deadline()
            return
        for member in [each for each in self.members.values() if each.joining is None]:
            self._drop(member, "did_not_rejoin")
        self._begin()

    def _begin_if_all_joined(self) -> None:
        joined = all(each.joining is not None for each in self.members.values())
        if self.state is State.JOINING and joined:
            self._begin()

    def _begin(self) -> None:
        self._stop_deadline()
        for member in list(self.members.values()):
            # The connection on which it waited for the answer is gone.
            if member.joining is not None and member.joining.cancelled():
                self._drop(member, "hung_up")
        if not self.members:
            self._leader = None
            self.state = State.EMPTY
            self._emptied()
            return
        self.generation += 1
        self.protocol = self._elect_protocol()
        if self._leader is None or self._leader.member_id not in self.members:
            self._leader = next(iter(self.members.values()))
        self.state = State.SYNCING
        log.info(
            "group_joined",
            group=self.name,
            generation=self.generation,
            members=len(self.members),
        )
        for member in self.members.values():
            member.assignment = b""
            if member.joining is not None:
                answer_if_waiting(member.joining, self._joined(member))
                member.joining = None
            self._hear(member)

    def _elect_protocol(self) -> str:
        members = list(self.members.values())
        shared = set.intersection(*({name for name, _ in each.wish.protocols} for each in members))
        votes = [
            next(name for name, _ in each.wish.protocols if name in shared) for each in members
        ]
        return max(votes, key=votes.count)

    def _joined(self, member: Member) -> Fields:
        leads = member is self._leader
        return {
            "error_code": Code.NONE,
            "generation_id": self.generation,
            "group_protocol": self.protocol,
            "leader_id": self._leader.member_id if self._leader is not None else "",
            "member_id": member.member_id,
            "members": [
                {
                    "member_id": each.member_id,
                    "group_instance_id": each.wish.instance_id,
                    "member_metadata": each.metadata_for(self.protocol),
                }
                for each in (self.members.values() if leads else ())
            ],
        }

    def _hear(self, member: Member) -> None:
        self._stop_timer(member)
        member.expiry = self._loop.call_later(
            member.wish.session_timeout_ms / 1000, self._silent, member
        )

    def _silent(self, member: Member) -> None:
        if self._frozen():
            # While nothing is answered nobody can be blamed for silence.
            self._hear(member)
            return
        self._remove(member, "silent")

    def _remove(self, member: Member, reason: str) -> None:
        self._drop(member, reason)
        if self.state in {State.SYNCING, State.STABLE} and self.members:
            self._rebalance()
        elif not self.members:
            self._begin()
        else:
            self._begin_if_all_joined()

    def _drop(self, member: Member, reason: str) -> None:
        log.info("member_gone", group=self.name, member=member.member_id, reason=reason)
        self._stop_timer(member)
        del self.members[member.member_id]
        for waiting in (member.joining, member.syncing):
            if waiting is not None:
                waiting.cancel()

    def _stop_timer(self, member: Member) -> None:
        if member.expiry is not None:
            member.expiry.cancel()
            member.expiry = None

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
