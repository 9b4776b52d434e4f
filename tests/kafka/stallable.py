"""The `rooms` command as it is, but that SIGUSR1 makes its event loop stand still for a while.

Run       python -m tests.kafka.stallable worker
Why       a loop that is stuck in one call is not a process that is stopped: its other threads go
          on, so it keeps its place in its group while it does nothing.
"""

import signal
import time

from cli.main import run

STALL_S = 6.0
"""Twice the session that a member of a group has."""


def stall(*_: object) -> None:
    time.sleep(STALL_S)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, stall)
    run()
