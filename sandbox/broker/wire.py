"""Wire: frames of the Kafka protocol, read and written by field name.

In        the bytes of one request, without their length.
Out       a `Request` whose fields have names; the bytes of an answer, with their length.
Promises  only the versions in `SPOKEN` are read; a frame that does not parse is `Malformed`.
Why       aiokafka writes structures by position, and positions move from version to version;
          with names, one handler serves every version of a request.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from typing import Any

from aiokafka.protocol import (
    admin,
    commit,
    coordination,
    fetch,
    group,
    metadata,
    offset,
    transaction,
)
from aiokafka.protocol import produce as producing
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.types import Array, Schema, String

Fields = dict[str, Any]

_HEADER = struct.Struct(">hhi")
_ANSWER_HEADER = struct.Struct(">ii")
_CLIENT_ID = String("utf-8")


class Api(IntEnum):
    """The requests we know, by their number in the protocol."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    INIT_PRODUCER_ID = 22
    DESCRIBE_CONFIGS = 32
    DELETE_GROUPS = 42


def _by_version(*structs: type[RequestStruct]) -> dict[int, type[RequestStruct]]:
    return {each.API_VERSION: each for each in structs}


# Where the lowest version is above 0, the ones below have other fields or other meanings.
SPOKEN: Mapping[Api, Mapping[int, type[RequestStruct]]] = {
    Api.PRODUCE: _by_version(
        producing.ProduceRequest_v3,
        producing.ProduceRequest_v4,
        producing.ProduceRequest_v5,
        producing.ProduceRequest_v6,
        producing.ProduceRequest_v7,
    ),
    Api.FETCH: _by_version(
        fetch.FetchRequest_v5,
        fetch.FetchRequest_v6,
        fetch.FetchRequest_v7,
        fetch.FetchRequest_v8,
        fetch.FetchRequest_v9,
        fetch.FetchRequest_v10,
        fetch.FetchRequest_v11,
    ),
    Api.LIST_OFFSETS: _by_version(
        offset.OffsetRequest_v1, offset.OffsetRequest_v2, offset.OffsetRequest_v3
    ),
    Api.METADATA: _by_version(
        metadata.MetadataRequest_v1,
        metadata.MetadataRequest_v2,
        metadata.MetadataRequest_v3,
        metadata.MetadataRequest_v4,
        metadata.MetadataRequest_v5,
    ),
    Api.OFFSET_COMMIT: _by_version(commit.OffsetCommitRequest_v2, commit.OffsetCommitRequest_v3),
    Api.OFFSET_FETCH: _by_version(
        commit.OffsetFetchRequest_v1, commit.OffsetFetchRequest_v2, commit.OffsetFetchRequest_v3
    ),
    Api.FIND_COORDINATOR: _by_version(coordination.FindCoordinatorRequest_v1),
    # Versions 3 and 4 look like 2 on the wire.
    Api.JOIN_GROUP: _by_version(group.JoinGroupRequest_v1, group.JoinGroupRequest_v2)
    | {3: group.JoinGroupRequest_v2, 4: group.JoinGroupRequest_v2}
    | _by_version(group.JoinGroupRequest_v5),
    Api.HEARTBEAT: _by_version(group.HeartbeatRequest_v0, group.HeartbeatRequest_v1),
    Api.LEAVE_GROUP: _by_version(group.LeaveGroupRequest_v0, group.LeaveGroupRequest_v1),
    # Version 2 looks like 1 on the wire.
    Api.SYNC_GROUP: _by_version(group.SyncGroupRequest_v0, group.SyncGroupRequest_v1)
    | {2: group.SyncGroupRequest_v1}
    | _by_version(group.SyncGroupRequest_v3),
    Api.DESCRIBE_GROUPS: _by_version(
        admin.DescribeGroupsRequest_v0,
        admin.DescribeGroupsRequest_v1,
        admin.DescribeGroupsRequest_v2,
    ),
    Api.LIST_GROUPS: _by_version(admin.ListGroupsRequest_v0, admin.ListGroupsRequest_v1),
    Api.API_VERSIONS: _by_version(
        admin.ApiVersionRequest_v0, admin.ApiVersionRequest_v1, admin.ApiVersionRequest_v2
    ),
    Api.CREATE_TOPICS: _by_version(
        admin.CreateTopicsRequest_v0,
        admin.CreateTopicsRequest_v1,
        admin.CreateTopicsRequest_v2,
        admin.CreateTopicsRequest_v3,
    ),
    Api.DELETE_TOPICS: _by_version(
        admin.DeleteTopicsRequest_v0,
        admin.DeleteTopicsRequest_v1,
        admin.DeleteTopicsRequest_v2,
        admin.DeleteTopicsRequest_v3,
    ),
    Api.INIT_PRODUCER_ID: _by_version(transaction.InitProducerIdRequest_v0),
    Api.DESCRIBE_CONFIGS: _by_version(
        admin.DescribeConfigsRequest_v0,
        admin.DescribeConfigsRequest_v1,
        admin.DescribeConfigsRequest_v2,
    ),
    Api.DELETE_GROUPS: _by_version(admin.DeleteGroupsRequest_v0, admin.DeleteGroupsRequest_v1),
}


class Malformed(ValueError):
    """The bytes are no request that we can read."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of one client; ``fields`` is empty when ``spoken`` is false."""

    api: Api
    version: int
    correlation_id: int
    client_id: str
    fields: Fields
    spoken: bool


def read_request(frame: bytes) -> Request:
    """Read one frame; a version we do not speak comes back with ``spoken`` false.

    Raises:
        Malformed: when the bytes are not a request we know.
    """
    try:
        api_number, version, correlation_id = _HEADER.unpack_from(frame)
        api = Api(api_number)
        body = BytesIO(frame)
        body.seek(_HEADER.size)
        client_id = _CLIENT_ID.decode(body) or ""
        shape = SPOKEN[api].get(version)
        if shape is None:
            return Request(api, version, correlation_id, client_id, {}, spoken=False)
        values: Sequence[Any] = shape.SCHEMA.decode(body)
        fields = _named(shape.SCHEMA, values)
    except (struct.error, ValueError, UnicodeDecodeError, TypeError, MemoryError) as error:
        raise Malformed(f"not a request: {error}") from error
    return Request(api, version, correlation_id, client_id, fields, spoken=True)


def write_answer(request: Request, fields: Fields) -> bytes:
    """Write the answer to a request as a whole frame, in the request's version."""
    # The answer to a version we do not speak is written in the lowest one, as Kafka does.
    versions = SPOKEN[request.api]
    shape = versions.get(request.version) or versions[min(versions)]
    schema = shape.RESPONSE_TYPE.SCHEMA
    body: bytes = schema.encode(_ordered(schema, fields))
    return _ANSWER_HEADER.pack(len(body) + 4, request.correlation_id) + body


def _named(schema: Schema, values: Sequence[Any]) -> Fields:
    fields: Fields = {}
    for name, kind, value in zip(schema.names, schema.fields, values, strict=True):
        if isinstance(kind, Array) and isinstance(kind.array_of, Schema) and value is not None:
            inner = kind.array_of
            fields[name] = [_named(inner, item) for item in value]
        else:
            fields[name] = value
    return fields


def _ordered(schema: Schema, fields: Fields) -> list[Any]:
    values: list[Any] = []
    for name, kind in zip(schema.names, schema.fields, strict=True):
        # We never throttle, so no handler says so.
        value: Any = 0 if name == "throttle_time_ms" else fields[name]
        if isinstance(kind, Array) and isinstance(kind.array_of, Schema) and value is not None:
            inner = kind.array_of
            value = [_ordered(inner, item) for item in value]
        values.append(value)
    return values
