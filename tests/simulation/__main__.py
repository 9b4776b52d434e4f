"""A player: plays the seeds that its standard input names, and answers a line of JSON for each.

Run       ``python -m tests.simulation`` (``--tell``: also tell everything that happens)
"""

import signal
import socket
import sys
from contextlib import closing

import msgspec

from tests.simulation.play import stage


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Play until nothing more is asked."""
    # Ctrl-C ends whoever asks, and that ends us: the server must be stopped in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stage(free_port(), verbose="--tell" in sys.argv) as ready:
        for line in sys.stdin:
            played = ready.play(int(line))
            sys.stdout.write(msgspec.json.encode(played).decode() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
