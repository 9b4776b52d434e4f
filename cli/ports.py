"""Ports: where each part of the embedded stack listens on this machine.

Holds     ports in a row from a base, so that links stay the same; or free ones, for a stack that
          must not meet another.
Promises  a port that is taken is told before anything starts, with its name and what to do.
"""

import errno
import socket
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Final

from rooms.refusal import CannotGoOn

HOST: Final = "127.0.0.1"
BASE: Final = 8700


class PortTakenError(CannotGoOn):
    """Somebody listens on a port that we need; the message is the one line for a person."""


@dataclass(frozen=True, slots=True)
class Ports:
    """One port for each part."""

    page: int
    gateway: int
    postgres: int
    valkey: int
    broker: int
    solana: int
    solana_second: int
    solana_control: int
    venues: int
    venues_control: int
    turnkey: int
    push: int
    webhook: int

    @classmethod
    def from_base(cls, base: int) -> "Ports":
        """Take ports in a row.

        Raises:
            PortTakenError: when somebody listens on one of them.
        """
        ports = cls(*range(base, base + len(fields(cls))))
        for name, port in ports.named():
            if not _is_free(port):
                raise PortTakenError(
                    f"port {port} ({name}) is in use: stop what listens there, "
                    f"or start with other ports: rooms up --ports {base + 100}"
                )
        return ports

    @classmethod
    def free(cls) -> "Ports":
        """Take ports that are free now."""
        return cls(*free_ports(len(fields(cls))))

    def named(self) -> list[tuple[str, int]]:
        """Return each port with the name of its part."""
        return [(field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self)]


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return tuple(one.getsockname()[1] for one in held)
    finally:
        for one in held:
            one.close()


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True
