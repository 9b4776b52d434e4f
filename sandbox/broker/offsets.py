"""Offsets: how far each group has come.

In        commits, each for one partition.
Out       the offset and metadata committed last.
Holds     `offsets.jsonl`: one line a commit, rewritten when most lines are outdated.
Promises  a commit that was answered is there after a kill; a file cut short is read up to its
          last whole line.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger()

_OUTDATED_LINES_MAX = 20_000
# Kafka's default: a group that has committed nothing for a week begins anew.
_KEPT_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Committed:
    """The offset that a group reads next in one partition."""

    offset: int
    metadata: str
    at_ms: int


Place = tuple[str, int]
Commit = tuple[Place, Committed]


class Offsets:
    """What all groups have committed."""

    def __init__(self, directory: Path, now_ms: int, *, fsync: bool) -> None:
        self._path = directory / "offsets.jsonl"
        self._fsync = fsync
        self._groups: dict[str, dict[Place, Committed]] = {}
        self._lines = 0
        self._load(now_ms)
        self._file = self._rewrite()

    def get(self, group: str, place: Place) -> Committed | None:
        """Find what a group committed for one partition."""
        return self._groups.get(group, {}).get(place)

    def of_group(self, group: str) -> dict[Place, Committed]:
        """List what a group committed."""
        return dict(self._groups.get(group, {}))

    def groups(self) -> list[str]:
        """Name the groups that have committed something."""
        return sorted(self._groups)

    def commit(self, group: str, commits: Iterable[Commit]) -> None:
        """Write commits down; they are on their way to the disk when this returns.

        Raises:
            OSError: when the disk does not take them; then nothing has changed.
        """
        taken = dict(commits)
        if not taken:
            return
        self._append(b"".join(_line(group, *each) for each in taken.items()))
        self._groups.setdefault(group, {}).update(taken)
        self._lines += len(taken)
        if self._lines > _OUTDATED_LINES_MAX + sum(map(len, self._groups.values())):
            self._replace_file()

    def forget_group(self, group: str) -> None:
        """Forget all that a group committed."""
        if self._groups.pop(group, None) is not None:
            self._replace_file()

    def forget_topic(self, topic: str) -> None:
        """Forget what was committed for a topic."""
        for group, places in list(self._groups.items()):
            for place in [each for each in places if each[0] == topic]:
                del places[place]
            if not places:
                del self._groups[group]
        self._replace_file()

    def forget_all(self) -> None:
        """Forget every commit."""
        self._groups.clear()
        self._replace_file()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _append(self, lines: bytes) -> None:
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, lines)
            while written < len(lines):
                written += os.write(self._file, lines[written:])
            if self._fsync:
                os.fsync(self._file)
        except OSError:
            # A line cut short would hide the ones that follow it.
            os.ftruncate(self._file, before)
            raise

    def _load(self, now_ms: int) -> None:
        if not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines(keepends=True):
            try:
                group, topic, partition, offset, metadata, at_ms = json.loads(line)
            except ValueError:
                log.warning("offsets_cut_short", path=str(self._path), line=line[:80])
                break
            self._groups.setdefault(group, {})[topic, partition] = Committed(
                offset, metadata, at_ms
            )
        for group, places in list(self._groups.items()):
            if max(committed.at_ms for committed in places.values()) < now_ms - _KEPT_MS:
                del self._groups[group]

    def _replace_file(self) -> None:
        os.close(self._file)
        self._file = self._rewrite()

    def _rewrite(self) -> int:
        lines = list(self._all_lines())
        unfinished = self._path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)
        self._lines = len(lines)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def _all_lines(self) -> Iterator[bytes]:
        for group, places in self._groups.items():
            for place, committed in places.items():
                yield _line(group, place, committed)


def _line(group: str, place: Place, committed: Committed) -> bytes:
    row = [group, *place, committed.offset, committed.metadata, committed.at_ms]
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"
