"""Handlers: which answer belongs to which request.

In        a request by name, and who sends it.
Out       the fields of its answer, a `Later` for those that wait, None where no answer is due.
Promises  one request is handled whole before the next, so nothing behind this needs a lock.
"""

from collections.abc import Callable, Mapping

from sandbox.broker import group_answers, log_answers, offset_answers, topic_answers
from sandbox.broker.codes import Code
from sandbox.broker.parts import Caller, HangUp, Later, Parts
from sandbox.broker.reading import list_offsets
from sandbox.broker.wire import SPOKEN, Api, Fields, Request


def handle(parts: Parts, request: Request, caller: Caller) -> Fields | Later | None:
    """Answer a request.

    Raises:
        HangUp: when the connection is to be closed.
    """
    if not request.spoken and request.api is not Api.API_VERSIONS:
        raise HangUp(f"{request.api.name} version {request.version} is not spoken")
    return _HANDLERS[request.api](parts, request, caller)


def _api_versions(_parts: Parts, request: Request, _: Caller) -> Fields:
    return {
        "error_code": Code.NONE if request.spoken else Code.UNSUPPORTED_VERSION,
        "api_versions": [
            {"api_key": api, "min_version": min(versions), "max_version": max(versions)}
            for api, versions in SPOKEN.items()
        ],
    }


_HANDLERS: Mapping[Api, Callable[[Parts, Request, Caller], Fields | Later | None]] = {
    Api.PRODUCE: log_answers.produce,
    Api.FETCH: log_answers.fetch,
    Api.LIST_OFFSETS: lambda parts, request, _: list_offsets(parts.topics, request.fields),
    Api.METADATA: topic_answers.metadata,
    Api.OFFSET_COMMIT: offset_answers.offset_commit,
    Api.OFFSET_FETCH: offset_answers.offset_fetch,
    Api.FIND_COORDINATOR: group_answers.find_coordinator,
    Api.JOIN_GROUP: group_answers.join_group,
    Api.HEARTBEAT: group_answers.heartbeat,
    Api.LEAVE_GROUP: group_answers.leave_group,
    Api.SYNC_GROUP: group_answers.sync_group,
    Api.DESCRIBE_GROUPS: group_answers.describe_groups,
    Api.LIST_GROUPS: group_answers.list_groups,
    Api.API_VERSIONS: _api_versions,
    Api.CREATE_TOPICS: topic_answers.create_topics,
    Api.DELETE_TOPICS: topic_answers.delete_topics,
    Api.INIT_PRODUCER_ID: log_answers.init_producer_id,
    Api.DESCRIBE_CONFIGS: topic_answers.describe_configs,
    Api.DELETE_GROUPS: group_answers.delete_groups,
}
