"""Dial: opens a websocket as our lines need it.

In        an address, headers (of which one may be a key: it is shown nowhere), how long to wait.
Out       an open wire; or, when it was refused, how long the venue asks us to stay away.
Promises  bounded waits, bounded frames, a bounded buffer; no pings but the venue's own.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from streams.feeds.line import Wire
from streams.feeds.patience import Patience

FRAMES_WAITING_MAX = 512
FRAME_BYTES_MAX = 2**20
LOOPBACK = ("127.0.0.1", "::1", "localhost")
STAY_AWAY = (418, 429, 503)


async def dial(
    url: str, patience: Patience, headers: Mapping[str, str], subprotocol: str | None
) -> Wire:
    """Open a websocket as our lines need it: bounded, and without pings of its own.

    Raises:
        OSError, WebSocketException: when it cannot be opened in time.
    """
    return await connect(
        url,
        origin=Origin(headers["Origin"]) if "Origin" in headers else None,
        additional_headers={name: told for name, told in headers.items() if name != "Origin"},
        subprotocols=None if subprotocol is None else [Subprotocol(subprotocol)],
        compression=None,
        # A proxy of the environment is for the outside world, never for this machine.
        proxy=None if urlsplit(url).hostname in LOOPBACK else True,
        open_timeout=patience.open_ms / 1000,
        close_timeout=patience.close_ms / 1000,
        ping_interval=None,
        max_size=FRAME_BYTES_MAX,
        max_queue=FRAMES_WAITING_MAX,
    )


def told_to_wait_ms(error: Exception, patience: Patience) -> int:
    """Read the ``Retry-After`` of a refusal, bounded; 0 when there is none."""
    if not isinstance(error, InvalidStatus) or error.response.status_code not in STAY_AWAY:
        return 0
    return told_in_seconds_ms(error.response.headers.get("Retry-After", ""), patience)


def told_in_seconds_ms(told: str, patience: Patience) -> int:
    """Read a ``Retry-After``, bounded; 0 when it is no number of seconds."""
    if not (told.isascii() and told.isdigit() and len(told) <= 6):
        return 0
    return min(int(told) * 1000, patience.told_to_wait_max_ms)
