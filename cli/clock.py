"""Clock: the one reader of this machine's clock; everything below is given the time."""

import time

from rooms.units import UnixMs


def now_ms() -> UnixMs:
    """Read this machine's clock."""
    return UnixMs(time.time_ns() // 1_000_000)
