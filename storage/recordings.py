"""Recordings: segments as files, a folder a day, each named by feed, time, offset and hash.

In        segments; a folder, or single files.
Out       the segments again, in the order of their logs.
Promises  a file is whole or not there; a file whose content is not what its name says is refused.
Why       the names alone are an index: a recording can be looked through, copied and thrown away
          by the day without any database.
"""

import gzip
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rooms.canonical import content_hash
from rooms.recording import Segment, content_of, segment_of
from rooms.refusal import Impossible
from rooms.units import UnixMs

SUFFIX: Final = ".segment.gz"
LEVEL: Final = 6
CONTENT_BYTES_MAX: Final = 256 * 2**20
"""More than a recorder ever writes; a file that unpacks to more is refused."""

_CHUNK: Final = 2**20


def file_of(segment: Segment, name: str) -> str:
    """Return where a segment lies in its folder: day, feed, time of day, first offset, hash."""
    minute = _moment(segment.minute_at)
    feed = quote(segment.feed, safe="")
    return f"{minute:%Y-%m-%d}/{feed}/{minute:%H%M}-{segment.first_offset:012}-{name}{SUFFIX}"


def write(folder: Path, segment: Segment) -> tuple[str, str]:
    """Write a segment, whole or not at all; return its hash and where it lies in the folder."""
    content = content_of(segment)
    name = content_hash(content)
    file = file_of(segment, name)
    path = folder / file
    if path.exists():
        return name, file
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as raw:
        # Without a time in it, the same content is the same file too.
        with gzip.GzipFile(
            filename="", mode="wb", compresslevel=LEVEL, fileobj=raw, mtime=0
        ) as out:
            out.write(content)
        raw.flush()
        os.fsync(raw.fileno())
    beside.replace(path)
    for kept in (path.parent, path.parent.parent, folder):
        _keep(kept)
    return name, file


def read(path: Path) -> Segment:
    """Read a segment.

    Raises:
        Impossible: when it cannot be read, or is not what the file's name says.
    """
    content = _content(path)
    told = path.name.removesuffix(SUFFIX).rpartition("-")[2]
    if content_hash(content) != told:
        raise Impossible(f"{path} is not what its name says: its content was changed")
    return segment_of(content)


def found(places: Iterable[Path]) -> list[Path]:
    """Return every segment in files and folders, in the order of their names.

    Raises:
        Impossible: when a place is not there, or there is no segment in any.
    """
    paths: set[Path] = set()
    for place in places:
        if not place.exists():
            raise Impossible(f"{place} is not there")
        paths.update(_beneath(place) if place.is_dir() else [place])
    if not paths:
        raise Impossible("there is no segment of a recording: their names end with " + SUFFIX)
    # Day, feed, time and offset, whichever folder they are in.
    return sorted(paths, key=lambda path: (path.parts[-3:], path))


def _beneath(folder: Path) -> Iterator[Path]:
    # A day that is deleted meanwhile is no day; Path.rglob would stumble over it.
    for inner, _, names in os.walk(folder):
        yield from (Path(inner, name) for name in names if name.endswith(SUFFIX))


def forget(folder: Path, before: UnixMs) -> list[str]:
    """Delete the days that lie wholly before a moment; return their names."""
    gone = [day for day in _days(folder) if _end_of(day) <= before]
    for day in gone:
        shutil.rmtree(folder / day)
    return gone


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(CONTENT_BYTES_MAX + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Impossible(f"{path} cannot be read: {error}") from error
    if len(content) > CONTENT_BYTES_MAX:
        raise Impossible(f"{path} unpacks to more than a segment may hold")
    return content


def _days(folder: Path) -> Iterator[str]:
    if not folder.exists():
        return
    for each in sorted(folder.iterdir()):
        try:
            datetime.strptime(each.name, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            continue
        yield each.name


def _end_of(day: str) -> int:
    begun = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    return int((begun + timedelta(days=1)).timestamp()) * 1000


def _moment(at: UnixMs) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def _keep(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
