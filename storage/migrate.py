"""Migrate: bring a database to the schema that this version of the program expects.

In        where the database is; storage/migrations/*.sql in the order of their names.
Out       the names of the migrations that were applied just now.
Promises  a migration is applied once and whole; two at once wait for each other.
"""

from pathlib import Path
from typing import Any, Final

import psycopg
from yoyo import get_backend, read_migrations

from rooms.refusal import CannotGoOn

MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrate(dsn: str) -> list[str]:
    """Apply what is missing; blocking, as it runs before anything else does."""
    backend = _backend(dsn)
    try:
        with backend.lock():
            missing = backend.to_apply(read_migrations(str(MIGRATIONS)))
            backend.apply_migrations(missing)
            return [migration.id for migration in missing]
    finally:
        backend.connection.close()


def missing_migrations(dsn: str) -> list[str]:
    """Name the migrations that the database does not have yet."""
    backend = _backend(dsn)
    try:
        return [m.id for m in backend.to_apply(read_migrations(str(MIGRATIONS)))]
    finally:
        backend.connection.close()


def _backend(dsn: str) -> Any:  # noqa: ANN401 - yoyo names no type for it
    try:
        return get_backend(_driver_dsn(dsn))
    except psycopg.OperationalError as trouble:
        # The driver's words name host and port, never the password.
        why = " ".join(str(trouble).split())
        raise CannotGoOn(f"the database cannot be reached: {why}") from None


def _driver_dsn(dsn: str) -> str:
    scheme, separator, rest = dsn.partition("://")
    assert separator, "a database address has a scheme"
    assert scheme in ("postgresql", "postgres"), "the database is PostgreSQL"
    return f"postgresql+psycopg://{rest}"
