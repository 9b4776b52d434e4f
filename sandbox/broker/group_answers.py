"""Group answers: what members ask of their group, and what is told about groups.

Promises  a refusal by the group becomes the code that its clients know.
"""

import asyncio

from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.member import JoinWish, refused_join
from sandbox.broker.parts import NODE_ID, Caller, Later, Parts
from sandbox.broker.wire import Fields, Request


def find_coordinator(parts: Parts, request: Request, caller: Caller) -> Fields:
    """Name the node that coordinates: this one."""
    # A transaction is refused where it begins: at InitProducerId, in words a client knows.
    return {
        "error_code": Code.NONE,
        "error_message": None,
        "coordinator_id": NODE_ID,
        "host": caller.our_host,
        "port": caller.our_port,
    }


def join_group(parts: Parts, request: Request, caller: Caller) -> Fields | Later:
    """Take a member into a group."""
    fields = request.fields
    try:
        if not fields["group"]:
            raise KafkaRefusal(Code.INVALID_GROUP_ID, "a group has a name")
        if fields["session_timeout"] not in parts.session_timeout_ms_range:
            raise KafkaRefusal(Code.INVALID_SESSION_TIMEOUT, "the session is too short or too long")
        wish = JoinWish(
            member_id=fields["member_id"],
            instance_id=fields.get("group_instance_id"),
            client_id=request.client_id,
            client_host=caller.host,
            session_timeout_ms=fields["session_timeout"],
            rebalance_timeout_ms=fields["rebalance_timeout"],
            protocol_type=fields["protocol_type"],
            protocols=tuple(
                (each["protocol_name"], each["protocol_metadata"])
                for each in fields["group_protocols"]
            ),
        )
        return _later(parts.groups.join(fields["group"], wish))
    except KafkaRefusal as refusal:
        return refused_join(fields["member_id"], refusal.code)


def sync_group(parts: Parts, request: Request, _: Caller) -> Fields | Later:
    """Give a member its assignment."""
    fields = request.fields
    try:
        return _later(
            parts.groups.member_of(fields["group"]).sync(
                fields["member_id"],
                fields.get("group_instance_id"),
                fields["generation_id"],
                (
                    (each["member_id"], each["member_metadata"])
                    for each in fields["group_assignment"]
                ),
            )
        )
    except KafkaRefusal as refusal:
        return {"error_code": refusal.code, "member_assignment": b""}


def heartbeat(parts: Parts, request: Request, _: Caller) -> Fields:
    """Hear that a member is alive."""
    fields = request.fields
    try:
        group = parts.groups.member_of(fields["group"])
        group.heartbeat(fields["member_id"], fields["generation_id"])
    except KafkaRefusal as refusal:
        return {"error_code": refusal.code}
    return {"error_code": Code.NONE}


def leave_group(parts: Parts, request: Request, _: Caller) -> Fields:
    """Let a member go."""
    try:
        parts.groups.member_of(request.fields["group"]).leave(request.fields["member_id"])
    except KafkaRefusal as refusal:
        return {"error_code": refusal.code}
    return {"error_code": Code.NONE}


def list_groups(parts: Parts, _request: Request, _: Caller) -> Fields:
    """Name the groups."""
    types = dict.fromkeys(parts.offsets.groups(), "consumer")
    types |= {group.name: group.protocol_type for group in parts.groups.all()}
    return {
        "error_code": Code.NONE,
        "groups": [{"group": name, "protocol_type": kind} for name, kind in sorted(types.items())],
    }


def describe_groups(parts: Parts, request: Request, _: Caller) -> Fields:
    """Describe groups and their members."""
    return {"groups": [_describe_group(parts, name) for name in request.fields["groups"]]}


def delete_groups(parts: Parts, request: Request, _: Caller) -> Fields:
    """Forget groups that have no members."""
    return {
        "results": [
            {"group_id": name, "error_code": _delete_group(parts, name)}
            for name in request.fields["groups_names"]
        ]
    }


def _describe_group(parts: Parts, name: str) -> Fields:
    group = parts.groups.find(name)
    if group is None:
        state = "Empty" if name in parts.offsets.groups() else "Dead"
        kind, protocol, members = "consumer", "", []
    else:
        state, kind, protocol = group.state.value, group.protocol_type, group.protocol
        members = list(group.members.values())
    return {
        "error_code": Code.NONE,
        "group": name,
        "state": state,
        "protocol_type": kind,
        "protocol": protocol,
        "members": [
            {
                "member_id": member.member_id,
                "client_id": member.wish.client_id,
                "client_host": member.wish.client_host,
                "member_metadata": member.metadata_for(protocol),
                "member_assignment": member.assignment,
            }
            for member in members
        ],
    }


def _delete_group(parts: Parts, name: str) -> Code:
    if parts.groups.find(name) is not None:
        return Code.NON_EMPTY_GROUP
    if name not in parts.offsets.groups():
        return Code.GROUP_ID_NOT_FOUND
    parts.offsets.forget_group(name)
    return Code.NONE


def _later(answer: asyncio.Future[Fields]) -> Fields | Later:
    return answer.result() if answer.done() else Later(answer, _be_patient)


def _be_patient() -> None:
    """Do nothing: a group is ready when it is ready."""
