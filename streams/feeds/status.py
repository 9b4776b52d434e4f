"""Status: how a source is doing, for eyes and health checks.

Holds     what was heard, what was refused and why, how often the line was opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rooms.units import UnixMs


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One symbol: when its last tick came, and whether the venue refused it."""

    feed: str
    heard_at: UnixMs | None
    denied: bool


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source, for eyes and health checks.

    Attributes:
        lag_ms: how long after the venue's own time the newest tick reached us.
        refused: what did not become a tick, counted by `Reason`.
        denied: refusal frames of the venue; ``last_denial`` is the newest one's words.
    """

    source: str
    url: str
    connected: bool
    frame_at: UnixMs | None
    lag_ms: int | None
    ticks: int
    connections: int
    reconnects: int
    denied: int
    last_denial: str | None
    last_end: str | None
    refused: Mapping[str, int]
    streams: Mapping[str, StreamStatus]
