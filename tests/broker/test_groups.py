"""Groups when members misbehave: late, hung up, dead before they assign, replaced by a twin."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import for_code
from aiokafka.protocol.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
)
from aiokafka.protocol.metadata import MetadataRequest

from sandbox.broker.serve import Broker, BrokerSettings, running_broker
from tests.broker.clients import PATIENCE_SECONDS, connecting, fetch_request, new_topic

GROUP = "watched"
LONG_MS = 600_000


class Member:
    """A group member on a connection of its own, doing one thing at a time."""

    def __init__(self, connection: AIOKafkaConnection, instance: str | None = None) -> None:
        self.connection = connection
        self.instance = cast(str, instance)
        self.name = ""
        self.generation = -1

    async def join(
        self,
        session_ms: int = LONG_MS,
        rebalance_ms: int = LONG_MS,
        protocols: tuple[str, ...] = ("range",),
    ) -> Any:  # noqa: ANN401 - an answer of aiokafka's has no type
        request = JoinGroupRequest(
            GROUP,
            session_ms,
            rebalance_ms,
            self.name,
            self.instance,
            "consumer",
            [(each, b"topics of " + each.encode()) for each in protocols],
        )
        answer = await asyncio.wait_for(self.connection.send(request), PATIENCE_SECONDS)
        self.name, self.generation = answer.member_id, answer.generation_id
        return answer

    async def sync(self, **assignments: bytes) -> tuple[str, bytes]:
        request = SyncGroupRequest(
            GROUP, self.generation, self.name, self.instance, list(assignments.items())
        )
        answer = await asyncio.wait_for(self.connection.send(request), PATIENCE_SECONDS)
        return for_code(answer.error_code).__name__, answer.member_assignment

    async def heartbeat(self) -> str:
        answer = await self.connection.send(HeartbeatRequest(GROUP, self.generation, self.name))
        return for_code(answer.error_code).__name__

    async def leave(self) -> str:
        answer = await self.connection.send(LeaveGroupRequest(GROUP, self.name))
        return for_code(answer.error_code).__name__


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    settings = BrokerSettings(data_dir=tmp_path, session_timeout_ms_min=10)
    async with running_broker(settings) as served:
        yield served


def at(broker: Broker) -> str:
    return f"127.0.0.1:{broker.port}"


async def until_waiting(broker: Broker, members: int) -> None:
    """Wait until so many members are in the group, whatever they wait for."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        # A broker tells nobody that it waits.
        while len(broker.state()["groups"].get(GROUP, {"members": []})["members"]) != members:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_the_leader_learns_of_everyone_and_its_assignment_reaches_each(
    broker: Broker,
) -> None:
    async with connecting(at(broker)) as one, connecting(at(broker)) as two:
        leader, follower = Member(one), Member(two)
        await leader.join()
        rejoined = asyncio.create_task(follower.join())
        await until_waiting(broker, 2)
        assert await leader.heartbeat() == "RebalanceInProgressError"
        led = await leader.join()
        followed = await rejoined
        assert led.leader_id == followed.leader_id == leader.name
        assert {member[0] for member in led.members} == {leader.name, follower.name}
        assert followed.members == []
        waiting = asyncio.create_task(follower.sync())
        given = {leader.name: b"mine", follower.name: b"yours"}
        assert await leader.sync(**given) == ("NoError", b"mine")
        assert await waiting == ("NoError", b"yours")
        # Who missed the answer asks again and hears the same.
        assert (await follower.join()).generation_id == leader.generation
        assert await follower.sync() == ("NoError", b"yours")


async def test_a_member_that_does_not_rejoin_in_time_is_dropped(broker: Broker) -> None:
    async with connecting(at(broker)) as one, connecting(at(broker)) as two:
        late, prompt = Member(one), Member(two)
        await late.join(rebalance_ms=100)
        await late.sync(**{late.name: b""})
        joined = await prompt.join(rebalance_ms=100)
        assert [member[0] for member in joined.members] == [prompt.name]
        assert await late.heartbeat() == "UnknownMemberIdError"


async def test_a_leader_that_dies_before_it_assigns_is_replaced(broker: Broker) -> None:
    async with connecting(at(broker)) as one, connecting(at(broker)) as two:
        dies, stays = Member(one), Member(two)
        await dies.join(session_ms=100)
        joining = asyncio.create_task(stays.join())
        await until_waiting(broker, 2)
        await dies.join(session_ms=100)
        await joining
        assert (await stays.sync())[0] == "RebalanceInProgressError"
        assert (await stays.join()).leader_id == stays.name


async def test_a_member_that_hung_up_while_it_joined_is_not_waited_for(broker: Broker) -> None:
    async with connecting(at(broker)) as one, connecting(at(broker)) as three:
        first, third = Member(one), Member(three)
        await first.join()
        async with connecting(at(broker)) as two:
            hangs_up = asyncio.create_task(Member(two).join())
            await until_waiting(broker, 2)
            hangs_up.cancel()
            await asyncio.wait([hangs_up])
        joining = asyncio.create_task(third.join())
        await until_waiting(broker, 3)
        led = await first.join()
        await joining
        assert {member[0] for member in led.members} == {first.name, third.name}


async def test_members_choose_a_protocol_that_all_of_them_know(broker: Broker) -> None:
    async with connecting(at(broker)) as one, connecting(at(broker)) as two:
        old, new = Member(one), Member(two)
        assert (await old.join(protocols=("range",))).group_protocol == "range"
        joining = asyncio.create_task(new.join(protocols=("sticky", "range")))
        await until_waiting(broker, 2)
        assert (await old.join(protocols=("range",))).group_protocol == "range"
        await joining
        async with connecting(at(broker)) as three:
            refused = await Member(three).join(protocols=("sticky",))
        assert for_code(refused.error_code).__name__ == "InconsistentGroupProtocolError"


async def test_a_twin_of_a_static_member_fences_the_older_one(broker: Broker) -> None:
    async with connecting(at(broker)) as one, connecting(at(broker)) as two:
        older, twin = Member(one, "same"), Member(two, "same")
        await older.join()
        await older.sync(**{older.name: b"work"})
        assert (await twin.join()).generation_id == older.generation
        assert await twin.sync() == ("NoError", b"work")
        # 82 is newer than aiokafka's list of errors.
        assert (await older.join()).error_code == 82
        assert await older.heartbeat() == "UnknownMemberIdError"


async def test_a_stranger_and_a_leaver_are_not_members(broker: Broker) -> None:
    async with connecting(at(broker)) as one:
        member = Member(one)
        member.name = "never-seen"
        assert for_code((await member.join()).error_code).__name__ == "UnknownMemberIdError"
        member.name = ""
        await member.join()
        assert await member.leave() == "NoError"
        assert await member.leave() == "UnknownMemberIdError"
        assert await member.heartbeat() == "UnknownMemberIdError"
        assert broker.state()["groups"] == {}


@pytest.mark.parametrize("already_waiting", [True, False])
async def test_a_waiting_fetch_makes_way_when_its_client_has_more_to_ask(
    broker: Broker, *, already_waiting: bool
) -> None:
    topic = await new_topic(at(broker))
    async with connecting(at(broker)) as connection, connecting(at(broker)) as other:
        fetch = asyncio.ensure_future(connection.send(fetch_request(topic, 0, wait_ms=LONG_MS)))
        if already_waiting:
            await other.send(MetadataRequest([]))
        await asyncio.wait_for(connection.send(MetadataRequest([])), PATIENCE_SECONDS)
        assert fetch.done()
