"""Topic answers: which topics there are, and how they are made and removed.

Promises  only CreateTopics makes a topic.
"""

from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.configs import every_config
from sandbox.broker.parts import CLUSTER_ID, NODE_ID, Caller, Parts
from sandbox.broker.topics import Topic
from sandbox.broker.wire import Fields, Request

_TOPIC_RESOURCE = 2
_CONFIG_SET = 1
_CONFIG_DEFAULT = 5


def metadata(parts: Parts, request: Request, caller: Caller) -> Fields:
    """Say where everything lies: here; topics are never made by asking."""
    wanted = request.fields["topics"]
    names = [topic.name for topic in parts.topics.all()] if wanted is None else wanted
    return {
        "brokers": [
            {
                "node_id": NODE_ID,
                "host": caller.our_host,
                "port": caller.our_port,
                "rack": None,
            }
        ],
        "cluster_id": CLUSTER_ID,
        "controller_id": NODE_ID,
        "topics": [_describe_topic(name, parts.topics.get(name)) for name in names],
    }


def create_topics(parts: Parts, request: Request, _: Caller) -> Fields:
    """Make topics."""
    validate_only = request.fields.get("validate_only", False)
    return {
        "topic_errors": [
            _create_topic(parts, wanted, validate_only=validate_only)
            for wanted in request.fields["create_topic_requests"]
        ]
    }


def delete_topics(parts: Parts, request: Request, _: Caller) -> Fields:
    """Remove topics and what was committed for them."""
    return {
        "topic_error_codes": [
            {"topic": name, "error_code": _delete_topic(parts, name)}
            for name in request.fields["topics"]
        ]
    }


def describe_configs(parts: Parts, request: Request, _: Caller) -> Fields:
    """List the configs of topics; a broker has none to show."""
    return {"resources": [_describe_config(parts, each) for each in request.fields["resources"]]}


def _create_topic(parts: Parts, wanted: Fields, *, validate_only: bool) -> Fields:
    code, sentence = Code.NONE, None
    # By Kafka's rule -1 asks for the default, which is one partition here.
    partitions = 1 if wanted["num_partitions"] == -1 else wanted["num_partitions"]
    configs = {each["config_key"]: each["config_value"] for each in wanted["configs"]}
    try:
        if wanted["replica_assignment"]:
            raise KafkaRefusal(Code.INVALID_REQUEST, "there is one node: assign no replicas")
        if wanted["replication_factor"] not in {-1, 1}:
            raise KafkaRefusal(
                Code.INVALID_REPLICATION_FACTOR, "there is one node: the factor is 1"
            )
        parts.topics.create(wanted["topic"], partitions, configs, validate_only=validate_only)
    except KafkaRefusal as refusal:
        code, sentence = refusal.code, str(refusal)
    return {"topic": wanted["topic"], "error_code": code, "error_message": sentence}


def _delete_topic(parts: Parts, name: str) -> Code:
    try:
        parts.topics.delete(name)
    except KafkaRefusal as refusal:
        return refusal.code
    parts.offsets.forget_topic(name)
    return Code.NONE


def _describe_config(parts: Parts, wanted: Fields) -> Fields:
    topic = parts.topics.get(wanted["resource_name"])
    is_topic = wanted["resource_type"] == _TOPIC_RESOURCE
    missing = is_topic and topic is None
    names = wanted["config_names"]
    return {
        "error_code": Code.UNKNOWN_TOPIC_OR_PARTITION if missing else Code.NONE,
        "error_message": f"there is no topic {wanted['resource_name']}" if missing else None,
        "resource_type": wanted["resource_type"],
        "resource_name": wanted["resource_name"],
        "config_entries": [
            {
                "config_names": name,
                "config_value": value,
                "read_only": False,
                "is_default": is_default,
                "config_source": _CONFIG_DEFAULT if is_default else _CONFIG_SET,
                "is_sensitive": False,
                "config_synonyms": [],
            }
            for name, value, is_default in every_config(topic.configs if topic else {})
            if is_topic and not missing and (names is None or name in names)
        ],
    }


def _describe_topic(name: str, topic: Topic | None) -> Fields:
    return {
        "error_code": Code.NONE if topic else Code.UNKNOWN_TOPIC_OR_PARTITION,
        "topic": name,
        "is_internal": False,
        "partitions": [
            {
                "error_code": Code.NONE,
                "partition": partition,
                "leader": NODE_ID,
                "replicas": [NODE_ID],
                "isr": [NODE_ID],
                "offline_replicas": [],
            }
            for partition in range(len(topic.logs) if topic else 0)
        ],
    }
