"""Recordings: the frames that tests read, our own and, where they are, real ones.

Out       frames with the time at which the venue sent them, by venue.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "recorded"
CAPTURES = Path(__file__).parents[3] / "shared" / "data" / "captures"

needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the real captures lie in ../shared/data/captures: not here"
)


def frames(file: Path) -> Iterator[tuple[int, str]]:
    """Give each frame that the venue sent, with its time in milliseconds."""
    for line in file.read_text(encoding="utf-8").splitlines():
        time, colon, frame = line.partition(": ")
        if colon and " " not in time:
            seconds, _, fraction = time.partition(".")
            yield int(seconds) * 1000 + int(fraction.ljust(3, "0")[:3]), frame


def recorded(venue: str) -> list[str]:
    """Give our own frames of a venue."""
    return [frame for _, frame in frames(HERE / f"{venue}.txt")]
