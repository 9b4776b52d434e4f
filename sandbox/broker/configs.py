"""Configs: what a topic can be told, and what it then does.

In        names and text values, as CreateTopics brings them.
Out       `TopicRules`; every known config with its value, for DescribeConfigs.
Promises  a name or value that would not be acted on is refused, never silently kept.
Why       the names and defaults are Kafka's (https://kafka.apache.org/documentation/#topicconfigs),
          but for segments: small ones make a restart quick and let retention bite.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox.broker.codes import Code, KafkaRefusal

_INT64_MAX = 2**63 - 1
_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TopicRules:
    """What a topic does with what it is sent; -1 keeps without limit."""

    retention_ms: int
    retention_bytes: int
    segment_bytes: int
    batch_bytes_max: int
    append_time: bool


def _whole(low: int, high: int) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        return re.fullmatch(r"-?\d{1,19}", text) is not None and low <= int(text) <= high

    return fits


def _one_of(*words: str) -> Callable[[str], bool]:
    return lambda text: text in words


_KNOWN: Mapping[str, tuple[str, Callable[[str], bool], str]] = {
    "cleanup.policy": ("delete", _one_of("delete"), "delete (this broker does not compact)"),
    "compression.type": ("producer", _one_of("producer"), "producer"),
    "max.message.bytes": ("1048588", _whole(61, _INT32_MAX), "a number of bytes from 61"),
    "message.timestamp.type": (
        "CreateTime",
        _one_of("CreateTime", "LogAppendTime"),
        "CreateTime or LogAppendTime",
    ),
    "min.insync.replicas": ("1", _one_of("1"), "1 (there is one node)"),
    "retention.bytes": ("-1", _whole(-1, _INT64_MAX), "a number of bytes, or -1 for no limit"),
    "retention.ms": ("604800000", _whole(-1, _INT64_MAX), "milliseconds, or -1 for no limit"),
    "segment.bytes": (str(8 * 2**20), _whole(14, _INT32_MAX), "a number of bytes from 14"),
}


def read_rules(overrides: Mapping[str, str | None]) -> TopicRules:
    """Turn a topic's configs into its rules.

    Raises:
        KafkaRefusal: when a name is not known or a value cannot be.
    """
    for name, value in overrides.items():
        if name not in _KNOWN:
            raise KafkaRefusal(
                Code.INVALID_CONFIG, f"{name} is not known; known are {', '.join(_KNOWN)}"
            )
        _, fits, expected = _KNOWN[name]
        if value is None or not fits(value):
            raise KafkaRefusal(Code.INVALID_CONFIG, f"{name} is {expected}, not {value}")
    values = {name: overrides.get(name) or default for name, (default, _, _) in _KNOWN.items()}
    return TopicRules(
        retention_ms=int(values["retention.ms"]),
        retention_bytes=int(values["retention.bytes"]),
        segment_bytes=int(values["segment.bytes"]),
        batch_bytes_max=int(values["max.message.bytes"]),
        append_time=values["message.timestamp.type"] == "LogAppendTime",
    )


def every_config(overrides: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """List all configs of a topic as (name, value, whether it is the default)."""
    return [
        (name, overrides.get(name, default), name not in overrides)
        for name, (default, _, _) in _KNOWN.items()
    ]
