"""Topics: which there are, and where their logs lie.

In        names, numbers of partitions and configs, from CreateTopics; nothing else makes a topic.
Out       the log of a partition, or None.
Holds     `topics.json`, replaced whole at every change, and a directory of logs for each topic.
Promises  a topic is there whole or not at all, also after a kill; a producer id is given once.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sandbox.broker.codes import Code, KafkaRefusal
from sandbox.broker.configs import read_rules
from sandbox.broker.log import PartitionLog

log = structlog.get_logger()

PARTITIONS_MAX = 1_000

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with its logs, in the order of their partitions."""

    name: str
    configs: dict[str, str]
    logs: tuple[PartitionLog, ...]


class Topics:
    """All topics of a data directory."""

    def __init__(self, directory: Path, *, fsync: bool) -> None:
        self._catalogue = directory / "topics.json"
        self._logs = directory / "logs"
        self._fsync = fsync
        self._next_producer_id = 0
        self._topics: dict[str, Topic] = {}
        self._trash = directory / "trash"
        self._logs.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._trash, ignore_errors=True)
        self._load()

    def all(self) -> list[Topic]:
        """List the topics by name."""
        return [self._topics[name] for name in sorted(self._topics)]

    def get(self, name: str) -> Topic | None:
        """Find a topic."""
        return self._topics.get(name)

    def log(self, name: str, partition: int) -> PartitionLog | None:
        """Find the log of a partition."""
        topic = self._topics.get(name)
        if topic is None or not 0 <= partition < len(topic.logs):
            return None
        return topic.logs[partition]

    def create(
        self, name: str, partitions: int, configs: dict[str, str], *, validate_only: bool = False
    ) -> None:
        """Make a topic.

        Raises:
            KafkaRefusal: when it is there, or its name, size or configs cannot be.
        """
        if not _NAME.fullmatch(name) or name in {".", ".."}:
            raise KafkaRefusal(
                Code.INVALID_TOPIC, "a topic's name is 1 to 249 letters, digits, dots, _ and -"
            )
        if name in self._topics:
            raise KafkaRefusal(Code.TOPIC_ALREADY_EXISTS, f"topic {name} already exists")
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise KafkaRefusal(
                Code.INVALID_PARTITIONS, f"a topic has 1 to {PARTITIONS_MAX} partitions"
            )
        read_rules(configs)
        if validate_only:
            return
        # What a creation or deletion left unfinished is not part of the new topic.
        shutil.rmtree(self._logs / name, ignore_errors=True)
        self._topics[name] = self._open(name, partitions, configs)
        self._save()
        log.info("topic_created", topic=name, partitions=partitions)

    def delete(self, name: str) -> None:
        """Remove a topic and all it holds.

        Raises:
            KafkaRefusal: when there is none of that name.
        """
        topic = self._topics.pop(name, None)
        if topic is None:
            raise KafkaRefusal(Code.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic {name}")
        self._save()
        for each in topic.logs:
            each.close()
        self._trash.mkdir(exist_ok=True)
        (self._logs / name).rename(self._trash / name)
        shutil.rmtree(self._trash)
        log.info("topic_deleted", topic=name)

    def give_producer_id(self) -> int:
        """Give an id that no producer has had before, also not before a restart."""
        given = self._next_producer_id
        self._next_producer_id += 1
        self._save()
        return given

    def retain(self, now_ms: int) -> None:
        """Let every log drop what its rules no longer keep."""
        for topic in self._topics.values():
            for each in topic.logs:
                each.retain(now_ms)

    def lose(self) -> None:
        """Empty every topic."""
        for topic in self._topics.values():
            for each in topic.logs:
                each.lose()

    def close(self) -> None:
        """Close every log."""
        for topic in self._topics.values():
            for each in topic.logs:
                each.close()

    def _open(self, name: str, partitions: int, configs: dict[str, str]) -> Topic:
        rules = read_rules(configs)
        return Topic(
            name,
            configs,
            tuple(
                PartitionLog(self._logs / name / str(partition), rules, fsync=self._fsync)
                for partition in range(partitions)
            ),
        )

    def _load(self) -> None:
        if self._catalogue.exists():
            saved: dict[str, Any] = json.loads(self._catalogue.read_text())
            self._next_producer_id = saved["next_producer_id"]
            for name, topic in saved["topics"].items():
                self._topics[name] = self._open(name, topic["partitions"], topic["configs"])

    def _save(self) -> None:
        saved = {
            "next_producer_id": self._next_producer_id,
            "topics": {
                topic.name: {"partitions": len(topic.logs), "configs": topic.configs}
                for topic in self._topics.values()
            },
        }
        unfinished = self._catalogue.with_suffix(".unfinished")
        with unfinished.open("w") as file:
            json.dump(saved, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._catalogue)
